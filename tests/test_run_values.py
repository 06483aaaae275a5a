"""What a run's folder says of epochs, where the best is not the last."""

import pandas as pd
import pytest

from bus_lightning.core.errors import DamagedError
from bus_lightning.runs.folder import RunDir


@pytest.fixture
def run(tmp_path):
    found = RunDir(tmp_path / "run")
    found.path.mkdir()
    scores = {"epoch": [0, 1, 2, 3], "val/auroc_macro": [0.5, 0.9, None, 0.7], "val/loss": [1.0, 0.8, 0.4, 0.6]}
    pd.DataFrame(scores).to_csv(found.history, index=False)
    return found


def test_the_epochs_of_a_run_are_the_rows_of_its_history(run, tmp_path):
    assert run.epochs == 4
    assert RunDir(tmp_path / "none").epochs == 0


def test_an_older_run_kept_its_best_epoch_by_the_history(run):
    assert run.kept_epoch("val/auroc_macro", "max") == 1
    assert run.kept_epoch("val/auroc_macro", "min") == 0
    assert run.kept_epoch("val/loss", "min") == 2
    assert run.kept_epoch("val/dice", "max") == 3  # without this score, the last
    run.update_status(kept_epoch=0)
    assert run.kept_epoch("val/loss", "min") == 0


def test_an_older_run_kept_its_first_epoch_where_no_score_was_defined(run):
    pd.DataFrame({"epoch": [0, 1], "val/auroc_macro": [None, None]}).to_csv(run.history, index=False)
    assert run.kept_epoch("val/auroc_macro", "max") == 0
    run.history.unlink()
    with pytest.raises(DamagedError, match="it is missing"):
        run.kept_epoch("val/auroc_macro", "max")


def test_the_seconds_of_a_run_add_up_over_its_processes(run, monkeypatch):
    monkeypatch.setattr("bus_lightning.runs.folder.time.monotonic", lambda: 107.5)
    run.finish("interrupted", started=100.0)
    run.finish("complete", started=105.0, epochs=4)
    status = run.status
    assert (status["seconds"], status["state"], status["epochs"]) == (10.0, "complete", 4)
