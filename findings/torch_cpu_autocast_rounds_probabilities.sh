#!/usr/bin/env bash
# On a CPU, autocast leaves softmax and sigmoid in bfloat16, so that confident answers become ties at exactly 1.
#
# Library: torch 2.14.1. PyTorch's page on autocast lists softmax among the operations that a GPU computes in float32.
# Guess: a softmax under autocast gives float32 on a CPU, too, and at least keeps the order of the cases.
# Seen: softmax, log_softmax and sigmoid return bfloat16, although cross_entropy returns float32. Between 0.9961 and 1 there
#   is no value: of 2,000 cases with distinct logits, most get a probability that others have as well, about a thousand
#   exactly 1, and the AUROC changes in the third digit. `logits.float().softmax(1)` keeps every case apart.
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
    rounded, apart = low.softmax(1), logits.softmax(1)
    kinds = [low.softmax(1).dtype, low.log_softmax(1).dtype, low.sigmoid().dtype]
    loss = torch.nn.functional.cross_entropy(low, truth).dtype
print("softmax, log_softmax, sigmoid:", *kinds, "- cross_entropy:", loss)
assert set(kinds) == {torch.bfloat16}
assert loss == torch.float32

values, certain = rounded[:, 1].unique().numel(), int((rounded[:, 1] == 1).sum())
print(values, "different probabilities of 2,000;", certain, "are exactly 1")
print("AUROC in bfloat16 and in float32:", round(area(rounded[:, 1]), 4), round(area(apart[:, 1]), 4))
assert values < 200
assert certain > 500
assert abs(area(rounded[:, 1]) - area(apart[:, 1])) > 0.002
PYTHON
echo "As described."
