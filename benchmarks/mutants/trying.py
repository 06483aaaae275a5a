"""Run tests on a copy of the checkout, in children of a process that has the libraries in memory already."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Importing these takes longer than most tests; each child imports the project itself again.
_LIBRARIES = (
    *("numpy", "pandas", "scipy.stats", "scipy.ndimage", "sklearn.metrics", "cv2", "PIL.Image", "matplotlib.pyplot"),
    *("torch", "torchvision", "torchmetrics", "lightning.pytorch", "timm", "albumentations", "monai.metrics"),
    *("segmentation_models_pytorch", "captum.attr", "hydra", "omegaconf", "pydicom", "statsmodels.api", "pytest"),
)
# Plugins of pytest that were imported before it are no reason to fail.
_OPTIONS = (
    *("-q", "-p", "no:cacheprovider", "-m", "not (nightly or gpu or cluster or browser or network)"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


@dataclass
class Try:
    """A run of tests in a child process: what it works on, and since when."""

    pid: int
    index: int
    copy: Path
    output: Path
    began: float
    limit: float


def import_libraries() -> None:
    """Import what the tests need and the project does not contain."""
    for name in _LIBRARIES:
        __import__(name)
    sys.modules["torch"].set_num_threads(1)  # threads do not survive a fork
    gc.collect()
    gc.freeze()  # children neither copy nor search what will never be freed
    sys.dont_write_bytecode = True  # a mistake must never be read from the file of another


def copy_checkout(root: Path, folder: Path) -> Path:
    """Copy what git knows of or does not ignore, and compile it so that a changed file is compiled again."""
    shutil.rmtree(folder, ignore_errors=True)
    list_ = ["git", "ls-files", "-coz", "--exclude-standard"]
    listed = subprocess.run(list_, cwd=root, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        if name and (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)
    compile_ = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "bus_lightning"]
    subprocess.run(compile_, cwd=folder, check=True)
    return folder


def start(index: int, tests: list[str], copy: Path, limit: float) -> Try:
    """Fork a child that runs tests in a copy.

    Args:
        index: Which mutant this is.
        tests: What pytest is given: files or names of tests.
        copy: The checkout's copy, with the mistake in it.
        limit: Seconds after which it counts as failed.
    """
    output = copy.with_suffix(".txt")
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            os.setsid()
            code = _run(tests, copy, output)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return Try(pid, index, copy, output, time.monotonic(), limit)


def _run(tests: list[str], copy: Path, output: Path) -> int:
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # whoever captured the parent's does not hear of it
    os.chdir(copy)
    os.environ |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in [name for name in sys.modules if name.partition(".")[0] in ("benchmarks", "bus_lightning", "tests")]:
        del sys.modules[name]
    sys.path[:0] = [str(copy)]
    import pytest

    return int(pytest.main([*_OPTIONS, "--basetemp", str(copy.with_suffix(".tmp")), *tests]))


def finished(running: list[Try]) -> tuple[Try, str]:
    """Wait for a child to end, or end one that took too long.

    Returns:
        The child, and how it went: `survived`, `caught`, `timeout`, or `broken` where pytest itself ended in an error.
    """
    while True:
        for child in running:
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                _end(child)  # processes that tests left behind
                code = os.waitstatus_to_exitcode(status)
                return child, {0: "survived", 1: "caught", 2: "caught", 4: "caught"}.get(code, "broken")
            if time.monotonic() - child.began > child.limit:
                _end(child)
                os.waitpid(child.pid, 0)
                return child, "timeout"
        time.sleep(0.05)


def _end(child: Try) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def catcher(output: Path) -> str:
    """Name the test that failed first, or the last line that was printed."""
    lines = output.read_text(errors="replace").splitlines()
    failed = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return (failed or lines or [""])[0 if failed else -1][:200]
