"""Numbers with their intervals, as text."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

Summaries = Mapping[str, pd.DataFrame]
"""Name of a condition or a model -> what `summarise` returns."""


def estimate(value: float | None, low: float | None = None, high: float | None = None, digits: int = 3) -> str:
    """Write a number with its interval: `0.647 (0.571 to 0.718)`; "undefined" if there is no number."""
    if value is None or math.isnan(value):
        return "undefined"
    text = f"{value:z.{digits}f}"
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return text
    return f"{text} ({low:z.{digits}f} to {high:z.{digits}f})"


def write_score(row: Mapping[str, Any] | pd.Series | None, digits: int = 3, missing: str = "-") -> str:
    """Write the row of a metric in a summary: its value with the interval, or why it is undefined.

    Args:
        row: From `metric_row`, or the row itself.
        digits: Digits after the point.
        missing: The text if there is no row.
    """
    if row is None:
        return missing
    return f"undefined: {row['reason']}" if row["reason"] else estimate(row["value"], row["low"], row["high"], digits)


def write_p(p: float) -> str:
    """Write a p-value: `0.012`, `< 0.001`, because none is 0, and `-` if it is undefined."""
    if math.isnan(p):
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def metric_row(summary: pd.DataFrame | None, metric: str) -> dict[str, Any] | None:
    """Return the row of a metric in a summary; None if it was not computed or has no images."""
    if summary is None or summary.empty:
        return None
    rows = summary[summary["metric"] == metric].to_dict("records")
    return rows[0] if rows and rows[0]["n"] else None
