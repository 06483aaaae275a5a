"""The tables of the comparison."""

from statistics import median
from typing import Any

from benchmarks.against.goals import ROWS, Row
from benchmarks.report import spread, table
from bus_lightning.report.marked_page import markdown_table

_HEADINGS = ("seconds", "old", "new", "new / old", "goal, at most", "reached", "processor time, new / old",
             "peak MB, old", "peak MB, new", "commit")  # fmt: skip
_WORKED = "processor_seconds"  # of a probe, if it prints them


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the tables `against` and `against_missed`."""
    probes, failed = results["probes"], results["failed"]
    unnamed = (probes.keys() | failed) - {row.probe for row in ROWS}
    lines, reasons = [], []
    for row in [*ROWS, *(Row(name, name) for name in sorted(unnamed))]:
        goal = "" if row.goal is None else f"{row.goal:.2f}"
        if row.probe in failed:
            reasons.append([row.what, f"failed; {failed[row.probe]}"])
        if row.probe not in probes:
            lines.append([row.what, "not measured", "", "", goal, *[""] * 5])
            continue
        turns = probes[row.probe]["turns"]
        old, new = ([turn[row.key] for turn in turns[build]] for build in ("old", "new"))
        ratios = _ratios(old, new)
        reached = "" if row.goal is None else "yes" if median(ratios) <= row.goal else "**no**"
        worked = [[turn.get(_WORKED, 0) for turn in turns[build]] for build in ("old", "new")]
        peaks = [_peak(turns[build]) for build in ("old", "new")]
        lines.append([row.what, _shown(old), _shown(new), spread(ratios), goal, reached,
                      spread(_ratios(*worked)) if all(map(all, worked)) else "", *peaks,
                      probes[row.probe]["commit"]])  # fmt: skip
        if reached == "**no**":
            reasons.append([row.what, row.missed or "the reason is not known yet"])
    reference = results["reference"]
    commit = "" if reference["commit"].startswith(reference["name"]) else f", commit {reference['commit'][:7]}"
    heading = f"*old* is {reference['name']}{commit}; *new* is the commit in the last column."
    fine = "Each measured row with a goal has reached it."
    return {
        "against": f"{heading}\n\n{table(_HEADINGS, lines)}",
        "against_missed": markdown_table(["what missed its goal", "why"], reasons, words=2) if reasons else fine,
    }


def _peak(turns: list[dict[str, float]]) -> str:
    """Write the median of the largest memory, if the probe prints it."""
    peaks = [turn["peak_mb"] for turn in turns if "peak_mb" in turn]
    return f"{median(peaks):.0f}" if peaks else ""


def _ratios(old: list[float], new: list[float]) -> list[float]:
    """Compare the turns of each round."""
    return [after / before for before, after in zip(old, new, strict=True)]


def _shown(values: list[float]) -> str:
    """Write the median with its range, with three figures."""
    middle = median(values)
    return spread(values, 2 if middle < 10 else 1 if middle < 100 else 0)
