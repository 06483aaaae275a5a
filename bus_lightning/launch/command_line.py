"""Run Hydra's main: print one line for a mistake, and a table at the end, whatever happened."""

import errno
import json
import logging
import os
import re
import shlex
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, read_write

from bus_lightning import __version__
from bus_lightning.config.complaints import describe, is_complaint
from bus_lightning.config.user_configs import check_user_configs
from bus_lightning.core.arguments import in_home
from bus_lightning.core.commands import name_program
from bus_lightning.core.errors import UserError, disk_trouble
from bus_lightning.core.interruption import Interrupted, interruptible
from bus_lightning.core.output import leave_closed_output, prepare_output
from bus_lightning.core.ranks import is_first_process
from bus_lightning.core.workarounds import raise_errors_of_jobs, start_ray
from bus_lightning.launch.grids import (
    check_choices,
    check_grid,
    gather_overrides,
    is_grid,
    overrides_of,
    show_grid,
    shows_config,
    stands_for,
    user_configs_of,
)
from bus_lightning.launch.plugins import missing_plugin, prefer_our_configs, refusal_of_slurm

JOBS = "BUS_LIGHTNING_JOBS"  # names a file to which each job, in whatever process, adds its run folder
REPORTED = "Its job has reported it."  # a note on errors, which comes with them from other processes


def launch(main: Callable[[], Any], config: str, resumes: bool = True) -> int:
    """Run a Hydra main and say how it went.

    Args:
        main: A function decorated with `hydra.main`.
        config: Name of its config.
        resumes: Whether the same command continues where it was stopped.

    Returns:
        Exit code: 0 when all jobs are well, else 1; 128 and the signal when interrupted.
    """
    prepare_output()
    if any(stands_for(argument, "--version") for argument in sys.argv[1:]):
        print(f"bus_lightning {__version__}")  # Hydra would print its own
        return 0
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing: what is shown is decided here
    try:
        if is_first_process():
            os.environ.pop(JOBS, None)
        else:
            logging.disable(logging.INFO)  # the first process says it
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    prefer_our_configs()
    raise_errors_of_jobs()
    code, received_signals = 0, list[int]()
    try:
        with interruptible(received_signals):
            sys.argv[1:] = gather_overrides(sys.argv[1:])
            if folder := user_configs_of(sys.argv[1:]):
                check_user_configs(folder)
            shows = shows_config(sys.argv[1:])
            if shows:
                check_choices(overrides_of(sys.argv[1:]))
            if shows and is_grid(sys.argv[1:]):
                show_grid(main, config)
            else:
                main()
    except (Interrupted, KeyboardInterrupt) as stop:
        if not is_first_process():
            return 0  # the first process reports it; the others only follow it
        code = stop.code if isinstance(stop, Interrupted) else 130  # type: ignore[assignment]
    except Refused as refusal:
        print(f"Error: {refusal}", file=sys.stderr)
        code = 1
    except SystemExit:
        if not received_signals:
            raise
        code = 128 + received_signals[0]  # Ray turns every signal into an exit with its own code
    except Exception as error:
        code = 1
        # A job that has reported its error has kept the traceback.
        if not leave_closed_output(error) and REPORTED not in getattr(error, "__notes__", ()):
            one_line = missing_plugin(error) or refusal_of_slurm(error)
            if not one_line and not _reported() and not is_complaint(error):
                raise
            print(f"Error: {one_line or describe(error)}", file=sys.stderr)
    finally:
        if ray := sys.modules.get("ray"):
            ray.shutdown()  # ends what is still running, before it is looked at
        lacking = _show_jobs()
    if code > 128:
        print(_how_to_continue(sys.argv) if resumes else "Stopped.", file=sys.stderr)
    return code or lacking


class Refused(SystemExit):
    """Refuse a whole grid; Hydra turns exceptions of its callbacks into warnings, but not a SystemExit."""


