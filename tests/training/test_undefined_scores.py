"""A score that is undefined, in some epochs or in all, is said once, and the loss or the last epoch decides."""

import math

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import pytest
from small_runs import SMALL, evaluate_again

from bus_lightning.core.errors import UserError
from bus_lightning.training import train

pytestmark = pytest.mark.usefixtures("no_pictures")


class Measured(pl.Callback):
    """Lets a validation measure other values, as of a network that diverges for an epoch."""

    def __init__(self, values, name="val/auroc_macro"):
        self.values, self.name = values, name

    def on_validation_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch in self.values:
            usual, other = pl_module.log, self.values[trainer.current_epoch]
            pl_module.log = lambda name, value, **o: usual(name, other if name == self.name else value, **o)

    def on_validation_end(self, trainer, pl_module):
        pl_module.__dict__.pop("log", None)


@pytest.mark.slow
def test_a_score_that_is_never_defined_is_reported_once_and_the_lowest_validation_loss_decides(trained, adding, caplog):
    adding(Measured({0: 0.9, 1: 0.5, 2: 0.7, 3: 0.5, 4: 0.6}, "val/loss"))
    overrides = ["data.batch_size=2", "trainer.limit_val_batches=1", "trainer.max_epochs=5", "scheduler=none"]
    run = trained(*SMALL, *overrides, "callbacks=early_stopping", "callbacks.early_stopping.patience=1",
                  "callbacks.progress=null")  # fmt: skip
    history = pd.read_csv(run.history)
    assert history["val/auroc_macro"].isna().all()
    assert len(history) == 5, "early stopping has taken an undefined score for a bad one"
    assert (run.status["score"], run.status["kept_epoch"], run.status["kept_by"]) == (None, 1, "val/loss")
    assert run.kept_epoch("val/auroc_macro", "max") == 1
    assert caplog.text.count("val/auroc_macro is undefined in epoch 0 (no image of class") == 1
    assert evaluate_again(run).metrics["test"] == run.metrics["test"]


@pytest.mark.slow
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_undefined_in_some_epochs_is_kept_from_the_others(trained, adding, value, caplog):
    adding(Measured({0: value, 3: value}))
    run = trained(*SMALL, "trainer.max_epochs=4", "callbacks=early_stopping", "callbacks.early_stopping.patience=4",
                  "callbacks.progress=null")  # fmt: skip
    scores = pd.read_csv(run.history)["val/auroc_macro"]
    finite = scores[np.isfinite(scores)]
    assert list(finite.index) == [1, 2]
    assert run.status["kept_epoch"] == int(finite.idxmax())
    assert (run.status["score"], run.status["kept_by"]) == (finite.max(), "val/auroc_macro")
    assert caplog.text.count("is undefined in epoch 0") == 1


@pytest.mark.slow
def test_where_the_loss_is_no_number_either_the_last_epoch_is_kept(trained, adding):
    never = dict.fromkeys(range(3), math.nan)
    adding(Measured(never), Measured(never, "val/loss"))
    run = trained(*SMALL, "trainer.max_epochs=3", "scheduler=none")
    assert (run.status["kept_epoch"], run.status["kept_by"], run.status["score"]) == (2, "last epoch", None)


def test_an_undefined_score_ends_the_training_when_that_is_asked_for(trained, adding):
    adding(Measured({1: math.nan}))
    run = trained(*SMALL, "trainer.max_epochs=4", "callbacks=early_stopping", "callbacks.progress=null",
                  "+callbacks.early_stopping.check_finite=true")  # fmt: skip
    assert run.status["epochs"] == 2


def test_early_stopping_may_watch_another_metric(trained):
    run = trained(*SMALL, "trainer.max_epochs=4", "callbacks=early_stopping", "callbacks.progress=null",
                  "callbacks.early_stopping.monitor=train/loss", "callbacks.early_stopping.mode=min",
                  "callbacks.early_stopping.min_delta=100", "callbacks.early_stopping.patience=1")  # fmt: skip
    assert run.status["epochs"] == 2


@pytest.mark.slow
def test_a_segmenter_without_a_lesion_in_validation_keeps_the_lowest_loss(trained, adding):
    adding(Measured({0: math.nan, 1: math.nan}, "val/dice_image"))
    run = trained("model=unet", "data.size=32", "data.split.val_from_train=2", "trainer.max_epochs=2",
                  "trainer.precision=32-true")  # fmt: skip
    losses = pd.read_csv(run.history)["val/loss"]
    assert (run.status["kept_by"], run.status["kept_epoch"]) == ("val/loss", int(losses.idxmin()))


@pytest.mark.slow
def test_a_search_says_that_a_run_has_no_score(composed):
    overrides = [*SMALL, "data.batch_size=2", "trainer.limit_val_batches=1", "scheduler=none"]
    for _ in range(2):  # the second time the run is complete
        with pytest.raises(UserError, match="val/auroc_macro is undefined in every epoch, so the search") as error:
            train.run(composed(*overrides), optimised=True)
        assert "\n" not in str(error.value)
    assert train.run(composed(*overrides)) is None


def test_a_metric_that_is_not_measured_is_refused_with_those_that_are(composed):
    with pytest.raises(UserError, match=r"task\.monitor=val/f1 is not measured .* val/f1_macro"):
        train.run(composed(*SMALL, "task.monitor=val/f1"))
