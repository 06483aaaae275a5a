"""A bundle says that its networks were trained on synthetic images if any of their data sets is a phantom folder."""

from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from bus_lightning.data.phantom import MARKER, draw_phantom
from bus_lightning.data.prepare import prepare_data
from bus_lightning.export.runs import training_data


@pytest.fixture
def two_sets(small_copy, tmp_path, data_config):
    """Prepare a set that counts as real, and a phantom folder."""
    (small_copy / MARKER).unlink()
    draw_phantom(tmp_path / "drawn", images=12, seed=1)
    roots = {"real": small_copy, "drawn": tmp_path / "drawn"}
    data = data_config().data
    data.root, data.classes = None, None
    data.sets = {name: {"source": "folder", "root": str(root)} for name, root in roots.items()}
    return prepare_data(data, needs_masks=False)


def test_a_phantom_folder_among_several_sets_is_noticed_if_it_was_trained_on(two_sets):
    ids = two_sets.frame["id"]
    trained = {"both": ids, "real": ids[ids.str.startswith("real/")], "drawn": ids[ids.str.startswith("drawn/")]}
    found = {}
    for name, train in trained.items():
        run = SimpleNamespace(
            config=OmegaConf.create({"data": {}}), files_hash="0" * 16, split=SimpleNamespace(train=list(train))
        )
        found[name] = training_data([SimpleNamespace(run=run, prepared=two_sets)], "Clinic").synthetic
    assert found == {"both": True, "real": False, "drawn": True}