class JobList(Callback):
    """Open the list to which the jobs of this command add their folders, before the first one starts.

    It lies in `runs_dir`, which jobs on other machines see too.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the choices of a single run, and open its list."""
        try:
            check_choices(list(config.hydra.overrides.task))
        except UserError as error:
            raise Refused(str(error)) from error
        _put_runs_in_home(config)
        self._open(config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check what all jobs of a grid share, open their list, and let the launcher stop as the others do."""
        try:
            check_grid(config)
        except UserError as error:
            raise Refused(str(error)) from error
        _put_runs_in_home(config)
        self._open(config)
        launcher = config.hydra.launcher
        if "joblib" in launcher._target_:
            from bus_lightning.launch.workers import let_workers_save  # takes a while to import

            let_workers_save()
        if "ray" in launcher._target_:
            if config.get("fail_fast"):
                with read_write(launcher):  # a job that stops the grid ends its process, which Ray would start again
                    launcher.ray.remote.max_retries = 0
            start_ray(OmegaConf.to_container(launcher.ray.init, resolve=True))  # type: ignore[arg-type]

    def _open(self, config: DictConfig) -> None:
        # Jobs that a launcher brings to other processes come by here as well, and those of several devices.
        if JOBS in os.environ or not is_first_process():
            return
        runs = Path(str(config.runs_dir)).absolute()
        file = runs / f".jobs-{socket.gethostname()}-{time.time_ns()}-{os.getpid()}"
        try:
            runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:  # Hydra would make it next, and fail with a traceback
            trouble = None if error.errno == errno.ENOENT else disk_trouble(error, {"runs_dir": runs})
            cannot = f"runs_dir={config.runs_dir}: no folder can be made there ({error.strerror}): choose another"
            raise Refused(trouble or f"{cannot}.") from error
        with suppress(OSError):  # where nothing can be written, the first job says so
            _remove_lists_of_killed(runs)
            file.write_text("")
            os.environ[JOBS] = str(file)


def _put_runs_in_home(config: DictConfig) -> None:
    """Put the user's home in place of `~` in `runs_dir`, before Hydra makes a folder that is called `~`; in place."""
    if not str(config.runs_dir).startswith("~"):
        return
    with read_write(config):
        config.runs_dir = in_home(str(config.runs_dir))
    if config.hydra.mode == RunMode.MULTIRUN:  # each job is composed again
        folder = QuotedString(str(config.hydra.sweep.dir), Quote.double).with_quotes()
        with read_write(config.hydra):
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir={folder}")


def _remove_lists_of_killed(runs: Path) -> None:
    """Remove the lists of commands that were killed on this machine; only there does a process id tell that."""
    own = re.compile(rf"\.jobs-{re.escape(socket.gethostname())}-\d+-(\d{{1,9}})")  # not those of `gpu-2` for `gpu`
    for file in runs.glob(".jobs-*"):
        if (named := own.fullmatch(file.name)) and not _is_alive(int(named[1])):
            file.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def launch_name() -> str | None:
    """Name this launch of the command, the same in all its jobs, also those started again; None outside of one."""
    return Path(os.environ[JOBS]).name if JOBS in os.environ else None


def report_job(folder: Path, refused: str | None = None) -> None:
    """Add a run folder to those that the table at the end shows.

    Args:
        folder: The run's folder.
        refused: Why it was not touched, when it belongs to another experiment or process.
    """
    if (file := os.environ.get(JOBS)) and is_first_process():
        with suppress(OSError), open(file, "a") as jobs:  # a full disk: what the job says of it matters more
            jobs.write(json.dumps([str(folder), refused]) + "\n")


def _reported() -> dict[str, str | None]:
    """Read the run folders that jobs have reported, with the reason where they were refused."""
    reported: dict[str, str | None] = {}
    with suppress(OSError):
        for line in Path(os.environ.get(JOBS, "")).read_text().splitlines():
            with suppress(ValueError):  # cut off by a full disk or a kill
                reported.update([json.loads(line)])
    return reported


def _show_jobs() -> int:
    """Print the table of all jobs, close their list, and return 1 when one of them is not complete."""
    lacking = 0
    if (file := os.environ.get(JOBS)) and is_first_process():
        if reported := _reported():
            from bus_lightning.runs.table import collect, show  # not for --help

            jobs = collect([Path(folder) for folder in reported], refused=reported)
            show(jobs)
            lacking = int(not jobs["state"].eq("complete").all())
        Path(file).unlink(missing_ok=True)
    return lacking


def _how_to_continue(arguments: list[str]) -> str:
    """Say which command continues after an interruption; one that starts afresh would not."""
    again = [argument for argument in arguments if argument.lower().lstrip("+") != "rerun=true"]
    again += ["rerun=false"] * any(argument.startswith("debug=") for argument in again)
    lines = ["Stopped. The same command skips what is complete and continues the rest:"]
    if any("slurm" in argument for argument in arguments):
        lines.insert(0, "Slurm's jobs continue without this command: squeue shows them, scancel ends them.")
    return "\n".join([*lines, f"  {name_program()} {shlex.join(again[1:])}".rstrip()])
