"""Validation images calibrate a bundle only if the run has all of them."""

import shutil
from pathlib import Path

import pytest

from bus_lightning.core.errors import UserError
from bus_lightning.export.predictions import validation_cases
from bus_lightning.export.runs import open_for_bundle

KEPT = Path(__file__).parents[1] / "kept" / "runs" / "joint" / "finished"


def test_a_run_that_lost_a_validation_image_is_refused_and_not_called_too_small(tmp_path):
    run = tmp_path / "run"
    shutil.copytree(KEPT, run)
    lines = (run / "cases.csv").read_text().splitlines(keepends=True)
    lost = next(line for line in lines if ",val," in line)
    (run / "cases.csv").write_text("".join(line for line in lines if line != lost))
    with pytest.raises(UserError, match=r"cases.csv does not hold the validation images of its split.json"):
        validation_cases([open_for_bundle(run)])
    (run / "cases.csv").write_text("".join(line for line in lines if ",val," not in line))
    assert validation_cases([open_for_bundle(run)]) is None  # as in a run without predictions for them
