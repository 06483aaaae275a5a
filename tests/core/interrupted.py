"""Trainings that tests interrupt, how, and what they have written then."""

import signal

import torch
from small_runs import contents

# Rates that change, dropout, and four or more steps in an epoch.
ALEXNET = [
    "model=alexnet",
    "data.batch_size=8",
    "trainer.max_epochs=3",
    "scheduler.patience=0",
    "+scheduler.threshold=0.9",
]
U2NET_LITE = ["model=u2net_lite", "data.size=32", "data.batch_size=8", "trainer.max_epochs=3", "scheduler=cosine"]


def results_of(run):
    weights = torch.load(run.best, weights_only=True)["state_dict"]
    return contents(run) | {name: tensor.numpy().tobytes() for name, tensor in weights.items()}


def kill():
    """End like SIGKILL, as far as a test can: nothing is saved and nothing is reported."""
    raise KeyboardInterrupt


def raise_later(number):
    return lambda: signal.raise_signal(number)
