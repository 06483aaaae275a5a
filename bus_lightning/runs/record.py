"""Record a run, however it ends: its log, its state, the traceback of its error."""

import logging
import logging.handlers
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bus_lightning.core.errors import OccupiedError, UserError, explain
from bus_lightning.core.files import is_there
from bus_lightning.core.interruption import interruptible
from bus_lightning.core.printable import PrintableFormatter, printable_lines
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.lock import owned

log = logging.getLogger(__name__)
_FINISHED, _FAILED, _KILLED = 0, 1, 255  # exit codes, as W&B reads them


@dataclass
class Record:
    """What the record needs to know of the run.

    Attributes:
        taken_up: Whether the run is trained, not skipped.
        at_end: Functions to call when the run has ended and its state is written; each gets the exit code: 0 for a
            finished run, 255 for a stopped one, 1 for a failed one.
    """

    taken_up: bool = False
    at_end: list[Callable[[int], None]] = field(default_factory=list)


@contextmanager
def recorded(folder: RunDir, model: str, afresh: bool = False, debug_run: bool = False) -> Iterator[Record]:
    """Record a run while the block works on it.

    Args:
        folder: The run's folder.
        model: Name of the model, for the table.
        afresh: Whether to make room first, if the folder exists. Its old content comes back if a mistake of the user,
            or a stop, ends the block before the run is taken up.
        debug_run: Whether this is a debug run, which replaces an earlier one.

    Raises:
        OccupiedError: If another process is working on the run.
        DamagedError: If something else than a file is in the place of one of its files.
        OSError: If the folder cannot be written.
    """
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    with owned(folder.path), interruptible():
        started, record, exit_code, old = time.monotonic(), Record(), _FAILED, None
        if afresh and is_there(folder.config):
            old, line = folder.make_room(debug_run)
            log.info("%s: rerun, %s", folder.path, line)
        folder.path.mkdir(exist_ok=True)
        folder.refuse_irregular()
        handler = _Log(folder.log, delay=True)
        handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(message)s"))
        logging.getLogger().addHandler(handler)
        try:
            folder.tidy()
            yield record
            if record.taken_up:
                folder.finish("complete", started, model=model)
            exit_code = _FINISHED
        except OccupiedError:
            raise  # the folder belongs to another experiment or process: its state and its error stay
        except (KeyboardInterrupt, SystemExit):
            exit_code = _KILLED
            if record.taken_up:
                with suppress(OSError):
                    folder.finish("interrupted", started, model=model)
                log.warning("%s: interrupted; the same command continues it", folder.path)
            raise
        except BaseException as error:
            if record.taken_up or not folder.is_complete:
                with suppress(OSError):  # a full disk: the error is on the console
                    folder.error.write_text(printable_lines("".join(traceback.format_exception(error))), "utf-8")
                    folder.finish("failed", started, model=model, error=explain(error), kind=type(error).__name__)
            raise
        finally:
            logging.getLogger().removeHandler(handler)
            handler.close()
            if old and not record.taken_up and isinstance(sys.exception(), (UserError, KeyboardInterrupt, SystemExit)):
                _put_back(old, folder.path)
            for end in record.at_end:
                end(exit_code)


def _put_back(old: Path, path: Path) -> None:
    """Return the folder of an earlier run to its place: the run that was to replace it has not started."""
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        old.rename(path)
        log.info("%s: not run again, the old folder is back", path)


class _Log(logging.handlers.WatchedFileHandler):
    """A log that follows a new folder of the same name, and never stops a run."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Drop a line that cannot be written, as on a full disk."""
