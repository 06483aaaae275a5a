#!/usr/bin/env bash
# On a CPU, autocast leaves softmax and sigmoid in bfloat16, so that confident answers become ties at exactly 1.
#
# Library: torch 2.14.1. PyTorch's page on autocast lists softmax among the operations that a GPU computes in float32.
# Guess: a softmax under autocast gives float32 on a CPU, too, as cross_entropy does.
# Seen: softmax, log_softmax and sigmoid return bfloat16, which has no value between 0.9961 and 1. 2,000 cases, whose logits
#   have 320 values in bfloat16, get 52 different probabilities, and more than half get exactly 1; the AUROC falls from
#   0.653 to 0.624. `logits.float().softmax(1)` of the same bfloat16 logits keeps their order and the 0.653.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import torch

torch.manual_seed(0)
truth = torch.arange(2000) % 2
logits = torch.stack([torch.zeros(2000), 6 + 2 * torch.randn(2000) + truth], dim=1)


def area(scores):
    """Return how often a positive case scores above a negative one; a tie counts half."""
    scores = scores.double()
    difference = scores[truth == 1][:, None] - scores[truth == 0][None]
    return ((difference > 0).double() + (difference == 0).double() / 2).mean().item()


with torch.autocast("cpu", torch.bfloat16):
    low = logits.bfloat16()  # what a linear layer returns here
    rounded, apart = low.softmax(1)[:, 1], low.float().softmax(1)[:, 1]
    kinds = [low.softmax(1).dtype, low.log_softmax(1).dtype, low.sigmoid().dtype]
    loss = torch.nn.functional.cross_entropy(low, truth).dtype
print("softmax, log_softmax, sigmoid:", *kinds, "- cross_entropy:", loss)
assert set(kinds) == {torch.bfloat16}
assert loss == torch.float32

certain = int((rounded == 1).sum())
print("values of the logits:", low[:, 1].unique().numel())
print("softmax of bfloat16:", rounded.unique().numel(), "values,", certain, "exactly 1, AUROC", round(area(rounded), 3))
print("softmax of float():", apart.unique().numel(), "values, AUROC", round(area(apart), 3))
assert rounded.unique().numel() < apart.unique().numel() / 3
assert certain > 1000
assert area(apart) - area(rounded) > 0.02
PYTHON
echo "As described."
