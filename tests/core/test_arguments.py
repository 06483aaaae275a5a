"""What command lines share: a value that cannot be meant is refused in a line that says what to give."""

import sys
from importlib import import_module

import pytest

from bus_lightning import __version__

IMAGES = ["picture.png", "--out", "results"]
REFUSED = {
    "an empty image": ("diagnosis.predict", ["", "--out", "results"], "the path is empty"),
    "an empty folder of results": ("diagnosis.predict", ["picture.png", "--out", ""], "--out: the path is empty"),
    "an empty bundle": ("diagnosis.app", [""], "the path is empty"),
    "no thread": ("diagnosis.predict", [*IMAGES, "--threads", "0"], "'0' is no whole number of at least 1"),
    "half a thread": ("diagnosis.app", ["--threads", "0.5"], "'0.5' is no whole number of at least 1"),
    "a large port": ("diagnosis.app", ["--port", "99999"], "'99999' is no whole number from 0 to 65535"),
    "a negative port": ("diagnosis.app", ["--port=-1"], "'-1' is no whole number from 0 to 65535"),
    "an empty group": ("launch.report", [""], "the path is empty"),
    "an empty run": ("export.__main__", ["--run", "", "--out", "bundle"], "--run: the path is empty"),
    "fewer than no samples": ("export.__main__", ["--samples=-1"], "'-1' is no whole number of at least 0"),
    "an empty cache": ("data.audit_command", ["--cache", ""], "--cache: the path is empty"),
    "an empty page": ("launch.results", ["--page="], "--page: the path is empty"),
}
COMMANDS = ("diagnosis.predict", "diagnosis.app", "launch.report", "data.audit_command")


@pytest.mark.parametrize(("module", "arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_a_value_that_cannot_be_meant_is_refused_with_its_option(module, arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        import_module(f"bus_lightning.{module}").main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("module", COMMANDS)
def test_a_command_prints_its_version(module, capsys):
    with pytest.raises(SystemExit) as end:
        import_module(f"bus_lightning.{module}").main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"bus_lightning {__version__}\n"


@pytest.mark.parametrize("module", ["launch.train", "launch.evaluate"])
def test_a_command_of_hydra_prints_our_version(module, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--version"])
    assert import_module(f"bus_lightning.{module}").main() == 0
    assert capsys.readouterr().out == f"bus_lightning {__version__}\n"
