"""Write texts into CSV cells so that no spreadsheet takes them for formulas, and read them back as they were.

A file or a folder can be called `=HYPERLINK(...)`. Such a text gets an apostrophe in front, the sign by which
spreadsheets know a text. Numbers stay numbers.
"""

import re
from typing import Any

_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]")  # the last four: their wide forms in East Asian fonts
_ESCAPED = re.compile(rf"'(?={_FORMULA.pattern})")
# Also with its interval, as in the tables of a report. A dash stands for no value.
_NUMBER = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"
_HARMLESS = re.compile(rf"-|{_NUMBER}( \({_NUMBER} to {_NUMBER}\))?")


def escape_formula(text: str) -> str:
    """Put an apostrophe in front of a text that a spreadsheet could take for a formula."""
    return f"'{text}" if _FORMULA.match(text) and not _HARMLESS.fullmatch(text) else text


def escape_cell(value: Any) -> Any:
    """Return the cell for a value: a text as `escape_formula` does, anything else as it is."""
    return escape_formula(value) if isinstance(value, str) else value


def unescape_formula(cell: str) -> str:
    """Return the text that `escape_formula` was given."""
    return _ESCAPED.sub("", cell, count=1) if _ESCAPED.match(cell) else cell
