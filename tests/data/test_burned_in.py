"""Burned-in text and calipers are found, with a known error."""

import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from bus_lightning.data.burned_in import has_marks_in
from bus_lightning.data.channels import brightest_channel
from bus_lightning.data.index import read_image
from bus_lightning.data.sources.registry import get_source

LABELS = pd.read_csv(Path(__file__).with_name("burned_in.csv"))
ROOTS = {"busi": "BUSI_ROOT", "bus_bra": "BUS_BRA_ROOT", "breast": "BREAST_ROOT"}


def speckle(seed: int = 0) -> np.ndarray:
    """Draw speckle that is wider than high."""
    noise = np.random.default_rng(seed).random((200, 240)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4, sigmaY=1)
    grey = cv2.normalize(smooth, None, 0, 200, cv2.NORM_MINMAX).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def test_speckle_has_no_marks():
    assert not has_marks_in(brightest_channel(speckle()))


@pytest.mark.parametrize("colour", [(255, 255, 255), (255, 255, 0)])
def test_text_and_calipers_are_marks(colour):
    image = speckle()
    cv2.putText(image, "RT 6", (20, 180), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour)
    assert has_marks_in(brightest_channel(image))
    image = speckle()
    cv2.drawMarker(image, (100, 100), colour, cv2.MARKER_CROSS, 9)
    assert has_marks_in(brightest_channel(image))


@pytest.mark.parametrize("part", ["chosen", "tested"])
def test_the_error_on_images_that_were_looked_at_is_as_documented(part):
    if missing := [name for name in ROOTS.values() if not os.environ.get(name)]:
        pytest.skip(f"{missing[0]} is not set")
    wrong = []
    for dataset, rows in LABELS[LABELS["part"] == part].groupby("dataset"):
        root = Path(os.environ[ROOTS[str(dataset)]])
        files = get_source(str(dataset)).read(root, {}).frame.set_index("id")["image"]
        for row in rows.itertuples():
            if has_marks_in(brightest_channel(read_image(root / files[row.id]))) != bool(row.marked):
                wrong.append((row.id, row.marked))
    assert wrong == {"chosen": [], "tested": [("case005", 1), ("normal/normal (35)", 0)]}[part]
