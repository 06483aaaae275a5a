"""A plugin for pytest: say in the summary how a worker of pytest-xdist died, and what it was running.

Without it, the summary only says that a worker crashed, and the traceback is lost in the output of other tests.
"""

import faulthandler
import resource
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

_FOLDER = "crashes"  # key of a worker's input
_KEY = pytest.StashKey[str]()
_files = []  # keeps the file of a worker's tracebacks open
_deaths = []


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    """Let a worker write its tracebacks to a file, and the main process remember the folder."""
    if hasattr(config, "workerinput"):
        name = config.workerinput["workerid"]
        _files.append(Path(config.workerinput[_FOLDER], name).open("w"))  # noqa: SIM115 (open until the end)
        faulthandler.enable(_files[0])
    else:
        config.stash[_KEY] = tempfile.mkdtemp(prefix="crashes-")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Tell a new worker where to write."""
    node.workerinput[_FOLDER] = node.config.stash[_KEY]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Remember how a worker died."""
    if error:
        code = None
        with suppress(Exception):  # a part of execnet that is not documented
            code = node.gateway._io.popen.wait(10)
        _deaths.append((node.gateway.id, code))


def pytest_terminal_summary(terminalreporter, config):
    """Print the deaths, and remove the folder."""
    folder = Path(config.stash[_KEY])
    for name, code in _deaths:
        terminalreporter.section(f"{name} died with exit code {code}")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        terminalreporter.write_line(f"The largest process so far needed {peak:,.0f} MB.")
        terminalreporter.write_line((folder / name).read_text()[:6000] or "It wrote no traceback.")
    for file in folder.glob("*"):
        file.unlink()
    folder.rmdir()
