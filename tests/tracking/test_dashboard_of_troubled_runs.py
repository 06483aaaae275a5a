"""A run that is interrupted or fails is so in W&B, and a failing W&B costs no finished training."""

import logging
from pathlib import Path

import pytest
import wandb
from recordings import read_recording
from small_runs import Plug, train_until

from bus_lightning.runs.folder import RunDir
from bus_lightning.tracking import charts
from bus_lightning.training import fit, train


def test_an_interrupted_run_is_killed_and_goes_on_under_its_id_without_repeating_an_epoch(composed):
    overrides = ["model=alexnet", "logger=wandb", "trainer.max_epochs=3", "name=one"]
    train_until(Plug(1, 0), composed(*overrides))
    run = RunDir(Path(composed(*overrides).runs_dir) / "classification" / "one")
    assert read_recording(run.path).exit_code == 255
    train.run(composed(*overrides))
    whole = read_recording(run.path)
    assert (whole.state, whole.exit_code) == ("finished", 0)
    assert [row["epoch"] for row in whole.history if "val/loss" in row] == [0, 1, 2]
    ids = {part.name.rpartition("-")[2] for part in run.path.glob("wandb/offline-run-*")}
    assert ids == {(run.path / "wandb_id.txt").read_text()}


def test_a_failed_run_is_failed_and_says_why(composed, monkeypatch):
    monkeypatch.setattr(fit, "evaluate_parts", lambda *_: 1 / 0)
    cfg = composed("model=alexnet", "logger=wandb")
    with pytest.raises(ZeroDivisionError):
        train.run(cfg)
    run = read_recording(Path(cfg.runs_dir) / cfg.group / cfg.name)
    assert (run.state, run.exit_code) == ("failed", 1)
    assert "division by zero" in run.summary["error"]


def test_a_failing_dashboard_costs_no_finished_training(composed, monkeypatch, caplog):
    def refuse(*_):
        raise RuntimeError("no disk for pictures")

    monkeypatch.setattr(charts, "case_table", refuse)
    cfg = composed("model=alexnet", "logger=wandb")
    with caplog.at_level(logging.WARNING):
        train.run(cfg)
    run = RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)
    assert run.is_complete
    assert read_recording(run.path).summary["test/accuracy"] == pytest.approx(run.metrics["test"]["accuracy"])
    assert "not all results went to W&B: RuntimeError: no disk for pictures" in caplog.text
    assert wandb.run is None
