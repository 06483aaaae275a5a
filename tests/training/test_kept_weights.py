"""One network in a run: the weights that are scored are those that are kept, tested, and evaluated again."""

from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import SMALL, Plug, contents, evaluate_again, stopped_and_whole

from bus_lightning.config.stored import load_config
from bus_lightning.core.errors import UserError
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.prepare import prepare_data
from bus_lightning.data.splits import load_split
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import train
from bus_lightning.training.building import build_task
from bus_lightning.training.callbacks.checkpoints import best_checkpoint
from bus_lightning.training.hardware import choose_hardware

pytestmark = pytest.mark.usefixtures("no_pictures")
LIGHTNING = "lightning.pytorch.callbacks"
EMA = [f"+callbacks.ema._target_={LIGHTNING}.EMAWeightAveraging", "+callbacks.ema.decay=0.9"]
FLAT = f"+callbacks.average._target_={LIGHTNING}.WeightAveraging"


class Negated(pl.Callback):
    """Validates the network with its head turned round, as somebody's own callback might replace weights."""

    def on_validation_start(self, trainer, pl_module):
        self.turn(pl_module)

    def on_validation_end(self, trainer, pl_module):
        self.turn(pl_module)

    def turn(self, pl_module):
        with torch.no_grad():
            list(pl_module.net.parameters())[-2].neg_()


def predictions_of_the_kept_file(run, part):
    """Answer a part with plain torch and the tensors of best.ckpt: id -> probabilities."""
    cfg = load_config(run.config)
    prepared, split = prepare_data(cfg.data, needs_masks=False), load_split(run.split)
    datamodule = BusDataModule(prepared, split, cfg, full_masks=False)
    task = build_task(cfg, datamodule, choose_hardware(cfg, run.status), starts=False)
    task.load_state_dict(torch.load(run.best, weights_only=True)["state_dict"])
    task.eval()
    predictions = {}
    with torch.inference_mode():
        for batch in datamodule.evaluation_dataloader(part):
            predictions |= dict(zip(batch["id"], task(batch["image"]).softmax(1).numpy(), strict=True))
    return predictions


def check_one_network(run):
    """Check that score, validation metrics, test cases, best.ckpt, history and evaluations are of one network."""
    cases = pd.read_csv(run.cases)
    for part in ("val", "test"):
        rows = cases[cases["split"] == part]
        kept = predictions_of_the_kept_file(run, part)
        written = rows.filter(like="prob_").to_numpy()
        np.testing.assert_allclose(written, np.stack([kept[id_] for id_ in rows["id"]]), atol=2e-6)
        assert evaluate_again(run, part).metrics[part] == run.metrics[part]
    history, status = pd.read_csv(run.history), run.status
    row = history[history["epoch"] == status["kept_epoch"]].iloc[0]
    assert torch.load(run.best, weights_only=True)["epoch"] == status["kept_epoch"]
    assert run.metrics["val"]["loss"] == pytest.approx(row["val/loss"], rel=1e-5)
    if status["kept_by"] == "val/auroc_macro":
        assert run.metrics["val"]["auroc_macro"] == pytest.approx(status["score"], rel=1e-6)
        assert row["val/auroc_macro"] == pytest.approx(status["score"], rel=1e-6)
        scores = history["val/auroc_macro"]
        assert status["score"] == (scores.max() if load_config(run.config).task.mode == "max" else scores.min())


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [[], [*EMA, "task.mode=min"], ["callbacks=ema", "callbacks.progress=null", "callbacks.ema.decay=0.5"], [FLAT],
     [*EMA, "+callbacks.ema.update_every_n_steps=3", "+callbacks.ema.update_starting_at_epoch=1", "task.mode=min"],
     ["+callbacks.own._target_=test_kept_weights.Negated"]],
    ids=["plain", "ema", "ready", "average", "at-epochs", "own"],
)  # fmt: skip
def test_what_is_scored_is_what_is_kept_tested_and_evaluated_again(trained, overrides):
    run = trained(*SMALL, *overrides, "trainer.max_epochs=4", "optimizer.lr=0.003")
    assert run.status["kept_epoch"] < 3, "the best epoch is the last: nothing was tested"
    check_one_network(run)


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [[], EMA, [FLAT]], ids=["plain", "ema", "average"])
def test_without_validation_the_last_weights_as_callbacks_average_them_are_kept_and_tested(trained, overrides):
    run = trained(
        *SMALL, *overrides, "trainer.max_epochs=2", "data.split.ratio=[4,1]", "scheduler=none", "keep_last=true"
    )
    assert (run.status["kept_epoch"], run.status["kept_by"], run.status["score"]) == (1, "last epoch", None)
    assert run.metrics["val"]["n"] == 0
    last = torch.load(run.last, weights_only=True)
    kept = torch.load(run.best, weights_only=True)["state_dict"]
    assert all(torch.equal(kept[name], last["state_dict"][name]) for name in kept)
    assert evaluate_again(run).metrics["test"] == run.metrics["test"]
    if overrides:
        raw = last["current_model_state"]
        assert any(not torch.equal(raw[name], kept[name]) for name in kept)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [(1, 1), (2, 0)])
