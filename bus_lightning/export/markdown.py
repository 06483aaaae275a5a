"""The Markdown of a model card: tables, numbers, and text that is no markup."""

import re
from collections.abc import Mapping, Sequence
from typing import Any


def escape(text: str) -> str:
    """Escape the markup of Markdown and HTML."""
    return re.sub(r"([\\`*_<>\[\]|~$&#])", r"\\\1", text)


def format_number(value: float | None, form: str = ".4f") -> str:
    """Write a number, or "undefined"."""
    return "undefined" if value is None else format(value, form).replace("-0.0000", "0.0000")


def format_interval(row: Mapping[str, Any]) -> str:
    """Write the interval of a row with `low` and `high`, or "undefined"."""
    return "undefined" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"


def make_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write a table with a heading of each column."""
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
