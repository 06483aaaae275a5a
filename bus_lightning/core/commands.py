"""The names of our commands: those that pip installs, such as `bus-train`, and those of a checkout."""

import shlex
import sys
from pathlib import Path

# Short name -> how it is called in a checkout, and where the package is installed by pip.
_COMMANDS = {
    "train": ("python train.py", "bus-train"),
    "evaluate": ("python evaluate.py", "bus-evaluate"),
    "report": ("python -m bus_lightning.launch.report", "bus-report"),
    "audit": ("python -m bus_lightning.data.audit", "bus-audit"),
    "diagnose": ("python -m bus_lightning.diagnosis.predict", "bus-diagnose"),
    "app": ("python -m bus_lightning.diagnosis.app", "bus-app"),
}


def name_command(command: str) -> str:
    """Return how to call a command, in the style in which the running program was called.

    Args:
        command: Its short name, such as `train`.

    Returns:
        `bus-train` in a program that pip installed, else `python train.py`.
    """
    return _COMMANDS[command][_is_installed_command()]


def name_program() -> str:
    """Return how the running program was called: `bus-train`, or `python train.py` with the path that was given."""
    return Path(sys.argv[0]).stem if _is_installed_command() else f"python {shlex.quote(sys.argv[0])}"


def _is_installed_command() -> bool:
    return Path(sys.argv[0]).stem in {installed for _, installed in _COMMANDS.values()}
