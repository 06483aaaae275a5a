#!/usr/bin/env bash
# overfit_batches turns a validation on that limit_val_batches=0 has turned off.
#
# Library: lightning 2.6.6 on torch 2.14.1.
# Guess: Trainer(limit_val_batches=0) validates nothing, whatever the other options are, and overfit_batches limits the
#   training alone.
# Seen: with overfit_batches=2, two validation batches run in each epoch. Setting trainer.limit_val_batches = 0 after the
#   Trainer is made does turn the validation off.
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
from torch.utils.data import DataLoader, TensorDataset

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Line(pl.LightningModule):
    """One weight, which counts the batches that it was validated on."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(1, 1)
        self.validated = 0

    def training_step(self, batch, batch_idx):
        return self.net(batch[0]).square().mean()

    def validation_step(self, batch, batch_idx):
        self.validated += 1

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def validated(after=None, **options):
    """Train an epoch of ten batches, with four validation batches; return how many of these were used."""
    module = Line()
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
                         enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, **options)
    if after is not None:
        trainer.limit_val_batches = after
    trainer.fit(module, *(DataLoader(TensorDataset(torch.zeros(size, 1)), batch_size=1) for size in (10, 4)))
    return module.validated


seen = {
    "limit_val_batches=0": validated(limit_val_batches=0),
    "limit_val_batches=0, overfit_batches=2": validated(limit_val_batches=0, overfit_batches=2),
    "overfit_batches=2, then trainer.limit_val_batches = 0": validated(after=0, overfit_batches=2),
}
for options, batches in seen.items():
    print(f"{options}: {batches} validation batches")
assert list(seen.values()) == [0, 2, 0], seen
PYTHON
echo "As described."
