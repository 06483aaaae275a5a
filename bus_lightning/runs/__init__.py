"""A run's folder: its files, its lock, its record, and the one way to open a finished run.

May import core, config, data, models and metrics.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bus_lightning.runs.finished import FinishedRun


def load(path: Path | str, trusted: Iterable[str] = ()) -> "FinishedRun":
    """Open a finished run: `metrics`, `cases`, `config`, `history`, and `predict` for new images.

    For example::

        import bus_lightning

        run = bus_lightning.runs.load("runs/demo/resnet50__experiment-demo")
        print(run.metrics["test"]["auroc_macro"])
        print(run.predict("image.png").probabilities)

    Args:
        path: The folder, `runs/<group>/<name>`.
        trusted: Your own packages that its config may name, besides the known libraries; their code is run.

    Raises:
        UserError: If the folder is not a run's, the run is not complete, or its config cannot be read; or if the
            libraries of the training are not installed.
    """
    from bus_lightning.core.errors import UserError

    try:
        from bus_lightning.runs.finished import open_run  # pandas and more, which others need not wait for
    except ModuleNotFoundError as error:
        raise UserError(
            f"Reading runs needs {error.name}, which is not installed: pip install 'bus_lightning[train]'"
        ) from error
    return open_run(path, trusted=trusted)
