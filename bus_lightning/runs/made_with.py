"""Whether what was measured with the weights of a run was measured with those that it has now."""

from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.files import checksum
from bus_lightning.runs.folder import RunDir


def refuse_other_weights(run: RunDir, made_with: Mapping[str, Any], file: Path) -> None:
    """Refuse what was made with other weights than those of a run; without its checkpoint, nothing says so.

    Args:
        run: The run.
        made_with: What the file was made with: `weights` is the checksum of the checkpoint; earlier versions lack it.
        file: What was made.

    Raises:
        DamagedError: If the run was trained further since.
    """
    if made_with.get("weights") is not None and not has_weights(run, str(made_with["weights"])):
        raise DamagedError(file, "it was made before the run was trained further")


def has_weights(run: RunDir, weights: str) -> bool:
    """Whether the kept checkpoint of a run has a checksum; a run without its checkpoint is believed."""
    with suppress(UserError, OSError):
        written = run.best.stat()
        return _checksum(run.best, written.st_mtime_ns, written.st_size) == weights
    return True


@lru_cache(maxsize=4096)  # a report asks twice: it checks its runs, then shows them
def _checksum(checkpoint: Path, written_ns: int, size: int) -> str:
    return checksum(checkpoint)
