"""A plugin for pytest: small runs, stopped in the middle, with other callbacks, or evaluated again."""

import lightning.pytorch as pl
import pytest
from omegaconf import OmegaConf

from bus_lightning.runs.folder import RunDir
from bus_lightning.training import fit, train
from bus_lightning.training.evaluate import evaluate_run

SMALL = ["model=resnet34", "data.size=32", "data.batch_size=8", "trainer.precision=32-true"]


class Plug(pl.Callback):
    """Pulls the plug in the middle of an epoch."""

    def __init__(self, epoch, batch=1):
        self.epoch, self.batch = epoch, batch

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (self.epoch, self.batch):
            raise KeyboardInterrupt


def evaluate_again(run, part="test"):
    """Evaluate a run as `evaluate.py` does."""
    data = {"root": None, "skip_unreadable": False}
    return evaluate_run(run, OmegaConf.create({"part": part, "split": None, "progress": False, "data": data}))


def folder_of(cfg):
    return RunDir(train.Path(cfg.runs_dir) / cfg.group / cfg.name)


@pytest.fixture
def no_pictures(monkeypatch):
    """Leave out the pictures at the end of a training, which take longer than a small network."""
    monkeypatch.setattr(fit, "save_sheet", lambda *_: None)


@pytest.fixture
def adding(monkeypatch):
    """Train with further callbacks, which no config names."""
    usual = fit.build_trainer

    def add(*more):
        monkeypatch.setattr(
            fit,
            "build_trainer",
            lambda *args, callbacks, **options: usual(*args, callbacks=[*more, *callbacks], **options),
        )

    return add


def train_until(plug, cfg):
    """Train until a plug is pulled."""
    usual = fit.build_trainer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "build_trainer", lambda *g, callbacks, **o: usual(*g, callbacks=[*callbacks, plug], **o))
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train.run(cfg)


def stopped_and_whole(composed, overrides, plug):
    """Train twice, once with a plug that is pulled and a second start, and return both folders."""
    train_until(plug, composed(*overrides, "group=stopped"))
    runs = []
    for group in ("stopped", "whole"):
        cfg = composed(*overrides, f"group={group}")
        train.run(cfg)
        runs.append(folder_of(cfg))
    return runs


def contents(run):
    """Read what a run has written of its results."""
    return {file.name: file.read_bytes() for file in (run.cases, run.metrics_file, run.history)}
