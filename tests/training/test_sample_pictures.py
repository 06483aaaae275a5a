"""The pictures of predictions show each outline where its mask is."""

import numpy as np
import pytest

from bus_lightning.training.callbacks.images import outline


@pytest.mark.parametrize("shrunk", [1, 2, 4])
def test_an_outline_on_a_smaller_tile_lies_as_its_mask_does(shrunk: int):
    rows, columns = np.mgrid[:128, :128] - 63.5
    mask = (rows**2 + columns**2 < 40**2).astype(np.uint8)
    tile = np.zeros((128 // shrunk, 128 // shrunk, 3), np.uint8)
    outline(tile, mask, (255, 0, 0))
    assert tile[..., 0].any()
    assert (tile == tile[::-1]).all()  # as the mask, whose centre is that of the image
    assert (tile == tile[:, ::-1]).all()
