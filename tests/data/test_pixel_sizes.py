"""The size of a pixel comes with the mask at the image's own resolution, for the image as it is seen, upright."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.index import read_image
from bus_lightning.data.prepare import prepare_data
from bus_lightning.data.splits import make_named_split
from bus_lightning.metrics.millimetres import millimetre_scores

PIXEL = (0.3, 0.1)


@pytest.fixture
def made(data_config):
    """Make the datamodule of a folder; `sizes` gives the size of a pixel of each image in turn."""

    def make(root, sizes, *overrides, device=None):
        cfg = data_config(*overrides, root=root)
        prepared = prepare_data(cfg.data, needs_masks=True)
        column = [sizes[k % len(sizes)] for k in range(len(prepared.frame))]
        prepared = replace(prepared, frame=prepared.frame.assign(mm_per_pixel=column))
        parts = {"train": [], "val": [], "test": prepared.frame["id"].tolist()}
        split = make_named_split(parts, "file", prepared.groups)
        return BusDataModule(prepared, split, cfg, full_masks=True, device=device)

    return make


def scores_of(datamodule):
    """Compare the ground truth of every image with itself moved down by 5 pixels."""
    dataset = datamodule.parts["test"]
    return {
        sample["id"]: millimetre_scores(sample["full_mask"].roll(5, 0), sample["full_mask"], sample["mm_per_pixel"])
        for sample in (dataset[position] for position in range(len(dataset)))
    }


@pytest.mark.parametrize("device", [None, torch.device("cpu")])
def test_each_image_of_a_batch_comes_with_the_size_of_its_pixels(made, small_phantom, device):
    datamodule = made(small_phantom, [PIXEL, None, float("nan")], device=device)
    batched = {}
    for batch in datamodule.evaluation_dataloader("test"):
        batched |= dict(zip(batch["id"], batch["mm_per_pixel"], strict=True))
    assert list(batched.values()) == [PIXEL, None, None] * 4
    assert list(batched) == [row.id for row in datamodule.parts["test"].rows]


def test_an_image_that_is_stored_on_its_side_has_the_same_millimetres(made, small_copy):
    expected = scores_of(made(small_copy, [PIXEL]))
    for path in small_copy.glob("*/*.png"):
        if "_mask" in path.name:
            continue
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned clockwise
        upright = read_image(path)
        Image.fromarray(np.rot90(upright)).save(path, exif=exif)
        np.testing.assert_array_equal(read_image(path), upright)
    assert scores_of(made(small_copy, [PIXEL])) == expected


def test_a_mask_of_half_the_size_is_measured_in_the_pixels_of_its_image(made, small_copy):
    expected = scores_of(made(small_copy, [PIXEL]))
    for path in small_copy.glob("*/*_mask*.png"):
        with Image.open(path) as mask:
            half = mask.convert("L").resize((mask.width // 2, mask.height // 2), Image.Resampling.NEAREST)
        half.save(path)
    small_scores = scores_of(made(small_copy, [PIXEL], "data.resize_masks=true"))
    for id_, scores in expected.items():
        assert small_scores[id_]["long_axis_mm"] == pytest.approx(scores["long_axis_mm"], rel=0.1)
        assert small_scores[id_]["area_mm2"] == pytest.approx(scores["area_mm2"], rel=0.1)
    assert np.count_nonzero([scores["area_mm2"] for scores in expected.values()]) > 5
