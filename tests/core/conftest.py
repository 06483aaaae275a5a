"""A training that is watched, or undisturbed, for the tests of interruptions."""

import lightning.pytorch as pl
import pytest
from interrupted import results_of
from small_runs import folder_of

from bus_lightning.training import fit, train


class Watch(pl.Callback):
    """Notes the images of each step, and does what is to be done at a moment."""

    def __init__(self):
        self.steps, self.at = [], {}

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.steps.append((trainer.current_epoch, batch_idx, tuple(batch["id"])))
        self.at.pop((trainer.current_epoch, batch_idx), lambda: None)()

    def on_validation_start(self, trainer, module):
        if trainer.state.fn == "fit":
            self.at.pop((trainer.current_epoch, "validation"), lambda: None)()

    def on_test(self):
        """Act just before the kept weights are tested, where no callback runs."""
        self.at.pop("test", lambda: None)()


@pytest.fixture
def watch(monkeypatch):
    watch, usual = Watch(), fit.build_trainer
    monkeypatch.setattr(
        fit, "build_trainer", lambda *args, callbacks, **options: usual(*args, callbacks=[watch, *callbacks], **options)
    )
    monkeypatch.setattr(fit, "save_sheet", lambda *_: None)
    test = pl.Trainer.test
    monkeypatch.setattr(pl.Trainer, "test", lambda self, *a, **k: watch.on_test() or test(self, *a, **k))
    return watch


@pytest.fixture(scope="session")
def known():
    return {}


@pytest.fixture
def undisturbed(composed, watch, known):
    """Train once without an interruption; return the results and the images of each step."""

    def go(*overrides):
        if overrides not in known:
            cfg = composed(*overrides, "group=undisturbed")
            train.run(cfg)
            known[overrides], watch.steps = (results_of(folder_of(cfg)), watch.steps), []
        return known[overrides]

    return go
