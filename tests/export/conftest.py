"""What the tests of the export share."""

import shutil

import pytest

from bus_lightning.diagnosis.stage import PRECISIONS
from bus_lightning.export import making


@pytest.fixture
def quick_export(monkeypatch):
    """Leave the slow parts out that other tests cover: quantising, and comparing the precisions."""
    score = {"images": 1, "ms": 1.0, "answers_changed": 0}
    score |= dict.fromkeys(("iou", "iou_difference", "auc", "auc_difference"), 0.0)
    monkeypatch.setattr(making, "quantise", lambda fp32, int8, images: shutil.copy(fp32, int8))
    monkeypatch.setattr(making, "compare_variants", lambda *_: dict.fromkeys(PRECISIONS, score))
