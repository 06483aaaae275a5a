"""The images that a network is tried on before its training."""

import pytest
from torch.utils.data import Subset

from bus_lightning.data.datamodule import BusDataModule, example_images
from bus_lightning.data.prepare import prepare_data


@pytest.mark.parametrize("first", ["train", "val", "test"])
def test_the_examples_are_of_the_first_part_that_has_images(data_config, first):
    cfg = data_config()
    prepared = prepare_data(cfg.data, needs_masks=False)
    module = BusDataModule(prepared, prepared.split(cfg.data.split), cfg, full_masks=False)
    parts = ("train", "val", "test")
    for part in parts[: parts.index(first)]:
        module.parts[part] = Subset(module.parts[part], [])
    assert (example_images(module)[0] == module.collate([module.parts[first][0]])["image"][0]).all()
