"""Whether what was measured with the weights of a run was measured with those that it has now."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.files import checksum
from bus_lightning.runs.folder import RunDir


def refuse_other_weights(run: RunDir, made_with: Mapping[str, Any], file: Path, cure: str) -> None:
    """Refuse what was made with other weights than those of a run; without its checkpoint, nothing says so.

    Args:
        run: The run.
        made_with: What the file was made with: `weights` is the checksum of the checkpoint; earlier versions lack it.
        file: What was made.
        cure: What to do, as in `DamagedError`.

    Raises:
        DamagedError: If the run was trained further since.
    """
    recorded = made_with.get("weights")
    if recorded is not None and recorded != _checksum(run.best, recorded):
        raise DamagedError(file, "it was made before the run was trained further", cure)


def _checksum(checkpoint: Path, default: str) -> str:
    with suppress(UserError):
        return checksum(checkpoint)
    return default
