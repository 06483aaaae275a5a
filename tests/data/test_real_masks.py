"""Masks and images of BUS-BRA and BrEaST are distinguished, and masks are read as a plain threshold reads them."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bus_lightning.data.index import read_image
from bus_lightning.data.mask_files import measure_likeness
from bus_lightning.data.masks import decode_mask

_EVERY = 9  # files: enough of each set for a test that takes seconds


def bus_bra(root):
    return sorted((root / "Images").glob("*.png")), sorted((root / "Masks").glob("*.png"))


def breast(root):
    files = sorted(root.glob("*/case*.png"))
    masks = [file for file in files if "_tumor" in file.name or "_other" in file.name]
    return sorted(set(files) - set(masks)), masks


@pytest.fixture(params=[("BUS_BRA_ROOT", bus_bra), ("BREAST_ROOT", breast)], ids=["BUS-BRA", "BrEaST"])
def images_and_masks(request):
    variable, listed = request.param
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set: the data set is not here")
    images, masks = listed(Path(os.environ[variable]))
    assert images
    assert masks
    return images[::_EVERY], masks[::_EVERY]


def test_masks_of_real_sets_are_read_as_a_plain_threshold_reads_them(images_and_masks):
    for file in images_and_masks[1]:
        with Image.open(file) as image:
            levels = np.asarray(image.convert("RGB")).max(axis=2)
        np.testing.assert_array_equal(decode_mask(file).lesion, levels > levels.max() / 2, err_msg=file.name)


def test_images_of_real_sets_are_never_taken_for_masks_and_their_masks_always_are(images_and_masks):
    images, masks = images_and_masks
    assert {measure_likeness(read_image(file)).kind for file in images} == {""}
    assert {measure_likeness(read_image(file)).kind for file in masks} == {"plain"}