def test_an_interrupted_run_with_averaged_weights_goes_on_to_the_bits_of_an_undisturbed_one(composed, stop):
    overrides = [*SMALL, *EMA, "trainer.max_epochs=3", "optimizer.lr=0.003", "scheduler.patience=0",
                 "callbacks.checkpoint.every_n_train_steps=2"]  # fmt: skip
    runs = stopped_and_whole(composed, overrides, Plug(*stop))
    assert contents(runs[0]) == contents(runs[1])
    first, second = (torch.load(run.best, weights_only=True)["state_dict"] for run in runs)
    assert all(torch.equal(first[name], second[name]) for name in second)
    check_one_network(runs[0])


@pytest.mark.parametrize(
    ("target", "more", "named"),
    [("StochasticWeightAveraging", ["swa_lrs=0.01"], "callbacks=ema"),
     ("Timer", ["duration=00:01:00:00"], "max_epochs"),
     ("LearningRateFinder", ["mode=linear"], r"optimizer\.lr"),
     ("BatchSizeFinder", ["mode=power"], "debug=batch_size"),
     ("ModelPruning", ["pruning_fn=l1_unstructured"], "renames")],
)  # fmt: skip
def test_callbacks_whose_weights_are_never_scored_are_refused_before_training(
    composed, monkeypatch, target, more, named
):
    monkeypatch.setattr(pl.Trainer, "fit", lambda *_, **__: pytest.fail("it trained"))
    options = [f"+callbacks.x.{option}" for option in more]
    with pytest.raises(UserError, match=rf"callbacks\.x: {target} .*{named}") as error:
        train.run(composed(*SMALL, f"+callbacks.x._target_={LIGHTNING}.{target}", *options))
    assert "\n" not in str(error.value)


def test_what_is_no_callback_is_refused(composed):
    with pytest.raises(UserError, match=r"callbacks\.x \(builtins\.dict\) is not a callback"):
        train.run(composed(*SMALL, "+callbacks.x._target_=builtins.dict"))


def test_callbacks_combine_and_the_bar_may_be_switched_off(composed):
    cfg = composed("callbacks=[early_stopping,ema]", "callbacks.progress=null")
    assert cfg.callbacks.early_stopping.patience == 15
    assert cfg.callbacks.ema.decay == 0.99
    assert cfg.callbacks.step_seed.seed == 0


def test_training_callbacks_take_no_part_in_the_evaluation_after_it(trained, adding):
    seen = []

    class Watch(pl.Callback):
        def on_validation_epoch_start(self, trainer, pl_module):
            seen.append((trainer.state.fn, "val"))

        def on_test_epoch_start(self, trainer, pl_module):
            seen.append((trainer.state.fn, "test"))

    adding(Watch())
    trained(*SMALL)
    assert [(fn.value, part) for fn, part in seen] == [("fit", "val")]


@pytest.mark.parametrize(("limit", "number"), [("2", 8), ("0.5", 8), ("1", 4), ("1.0", 15)])
def test_limited_validation_and_test_take_images_of_all_classes(trained, limit, number):
    run = trained(*SMALL, "data.batch_size=4", "data.split.ratio=[3,1,1]", f"trainer.limit_val_batches={limit}",
                  f"trainer.limit_test_batches={limit}")  # fmt: skip
    cases, split = pd.read_csv(run.cases), load_split(run.split)
    for part in ("val", "test"):
        rows = cases[cases["split"] == part]
        assert len(rows) == min(number, len(split.part(part)))
        assert set(rows["label"]) == {"benign", "malignant", "normal"}
        assert list(rows["id"]) == sorted(rows["id"])
    assert run.status["score"] is not None


@pytest.mark.parametrize(("score", "mode", "better", "worse"), [(0.8, "max", 0.9, 0.8), (0.8, "min", 0.7, 0.8)])
def test_a_run_that_an_earlier_version_began_remembers_its_best_score(tmp_path, score, mode, better, worse):
    kept = best_checkpoint(RunDir(tmp_path), "val/auroc_macro", mode)
    # As versions up to 0.1 named and wrote it into last.ckpt.
    options = "'every_n_train_steps': 0, 'every_n_epochs': 1, 'train_time_interval': None"
    assert kept.state_key == f"MovableCheckpoint{{'monitor': 'val/auroc_macro', 'mode': '{mode}', {options}}}"
    path = "/elsewhere/checkpoints/best.ckpt"
    kept.load_state_dict({"monitor": "val/auroc_macro", "best_model_score": torch.tensor(score),
                          "best_model_path": path,
                          "current_score": torch.tensor(0.7), "dirpath": "/elsewhere/checkpoints",
                          "best_k_models": {path: torch.tensor(score)}, "kth_best_model_path": path,
                          "kth_value": torch.tensor(score), "last_model_path": ""})  # fmt: skip

    def rank(value):
        metrics = {"val/auroc_macro": torch.tensor(value), "val/loss": torch.tensor(1.0)}
        return kept._judge(SimpleNamespace(callback_metrics=metrics, current_epoch=5, is_global_zero=True), None)[0]

    assert rank(better) > kept._rank >= rank(worse)
    assert (kept.kept_epoch, kept.kept_by) == (None, "val/auroc_macro")
    assert kept.best_model_path == str(RunDir(tmp_path).best)
