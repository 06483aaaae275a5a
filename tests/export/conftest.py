"""What the tests of the export share."""

import shutil
from pathlib import Path

import pytest
from exported_runs import copy_fp32, write_run

from bus_lightning.diagnosis.stage import PRECISIONS
from bus_lightning.export import making, variants
from bus_lightning.export.making import make_bundle


@pytest.fixture
def quick_export(monkeypatch):
    """Leave the slow parts out that other tests cover: quantising, and comparing the precisions."""
    score = {"images": 1, "ms": 1.0, "answers_changed": 0}
    score |= dict.fromkeys(("iou", "iou_difference", "auc", "auc_difference"), 0.0)
    monkeypatch.setattr(making, "quantise", copy_fp32)
    monkeypatch.setattr(variants, "compare_variants", lambda *_: dict.fromkeys(PRECISIONS, score))


@pytest.fixture(scope="session")
def made_runs(tmp_path_factory, phantom, audit_cache):
    runs = tmp_path_factory.mktemp("runs")
    for name, *overrides in (
        ("seg",),
        ("cls",),
        *((f"cls-{fold}", f"data.split.cross_fold={fold}") for fold in range(3)),
    ):
        write_run(runs, phantom, audit_cache, name, *overrides)
    return runs


@pytest.fixture
def runs(made_runs, tmp_path):
    return Path(shutil.copytree(made_runs, tmp_path / "runs"))


@pytest.fixture(scope="session")
def made(made_runs, tmp_path_factory):
    """A calibrated bundle."""
    out = tmp_path_factory.mktemp("made") / "bundle"
    lines: list[str] = []
    pattern = str(made_runs / "cls-*")
    bundle = make_bundle([made_runs / "seg", made_runs / "cls"], out, pattern, samples=4, report=lines.append)
    assert lines
    return bundle
