#!/usr/bin/env bash
# With EMAWeightAveraging, save_weights_only decides which network ModelCheckpoint keeps.
#
# Library: lightning 2.6.6 on torch 2.14.1.
# Guess: ModelCheckpoint(save_weights_only=True) keeps the same weights as without it, and leaves out the optimizer.
# Seen: validation runs on the averaged weights. A full checkpoint holds these averaged weights in "state_dict". A
#   weights-only checkpoint of the same epoch holds the raw weights, which were never validated: its score belongs to
#   another network.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 lightning==2.6.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import logging

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Line(pl.LightningModule):
    """One weight that falls by 1 in each step."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.net.weight)
        self.validated = []

    def training_step(self, batch, batch_idx):
        return self.net(batch[0]).sum()

    def validation_step(self, batch, batch_idx):
        self.validated.append(float(self.net.weight))
        self.log("score", float(self.current_epoch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


def kept(weights_only):
    """Train three epochs of four steps; return the weight that was validated last and the one that is kept."""
    module, images = Line(), DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=4)
    steps = DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=1)
    best = ModelCheckpoint(f"kept-{weights_only}", monitor="score", mode="max", save_weights_only=weights_only)
    trainer = pl.Trainer(max_epochs=3, accelerator="cpu", logger=False, enable_progress_bar=False,
                         enable_model_summary=False, num_sanity_val_steps=0,
                         callbacks=[best, EMAWeightAveraging(decay=0.5)])
    trainer.fit(module, steps, images)
    state = torch.load(best.best_model_path, weights_only=True)["state_dict"]
    return module.validated[-1], float(state["net.weight"])


full, weights = kept(False), kept(True)
print("full checkpoint: validated %.3f, kept %.3f" % full)
print("weights only:    validated %.3f, kept %.3f" % weights)
assert full[0] == full[1], "the full checkpoint holds what was validated"
assert weights[1] == -12 and weights[0] > -11.5, "the weights-only checkpoint holds the raw weight, -12"
PYTHON
echo "As described."
