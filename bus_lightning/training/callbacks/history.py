"""Write history.csv: a row per epoch, without a gap or a repeated row in a resumed run."""

from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import pandas as pd

from bus_lightning.core.csv_files import write_csv
from bus_lightning.core.files import aside
from bus_lightning.tasks.base import BusTask


class History(pl.Callback):
    """Write the metrics of each epoch.

    Args:
        path: The CSV.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the epoch's row and rewrite the file."""
        # Without times, so that the same command gives the same file.
        metrics = cast(BusTask, pl_module).measured().items()
        measured = {name: value for name, value in metrics if not name.startswith("time/")}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append({"epoch": trainer.current_epoch, "lr": rate, **measured})
        if not trainer.is_global_zero:
            return
        with aside(self.path) as temporary:
            write_csv(pd.DataFrame(self.rows), temporary)

    def state_dict(self) -> dict[str, Any]:
        """Return the rows for last.ckpt, which drops those of an unfinished epoch."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the rows of the previous epochs."""
        self.rows = list(state_dict["rows"])
