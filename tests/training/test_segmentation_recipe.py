"""The means of a modern recipe for segmenters work together."""

import pandas as pd
import pytest
import torch

from bus_lightning.config.rules import check
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.prepare import prepare_data
from bus_lightning.tasks.losses import DiceBCELoss
from bus_lightning.training import fit

RECIPE = ["model=u2net_lite", "task.deep_supervision=true", "optimizer=adamw", "optimizer.lr=0.001",
          "task.loss._target_=bus_lightning.tasks.losses.DiceBCELoss", "data.balance=oversample",
          "data.split.ratio=[11,3,4]", "data.size=32", "data.batch_size=8"]  # fmt: skip


@pytest.mark.slow
def test_deep_supervision_two_losses_oversampling_and_adamw_train_one_u2net(trained, monkeypatch, caplog):
    monkeypatch.setattr(fit, "save_sheet", lambda *_: None)
    built = []
    usual = fit.build_task
    monkeypatch.setattr(fit, "build_task", lambda *args, **options: built.append(usual(*args, **options)) or built[-1])
    run = trained(*RECIPE, "trainer.max_epochs=3")
    (task,) = built
    assert task.deep_supervision
    assert isinstance(task.loss, DiceBCELoss)
    assert isinstance(task.optimizers().optimizer, torch.optim.AdamW)
    assert "oversample" not in caplog.text
    history = pd.read_csv(run.history)
    assert history["train/loss"].iloc[-1] < history["train/loss"].iloc[0]
    assert run.metrics["test"]["dice_image"] is not None


def test_oversampling_without_classes_to_balance_gives_a_warning(trained, monkeypatch, caplog):
    monkeypatch.setattr(fit, "save_sheet", lambda *_: None)
    trained(*RECIPE, "trainer.max_epochs=1", "data.classes=[benign]")
    assert "data.balance=oversample repeats no image: all training images are of one class." in caplog.text


@pytest.mark.parametrize("model", ["u2net_lite", "joint_unet", "alexnet"])
def test_oversampling_draws_the_classes_of_the_images_equally_often_in_every_task(composed, model):
    cfg = composed(f"model={model}", "data.balance=oversample", "data.size=32")
    check(cfg)
    cfg.preprocess.rules = 2
    prepared = prepare_data(cfg.data, needs_masks=cfg.task.name != "classification")
    cfg.data.classes = prepared.classes
    data = BusDataModule(prepared, prepared.split(cfg.data.split), cfg, full_masks=cfg.task.name != "classification")
    before = pd.Series(data.labels).value_counts(normalize=True)
    drawn = []
    for epoch in range(30):
        data.sampler.set_epoch(epoch)
        drawn += [data.labels[position] for position, *_ in data.sampler]
    after = pd.Series(drawn).value_counts(normalize=True)
    assert before.max() - before.min() > 0.1
    assert after.max() - after.min() < 0.08
