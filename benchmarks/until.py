"""Stop a training when its validation score is reached, and note the moment: a callback that ours and plain take."""

import json
import os
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.trainer.states import TrainerFn


class Until(pl.Callback):
    """Write a JSON file after each validation: scores so far, and when the goal was reached.

    Args:
        metric: Name of the score, higher is better.
        goal: The score to reach.
        path: The JSON: `scores`, one per validation; `reached`, in seconds since the epoch, and `busy`, seconds that
            processors had worked for this process by then, both null until the goal is reached.
    """

    def __init__(self, metric: str, goal: float, path: str) -> None:
        self.metric, self.goal, self.path = metric, goal, Path(path)
        self.scores: list[float] = []
        self.reached: float | None = None
        self.busy: float | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the score, and stop the training if it is high enough."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        self.scores.append(float(trainer.callback_metrics[self.metric]))
        if self.scores[-1] >= self.goal and self.reached is None:
            self.reached, self.busy = time.time(), sum(os.times()[:4])
            trainer.should_stop = True
        content: dict[str, Any] = {"scores": self.scores, "reached": self.reached, "busy": self.busy}
        self.path.write_text(json.dumps(content))
