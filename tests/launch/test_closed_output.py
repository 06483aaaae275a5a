"""Only a closed output ends a command without a word; another pipe that breaks is an error."""

import os
import sys

import pytest

from bus_lightning.launch.command_line import launch


def fail():
    raise BrokenPipeError("a worker has ended")


@pytest.fixture(autouse=True)
def command(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")


def test_a_broken_pipe_that_is_not_the_output_is_raised():
    with pytest.raises(BrokenPipeError, match="a worker has ended"):
        launch(fail)


def test_a_closed_output_is_no_error_to_show(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert launch(fail) == 1
