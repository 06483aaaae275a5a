"""A command that starts warm (`tests/warm.py`) is in all else what a new Python runs."""

import json
import os
import signal
import subprocess
import sys

import pytest
import warm
from held import wait_for

SCRIPT = """
import json, os, signal, sys
import bus_lightning
print(json.dumps({
    "argv": sys.argv, "name": __name__, "file": __file__, "folder": os.getcwd(), "path": sys.path,
    "environment": dict(os.environ), "main": sys.modules["__main__"].__file__,
    "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
    "imported": sorted(name for name in sys.modules if name.startswith("bus_lightning.") and ".core" not in name),
}))
print("an error", file=sys.stderr)
sys.exit(3)
"""


@pytest.fixture
def folder(tmp_path):
    """Make a folder with the script, which is also a module."""
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


@pytest.mark.parametrize("command", [["script.py", "a=b", "c d"], ["-m", "script", "x"]], ids=["script", "module"])
def test_a_warm_command_behaves_like_a_new_python(folder, command):
    environment = os.environ | {"GIVEN": "here", "PYTHONPATH": os.pathsep.join([str(folder), *sys.path[:1]])}
    new = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
    started = warm.run(command, folder, 60, environment)
    assert json.loads(started.stdout) == json.loads(new.stdout)
    assert started.stderr == new.stderr == "an error\n"
    assert started.returncode == new.returncode == 3


@pytest.mark.parametrize("new_session", [False, True])
def test_a_warm_command_is_a_separate_process_that_signals_end(tmp_path, new_session):
    begun = tmp_path / "begun"
    (tmp_path / "script.py").write_text("import pathlib, time; pathlib.Path('begun').touch(); time.sleep(60)")
    process = warm.Process(["script.py"], tmp_path, new_session=new_session)
    wait_for(begun.exists)
    assert (os.getsid(process.pid) == process.pid) == new_session
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.communicate() == ("", "")
    assert process.returncode == -signal.SIGTERM


def test_the_libraries_are_there_before_a_warm_command_begins(tmp_path):
    (tmp_path / "script.py").write_text("import sys; print('torch' in sys.modules, 'lightning.pytorch' in sys.modules)")
    assert warm.run(["script.py"], tmp_path, 60).stdout == "True True\n"
