"""Parse what command lines share: paths, counts and `--version`."""

import argparse
import os
from pathlib import Path

from bus_lightning import __version__


def path_of(text: str) -> Path:
    """Parse a path; an empty one, as from a variable that is not set, would mean the current folder.

    Raises:
        argparse.ArgumentTypeError: If it is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("the path is empty: name a file or a folder, or `.`")
    return Path(text)


def in_home(text: str) -> str:
    """Put the user's home in place of `~` at the start of a path; `~name` stays if there is no such user."""
    return os.path.expanduser(text)  # noqa: PTH111 (pathlib's fails then)


def positive(text: str) -> int:
    """Parse a whole number of at least 1.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    return _whole_number(text, 1, None)


def not_negative(text: str) -> int:
    """Parse a whole number of at least 0.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    return _whole_number(text, 0, None)


def port(text: str) -> int:
    """Parse a port; 0 stands for a free one.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    return _whole_number(text, 0, 65535)


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add `--version`."""
    parser.add_argument("--version", action="version", version=f"bus_lightning {__version__}")


def _whole_number(text: str, least: int, most: int | None) -> int:
    number = int(text) if text.strip().isascii() and text.strip().isdigit() else -1
    if number < least or (most is not None and number > most):
        between = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number {between}")
    return number
