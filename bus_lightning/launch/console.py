"""The commands that pip installs: `bus-train`, `bus-evaluate`, `bus-report`, `bus-audit`, `bus-diagnose`, `bus-app`."""

import sys
from importlib import import_module
from pathlib import Path


def train() -> int:
    """Train one run or a grid."""
    _find_modules_of_user()
    return _run("bus_lightning.launch.train", "train")


def evaluate() -> int:
    """Evaluate the kept checkpoints of runs."""
    _find_modules_of_user()
    return _run("bus_lightning.launch.evaluate", "train")


def report() -> int:
    """Write the report of finished runs."""
    return _run("bus_lightning.launch.report", "train")


def audit() -> int:
    """Look at a data set before a training."""
    return _run("bus_lightning.data.audit_command", "train")


def diagnose() -> int:
    """Answer images with a bundle."""
    return _run("bus_lightning.diagnosis.predict", "")


def app() -> int:
    """Open the diagnosis page."""
    return _run("bus_lightning.diagnosis.app", "app")


def _find_modules_of_user() -> None:
    """Let a `_target_` name a module in the present folder, after all that is installed."""
    if not sys.flags.safe_path:
        sys.path.append(str(Path.cwd()))


def _run(module: str, extra: str) -> int:
    """Run the main function of a module; a library that is not installed is named with the extra that brings it.

    Args:
        module: Its name.
        extra: The extra of the package that the command needs; empty if it needs none.

    Returns:
        Exit code.
    """
    try:
        main = import_module(module).main
    except ModuleNotFoundError as error:
        if not extra or (error.name or "").startswith("bus_lightning"):
            raise
        cure = f"pip install 'bus_lightning[{extra}]'"
        print(f"Error: this command needs {error.name}, which is not installed: {cure}", file=sys.stderr)
        return 1
    code: int = main()
    return code
