"""The record of a run, however it ends: one process at a time, a log, a state, a traceback."""

import logging
import logging.handlers
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filelock import FileLock, Timeout

from bus_lightning.errors import OccupiedError
from bus_lightning.run_dir import RunDir

log = logging.getLogger(__name__)


@dataclass
class Record:
    """What the record needs to know: whether the run was taken up, or only looked at and skipped."""

    taken_up: bool = False


@contextmanager
def recorded(folder: RunDir, model: str, afresh: bool = False) -> Iterator[Record]:
    """Keep the record of a run while the block works on it, and leave nothing of it in memory.

    Args:
        folder: The run's folder.
        model: Name of the model, for the table.
        afresh: Move a folder that is there aside first.

    Raises:
        OccupiedError: When another process is working on the run.
    """
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.path.with_name(f".{folder.path.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise OccupiedError(f"{folder.path} is being trained by another process.") from None
    started, record, exit_code = time.monotonic(), Record(), 1
    if afresh and folder.config.is_file():
        log.info("%s: rerun, the old folder is now %s", folder.path, folder.set_aside().name)
    folder.path.mkdir(exist_ok=True)
    # Watched: when the folder is set aside, the log goes on in the new one.
    handler = logging.handlers.WatchedFileHandler(folder.log, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield record
        if record.taken_up:
            folder.finish("complete", started, model=model)
        exit_code = 0
    except OccupiedError:
        raise  # the folder is not ours: nothing of it changes
    except (KeyboardInterrupt, SystemExit):
        if record.taken_up:
            folder.finish("interrupted", started, model=model)
            log.warning("%s: interrupted; the same command goes on with it", folder.path)
        raise
    except BaseException as error:
        if record.taken_up or not folder.is_complete:
            folder.error.write_text("".join(traceback.format_exception(error)))
            line = str(error).partition("\n")[0] or type(error).__name__
            folder.finish("failed", started, model=model, error=line, kind=type(error).__name__)
        raise
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
        if "wandb" in sys.modules:
            sys.modules["wandb"].finish(exit_code=exit_code)
        if "torch" in sys.modules:  # not for a finished run, which was only looked at
            from bus_lightning.hardware import release_memory

            release_memory()
        lock.release()
