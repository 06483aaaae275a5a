"""What the commands that open a bundle are told alike."""

import argparse
from pathlib import Path


def bundle_parser(program: str, description: str | None, epilog: str) -> argparse.ArgumentParser:
    """Describe a command that takes a bundle, a precision and a number of threads.

    Args:
        program: How it is called.
        description: What it does.
        epilog: What follows the options in its help, as it stands.
    """
    found = argparse.ArgumentParser(
        prog=program, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder that bus_lightning.export.__main__ wrote")
    found.add_argument("--precision", choices=("fp32", "bf16", "int8"), help="default: the bundle's")
    found.add_argument("--threads", type=positive, metavar="N", help="threads of the CPU (default: all)")
    return found


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number
