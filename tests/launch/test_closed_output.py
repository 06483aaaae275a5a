"""Only a closed output ends a command without a word; another pipe that breaks is an error."""

import os
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
