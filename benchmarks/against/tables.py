"""The tables of the comparison."""

from statistics import median
from typing import Any

from benchmarks.against.goals import ROWS, Row
from benchmarks.report import spread, table

_HEADINGS = ("seconds", "old", "new", "new / old", "goal, at most", "reached", "peak MB, old", "peak MB, new", "commit")
_UNKNOWN = "Not known yet."


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the tables `against` and `against_missed`."""
    known = {row.probe for row in ROWS}
    rows = [
        *ROWS,
        *(Row(name, name) for name in sorted(results["probes"].keys() | results["failed"]) if name not in known),
    ]
    lines, missed = [], []
    for row in rows:
        goal = "" if row.goal is None else f"{row.goal:.2f}"
        turns = results["probes"].get(row.probe)
        if turns is None:
            reason = results["failed"].get(row.probe)
            lines.append([row.what, f"not measured{f': {reason}' if reason else ''}", "", "", goal, *[""] * 4])
            continue
        old, new = ([turn[row.key] for turn in turns[build]] for build in ("old", "new"))
        ratios = [after / before for before, after in zip(old, new, strict=True)]
        reached = "" if row.goal is None else "yes" if median(ratios) <= row.goal else "**no**"
        peaks = [f"{median([turn['peak_mb'] for turn in turns[build]]):.0f}" for build in ("old", "new")]
        lines.append([row.what, *(spread(values, _digits(values)) for values in (old, new)), spread(ratios), goal,
                      reached, *peaks, turns["commit"]])  # fmt: skip
        if reached == "**no**":
            missed.append([row.what, row.missed or _UNKNOWN])
    reference = results["reference"]
    commit = "" if reference["commit"].startswith(reference["name"]) else f", commit {reference['commit'][:7]}"
    heading = f"**old** is {reference['name']}{commit}; **new** is the commit in the last column."
    why = (
        table(["what missed its goal", "why"], missed)
        if missed
        else "Every row with a goal that was measured reached it."
    )
    return {"against": f"{heading}\n\n{table(_HEADINGS, lines)}", "against_missed": why}


def _digits(values: list[float]) -> int:
    """Choose the decimals: three figures."""
    return 2 if median(values) < 10 else 1 if median(values) < 100 else 0
