"""Options of Lightning's Trainer: each trains to a complete run that can be evaluated again."""

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import SMALL, Plug, contents, evaluate_again, stopped_and_whole

from bus_lightning.core.errors import UserError
from bus_lightning.tracking import results
from bus_lightning.training import fit, train

FLOATS = ("64-true", "16-true", "bf16-true", "bf16-mixed", "16-mixed")


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(fit, "save_sheet", lambda *_: None)


@pytest.mark.slow
def test_what_needs_a_validation_waits_if_it_runs_every_second_epoch(composed):
    # A plateau scheduler without patience, whose threshold cannot be reached: each new validation loss lowers the rate.
    overrides = [*SMALL, "+trainer.check_val_every_n_epoch=2", "trainer.max_epochs=5", "scheduler.patience=0",
                 "+scheduler.threshold=100", "+scheduler.threshold_mode=abs", "optimizer.lr=0.01",
                 "callbacks=early_stopping", "callbacks.progress=null"]  # fmt: skip
    stopped, whole = stopped_and_whole(composed, overrides, Plug(2))
    assert contents(stopped) == contents(whole)
    history = pd.read_csv(whole.history)
    validated = history.filter(like="val/").notna()
    assert validated.loc[[1, 3]].all(axis=None)
    assert not validated.loc[[0, 2, 4]].any(axis=None)
    np.testing.assert_allclose(history["lr"], [0.01, 0.01, 0.01, 0.01, 0.001])  # the first loss is no plateau
    assert whole.status["kept_epoch"] == history["val/auroc_macro"].idxmax()
    assert whole.status["score"] == history["val/auroc_macro"].max()
    assert evaluate_again(whole).metrics["test"] == whole.metrics["test"]


@pytest.mark.slow
@pytest.mark.parametrize("precision", FLOATS)
@pytest.mark.filterwarnings("ignore:.*AMP with fp16 is not supported on CPU")
def test_each_precision_trains_to_a_complete_run(trained, precision):
    more = ["+optimizer.eps=1e-4"] if precision == "16-true" else []
    run = trained(*SMALL, f"trainer.precision={precision}", "trainer.max_epochs=2", *more)
    assert run.is_complete
    assert run.status["latency_ms"] > 0
    assert evaluate_again(run).metrics["test"] == run.metrics["test"]


@pytest.mark.slow
def test_double_precision_goes_on_without_rounding(composed):
    overrides = [*SMALL, "trainer.precision=64-true", "trainer.max_epochs=3", "callbacks=ema",
                 "callbacks.progress=null"]  # fmt: skip
    stopped, whole = stopped_and_whole(composed, overrides, Plug(1))
    assert contents(stopped) == contents(whole)
    weights = torch.load(whole.best, weights_only=True)["state_dict"]
    assert {value.dtype for value in weights.values()} == {torch.float64, torch.int64}


@pytest.mark.slow
@pytest.mark.parametrize("model", ["unet", "joint_unet"])
def test_other_tasks_train_in_double_precision(trained, model):
    run = trained(f"model={model}", "data.size=32", "trainer.precision=64-true")
    assert run.status["latency_ms"] > 0


@pytest.mark.parametrize(
    "overrides",
    [["trainer.num_sanity_val_steps=2"], ["trainer.overfit_batches=2"], ["+trainer.min_epochs=2"],
     ["+trainer.reload_dataloaders_every_n_epochs=1"], ["trainer.accumulate_grad_batches=3"],
     ["trainer.gradient_clip_val=0.1", "+trainer.gradient_clip_algorithm=value"], ["trainer.limit_train_batches=2"],
     ["trainer.limit_val_batches=0", "scheduler=none"], ["trainer.enable_progress_bar=false"]],
    ids=lambda overrides: overrides[0].partition("=")[0].rpartition(".")[2],
)  # fmt: skip
def test_an_option_trains_to_a_complete_run_that_can_be_evaluated_again(trained, overrides):
    run = trained(*SMALL, *overrides, "trainer.max_epochs=2")
    assert run.is_complete
    assert len(pd.read_csv(run.history)) == run.status["epochs"] == 2
    assert evaluate_again(run).metrics["test"] == run.metrics["test"]
    if "trainer.limit_val_batches=0" in overrides:
        assert (run.metrics["val"]["n"], run.status["kept_by"], run.status["kept_epoch"]) == (0, "last epoch", 1)
        assert evaluate_again(run, "val").metrics["val"]["n"] > 0  # it was left out of the training only
    else:
        assert run.metrics["val"]["auroc_macro"] == pytest.approx(run.status["score"], rel=1e-6)


def test_a_failing_extra_after_the_training_never_loses_the_result(trained, monkeypatch, caplog):
    def broken(*_, **__):
        raise RuntimeError("several\nlines of trouble")

    for module, name in ((fit, "latency"), (fit, "save_sheet"), (results, "_send")):
        monkeypatch.setattr(module, name, broken)
    run = trained(*SMALL, "logger=wandb")
    assert run.is_complete
    assert run.status["state"] == "complete"
    assert "latency_ms" not in run.status
    messages = [record.getMessage() for record in caplog.records if "several" in record.getMessage()]
    assert len(messages) == 3
    assert [line.partition(": ")[2] for line in messages[:2]] == [
        "no latency: RuntimeError: several lines of trouble",
        "no picture of test samples: RuntimeError: several lines of trouble",
    ]
    assert "not all results went to W&B" in messages[2]


def test_impossible_options_are_refused_before_any_compute(composed, monkeypatch):
    monkeypatch.setattr(train, "prepare_data", lambda *_, **__: pytest.fail("it read the data"))
    with pytest.raises(UserError, match=r"trainer\.max_steps=3: .* trainer\.max_epochs"):
        train.run(composed(*SMALL, "+trainer.max_steps=3"))
