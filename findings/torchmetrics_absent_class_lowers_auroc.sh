#!/usr/bin/env bash
# A perfect classifier has a macro AUROC of 0.67 if one of three classes does not occur, and 1.0 by each other metric.
#
# Library: torchmetrics 1.9.0 on torch 2.14.1.
# Guess: the macro means of one library treat a class without a case alike.
# Seen: `MulticlassAUROC` gives that class 0 and counts it (with a warning). `MulticlassAveragePrecision` gives it NaN and
#   leaves it out, and the F1, the recall and the accuracy give it 0 and leave it out, so that their means stay at 1.0. A
#   single prediction of that class makes the F1 count it. BUSI has one normal image in six: a small fold or a data set
#   without normal images meets this.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 torchmetrics==1.9.0
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import torch
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassAveragePrecision,
    MulticlassF1Score,
    MulticlassRecall,
)

truth = torch.tensor([0, 0, 1, 1])  # no case of class 2
perfect = torch.eye(3)[truth] * 0.8 + 0.1
means, parts = {}, {}
for metric in (MulticlassAUROC, MulticlassAveragePrecision, MulticlassF1Score, MulticlassRecall, MulticlassAccuracy):
    means[metric.__name__] = metric(num_classes=3, average="macro")(perfect, truth).item()
    parts[metric.__name__] = metric(num_classes=3, average=None)(perfect, truth).tolist()
    print(metric.__name__, round(means[metric.__name__], 3), parts[metric.__name__])
assert abs(means.pop("MulticlassAUROC") - 2 / 3) < 1e-6
assert set(means.values()) == {1.0}
assert parts["MulticlassAUROC"][2] == parts["MulticlassF1Score"][2] == 0.0

wrong = torch.eye(3)[torch.tensor([0, 0, 1, 2])] * 0.8 + 0.1  # the last image is called class 2
f1 = MulticlassF1Score(num_classes=3, average="macro")(wrong, truth).item()
print("F1 with one prediction of the absent class:", round(f1, 3))
assert abs(f1 - (1 + 2 / 3 + 0) / 3) < 1e-6
PYTHON
echo "As described."
