"""Only a closed output ends a command without a word; another pipe that breaks is an error."""

import os
import subprocess
import sys
from contextlib import contextmanager, redirect_stdout

import pytest

from bus_lightning.diagnosis import predict
from bus_lightning.launch.command_line import launch


def fail():
    raise BrokenPipeError("a worker has ended")


@pytest.fixture(autouse=True)
def command(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")


def test_a_broken_pipe_that_is_not_the_output_is_raised():
    with pytest.raises(BrokenPipeError, match="a worker has ended"):
        launch(fail, "train")


@contextmanager
def closed_output():
    """Give the block an output whose reader has ended."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as output, redirect_stdout(output):
        yield


def test_a_closed_output_is_no_error_to_show():
    with closed_output():
        assert launch(fail, "train") == 1


def test_a_closed_output_is_no_trouble_with_the_folder_of_the_results(capsys):
    with closed_output():
        assert predict.main(["--card"]) == 1
    assert not capsys.readouterr().err


PROGRAM = """
import sys
from bus_lightning.core.output import prepare_output
prepare_output()
{line}
"""


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("print('written')", ""),  # which Python writes at its end
        ("print('written', flush=True)", ""),
        ("raise BrokenPipeError('a worker has ended')", ""),  # the output is closed as well
        ("raise ValueError('a fault')", "ValueError: a fault"),
    ],
)
def test_a_program_whose_output_is_closed_shows_no_traceback_but_that_of_another_error(line, shown):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as output:
        program = [sys.executable, "-c", PROGRAM.format(line=line)]
        ended = subprocess.run(program, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.stderr.strip().endswith(shown)
    assert bool(ended.stderr) == bool(shown)
