#!/usr/bin/env bash
# A monitored score that is NaN in every epoch makes ModelCheckpoint keep the first epoch.
#
# Library: lightning 2.6.6 on torch 2.14.1.
# Guess: with no score to compare, the last epoch is kept, or the checkpoint says that it cannot choose.
# Seen: epoch 0 is kept of three, the best score is -inf (mode "max"), and no warning is given. A macro AUC is NaN
#   whenever the validation images lack a class, so the network that is tested is the one that was hardly trained.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 lightning==2.6.6
cd "$work"
"$work/venv/bin/python" - 2> warnings.txt <<'PYTHON'
import logging

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


class Line(pl.LightningModule):
    """A network whose validation score is undefined."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        return self.net(batch[0]).sum()

    def validation_step(self, batch, batch_idx):
        self.log("auc", float("nan"))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


images = DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=1)
best = ModelCheckpoint("kept", monitor="auc", mode="max")
trainer = pl.Trainer(max_epochs=3, accelerator="cpu", logger=False, enable_progress_bar=False,
                     enable_model_summary=False, callbacks=[best])
trainer.fit(Line(), images, images)
epoch = torch.load(best.best_model_path, weights_only=True)["epoch"]
print("trained", trainer.current_epoch, "epochs, kept epoch", epoch, "with score", float(best.best_model_score))
assert trainer.current_epoch == 3
assert epoch == 0
assert best.best_model_score == float("-inf")
PYTHON
if grep -i "nan\|undefined" warnings.txt; then
  echo "It is said now." && exit 1
fi
echo "As described."
