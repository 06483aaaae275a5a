"""A tiny bundle that says all that a bundle may say, and the line with which a changed one is refused."""

import pytest
from forged_bundles import rewrite
from tiny_bundle import make_bundle

from bus_lightning.core.errors import UserError
from bus_lightning.data.preprocess import Overlay
from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser

THRESHOLDS = {"malignant": {"threshold": 0.3, "sensitivity": 0.95, "specificity": 0.5, "asked": 0.9, "positives": 10,
                            "negatives": 20}}  # fmt: skip
TRAINED = {"name": "BUSI", "synthetic": False, "images": 20, "content": "8c32504d11914feb"}


def make_full_bundle(folder):
    make_bundle(folder, Overlay("contour", "predicted"), thresholds=THRESHOLDS,
                trained_on={"segmenter": TRAINED, "classifier": TRAINED})  # fmt: skip
    rewrite(folder, scale={"bits": 8, "white": 1}, variants={"fp32": {"ms": 1.0}})
    return folder


def refused(folder):
    with pytest.raises(UserError) as raised:
        Diagnoser(load_bundle(folder), threads=1)
    assert "\n" not in str(raised.value)
    assert str(folder) in str(raised.value)
    assert len(str(raised.value)) < 600
    return str(raised.value)
