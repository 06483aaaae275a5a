"""Make text safe for a terminal or a log: names from data folders, run folders and bundles are written by others.

An escape sequence in a name could clear a screen or forge a line of a log, and a bidirectional override could show a
name backwards.
"""

import logging
import re
import sys
from pathlib import Path
from typing import Any

# Control characters, separators of lines, marks that are not shown or turn the direction of text, halves of surrogates.
_OTHERS = "\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff"
_NOT_PRINTABLE = re.compile(f"[\0-\x1f{_OTHERS}]")
_BUT_LINES = re.compile(f"[\0-\x08\x0b-\x1f{_OTHERS}]")


def printable(text: object) -> str:
    r"""Write a text in one line, with every character that a terminal would act on as its escape, such as `\x1b`."""
    return _NOT_PRINTABLE.sub(_escaped, str(text))


def printable_lines(text: object) -> str:
    """Write a text of several lines as `printable` does, but keep its line ends and tabs."""
    return _BUT_LINES.sub(_escaped, str(text))


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


class PrintableFormatter(logging.Formatter):
    """Format the records of a log so that their texts are printable: each argument in one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record, and leave it as it is for other handlers."""
        copy = logging.makeLogRecord(record.__dict__)
        if isinstance(record.args, dict):
            copy.args = {name: _argument(value) for name, value in record.args.items()}
        elif record.args:
            copy.args = tuple(map(_argument, record.args))
        copy.exc_text = None  # another handler's
        return printable_lines(super().format(copy))


def _argument(value: Any) -> Any:
    return printable(value) if isinstance(value, str | Path | BaseException) else value


def log_to_terminal(level: int = logging.WARNING) -> None:
    """Write the log to the standard error, a printable line per record."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter("%(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
