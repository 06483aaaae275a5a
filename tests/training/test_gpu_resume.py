"""Stopped and resumed on a GPU: the same bits where the operations are deterministic, else the stated tolerance."""

import signal
from pathlib import Path

import lightning.pytorch as pl
import pandas as pd
import pytest
import torch

from bus_lightning.core.interruption import Interrupted
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import fit

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here"),
]
# AlexNet's pooling has no deterministic form.
OVERRIDES = ["model=resnet34", "data.batch_size=8", "trainer.max_epochs=3", "trainer.accelerator=gpu",
        "trainer.precision=32-true"]  # fmt: skip
LOSS_TOLERANCE = 1e-2  # relative, of each epoch's training and validation loss
AUC_TOLERANCE = 0.02  # absolute, of the test images


class Stop(pl.Callback):
    """Sends SIGTERM within the second epoch, once."""

    def __init__(self):
        self.sent = False

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (1, 2) and not self.sent:
            self.sent = True
            signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def undisturbed_and_resumed(composed, monkeypatch):
    """Train once without a stop, and once stopped in the second epoch and started again; return both folders."""

    def train(*overrides):
        runs = []
        for name in ("undisturbed", "resumed"):
            cfg = composed(*OVERRIDES, *overrides, f"name={name}")
            runs.append(RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name))
            if name == "resumed":
                stop, usual = Stop(), fit.build_trainer

                def build(*args, callbacks, stop=stop, usual=usual, **options):
                    return usual(*args, callbacks=[stop, *callbacks], **options)

                monkeypatch.setattr(fit, "build_trainer", build)
                with pytest.raises(Interrupted):
                    train.run(cfg)
                assert runs[1].status["state"] == "interrupted"
                cfg = composed(*OVERRIDES, *overrides, f"name={name}")
            train.run(cfg)
        return runs

    return train


def test_a_resumed_run_has_the_bits_of_an_undisturbed_one_when_it_is_deterministic(undisturbed_and_resumed):
    undisturbed, resumed = undisturbed_and_resumed("trainer.deterministic=true")
    for file in ("cases", "metrics_file", "history"):
        assert getattr(resumed, file).read_bytes() == getattr(undisturbed, file).read_bytes()
    kept, expected = (torch.load(run.best, weights_only=True)["state_dict"] for run in (resumed, undisturbed))
    assert kept.keys() == expected.keys()
    assert all(torch.equal(kept[name], expected[name]) for name in expected)


def test_a_resumed_run_stays_within_the_stated_tolerance_when_it_is_not_deterministic(undisturbed_and_resumed):
    undisturbed, resumed = undisturbed_and_resumed()
    actual, expected = pd.read_csv(resumed.history), pd.read_csv(undisturbed.history)
    assert actual["epoch"].tolist() == expected["epoch"].tolist() == [0, 1, 2]
    for column in ("train/loss", "val/loss"):
        assert actual[column].tolist() == pytest.approx(expected[column].tolist(), rel=LOSS_TOLERANCE)
    auc = [run.metrics["test"]["macro_auc"] for run in (resumed, undisturbed)]
    assert auc[0] == pytest.approx(auc[1], abs=AUC_TOLERANCE)
