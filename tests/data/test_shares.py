"""A segmenter's shares of pixels while training are not taken for the counts of its evaluations."""

import lightning.pytorch as pl
import pandas as pd
import pytest
import torch
from torch import nn

from bus_lightning.tasks.segmentation import SegmentationTask

KINDS = ("tp", "fp", "fn", "tn")


def test_shares_and_counts_have_different_names(trained):
    run = trained("model=u2net_lite", "data.split.val_from_train=1", "data.size=32")
    history = pd.read_csv(run.history).iloc[-1]
    assert sum(history[f"train/{kind}_share"] for kind in KINDS) == pytest.approx(1)
    assert not [kind for kind in KINDS if f"train/{kind}" in history]
    assert sum(history[f"val/{kind}"] for kind in KINDS) > 1000


def test_an_epoch_that_an_older_version_began_goes_on_with_the_sums_that_it_had():
    task = SegmentationTask(
        net=nn.Conv2d(3, 1, 1), loss=nn.BCEWithLogitsLoss(), classes=["a"], optimizer=torch.optim.SGD
    )
    task.trainer = pl.Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
                              enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    before = {"loss": torch.tensor([3.0]), **{kind: torch.tensor([2.0]) for kind in KINDS}}
    task.on_load_checkpoint({"epoch_sums": before, "epoch_images": torch.tensor([8])})
    assert {name: float(total) for name, total in task._sums.items()} == {
        "loss": 3.0, **{f"{kind}_share": 2.0 for kind in KINDS}
    }  # fmt: skip
