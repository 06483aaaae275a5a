"""history.csv: a row per epoch, without a gap or a repeated row after a resumption."""

from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import pandas as pd

from bus_lightning.core.files import aside
from bus_lightning.tasks.base import BusTask


class History(pl.Callback):
    """Write what was measured in each epoch.

    Args:
        path: The CSV.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the epoch's row and write the file anew."""
        # Without times: the same command gives the same file.
        found = cast(BusTask, pl_module).measured()
        measured = {name: value for name, value in found.items() if not name.startswith("time/")}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append({"epoch": trainer.current_epoch, "lr": rate, **measured})
        if not trainer.is_global_zero:
            return
        with aside(self.path) as temporary:
            pd.DataFrame(self.rows).to_csv(temporary, index=False)

    def state_dict(self) -> dict[str, Any]:
        """Keep the rows in last.ckpt, which knows up to which epoch they count."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the rows of the epochs before."""
        self.rows = list(state_dict["rows"])
