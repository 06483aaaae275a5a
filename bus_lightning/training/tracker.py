"""The interface of a logger that also shows a run's results, such as Weights & Biases; training needs only this."""

from typing import Protocol, runtime_checkable

import pandas as pd

from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.metrics.per_case import Metrics
from bus_lightning.runs.folder import RunDir
from bus_lightning.tasks.base import BusTask


@runtime_checkable
class Tracker(Protocol):
    """A logger of the config (`logger=wandb`) that gets the results of a run, and is ended with it."""

    def send_results(
        self, run: RunDir, task: BusTask, datamodule: BusDataModule, cases: pd.DataFrame, metrics: dict[str, Metrics]
    ) -> None:
        """Send the results of a run; an error becomes a line in the log.

        Args:
            run: The run's folder, with everything in it but metrics.json.
            task: The task with the kept weights, attached to a trainer.
            datamodule: The run's images.
            cases: The cases of the evaluated parts.
            metrics: Part -> metrics.
        """

    def finish(self, run: RunDir, exit_code: int) -> None:
        """End the record of a run.

        Args:
            run: The run's folder, whose status says how it ended.
            exit_code: 0 for a finished run, 255 for a stopped one, other numbers for a failed one.
        """
