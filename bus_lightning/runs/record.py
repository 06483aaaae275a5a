"""The record of a run, however it ends: one process at a time, a log, a state, a traceback."""

import logging
import logging.handlers
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from bus_lightning.core.errors import OccupiedError, explain
from bus_lightning.core.interruption import interruptible
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.lock import owned

log = logging.getLogger(__name__)
_FINISHED, _FAILED, _KILLED = 0, 1, 255  # exit codes, as W&B reads them


@dataclass
class Record:
    """What the record needs to know: whether the run was taken up, or only looked at and skipped."""

    taken_up: bool = False


@contextmanager
def recorded(folder: RunDir, model: str, afresh: bool = False, debug_run: bool = False) -> Iterator[Record]:
    """Keep the record of a run while the block works on it, and leave nothing of it in memory.

    Args:
        folder: The run's folder.
        model: Name of the model, for the table.
        afresh: Make room first if the folder exists.
        debug_run: Whether this is a debug run, which replaces an earlier one.

    Raises:
        OccupiedError: When another process is working on the run.
        OSError: When the folder cannot be written.
    """
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    with owned(folder.path), interruptible():
        started, record, exit_code = time.monotonic(), Record(), _FAILED
        if afresh and folder.config.is_file():
            log.info("%s: rerun, %s", folder.path, folder.make_room(debug_run))
        folder.path.mkdir(exist_ok=True)
        handler = _Log(folder.log, delay=True)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logging.getLogger().addHandler(handler)
        try:
            folder.tidy()
            yield record
            if record.taken_up:
                folder.finish("complete", started, model=model)
            exit_code = _FINISHED
        except OccupiedError:
            raise  # the folder is not ours: its state and its error stay
        except (KeyboardInterrupt, SystemExit):
            exit_code = _KILLED
            if record.taken_up:
                with suppress(OSError):
                    folder.finish("interrupted", started, model=model)
                log.warning("%s: interrupted; the same command goes on with it", folder.path)
            raise
        except BaseException as error:
            if record.taken_up or not folder.is_complete:
                with suppress(OSError):  # a full disk: the console says it
                    folder.error.write_text("".join(traceback.format_exception(error)))
                    folder.finish("failed", started, model=model, error=explain(error), kind=type(error).__name__)
            raise
        finally:
            logging.getLogger().removeHandler(handler)
            handler.close()
            if "wandb" in sys.modules:
                from bus_lightning.tracking.logger import finish_run

                finish_run(folder, exit_code)
            if "torch" in sys.modules:  # not for a finished run, which was only looked at
                from bus_lightning.training.hardware import release_memory

                release_memory()


class _Log(logging.handlers.WatchedFileHandler):
    """A log that goes on in the new folder when the old one is set aside, and never stops a run."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Let a line go that a full disk does not take."""
