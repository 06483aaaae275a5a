"""The frame around Hydra's main: one line for a mistake, and a table at the end, whatever happened."""

import difflib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from bus_lightning.errors import UserError

JOBS = "BUS_LIGHTNING_JOBS"  # names a file to which each job, in whatever process, adds its run folder


def launch(main: Callable[[], Any]) -> int:
    """Run a Hydra main and say how it went.

    Args:
        main: A function decorated with `hydra.main`.

    Returns:
        Exit code: 0 when all jobs are well, else 1; 130 when interrupted.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing: what is shown is decided here
    with tempfile.TemporaryDirectory() as folder:
        jobs = Path(folder) / "jobs"
        os.environ[JOBS] = str(jobs)
        try:
            main()
        except KeyboardInterrupt:
            return 130
        except Exception as error:
            if jobs.exists():  # the job has said what was wrong and kept the traceback
                return 1
            if not isinstance(error, UserError | HydraException | OmegaConfBaseException):
                raise
            print(f"Error: {_explain(error)}", file=sys.stderr)
            return 1
        finally:
            if jobs.exists():
                from bus_lightning.evaluation.table import collect, show  # not for --help

                reported = dict(map(json.loads, jobs.read_text().splitlines()))
                show(collect([Path(folder) for folder in reported], refused=reported))
    return 0


def report_job(folder: Path, refused: str | None = None) -> None:
    """Add a run folder to those that the table at the end shows.

    Args:
        folder: The run's folder.
        refused: Why it was not touched, when it belongs to another experiment or process.
    """
    if file := os.environ.get(JOBS):
        with open(file, "a") as jobs:
            jobs.write(json.dumps([str(folder), refused]) + "\n")


def _explain(error: Exception) -> str:
    """Say what is wrong with a command line, in one line, with the names that exist."""
    cause = error.__cause__
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and isinstance(cause.parent_node, DictConfig):
        key, parent = str(cause.key), cause.parent_node
        known = [str(name) for name in parent if name != "hydra"]
        close = difflib.get_close_matches(key, known, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        above = str(cause.full_key).rpartition(".")[0]
        where = f"of {above}" if above else "at the top"
        return f"'{cause.full_key}' does not exist.{hint} Keys {where}: {', '.join(known)}."
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} has no value: set {error.full_key}=..."
    return " ".join(str(error).split())
