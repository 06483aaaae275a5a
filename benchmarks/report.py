"""Results as JSON files, and the tables of README.md that are made from them."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.provenance import sentence
from bus_lightning.core.files import write_aside

README = Path(__file__).parent / "README.md"
RELIABILITY = Path(__file__).parent.parent / "docs" / "reliability.md"
RUNS = RELIABILITY.with_name("runs.md")
SECURITY = RELIABILITY.with_name("security.md")
RESULTS = Path(__file__).parent / "results"
Tables = Callable[[dict[str, Any]], dict[str, str]]


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Make a Markdown table; the first column is text, the others are numbers."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Write a median with its range: `11.2 (10.9 to 11.5)`."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def save(folder: Path, section: str, provenance: dict[str, Any], results: dict[str, Any]) -> None:
    """Write what a section measured."""
    content = {"section": section, **provenance, "results": results}
    write_aside(folder / f"{section}.json", json.dumps(content, indent=1) + "\n")


def section_tables(folder: Path, section: str, tables: Tables) -> dict[str, str]:
    """Make a section's tables, each with its provenance below; none when it was never measured."""
    path = folder / f"{section}.json"
    if not path.is_file():
        return {}
    content = json.loads(path.read_text())
    return {name: f"{text}\n\n{sentence(content)}" for name, text in tables(content["results"]).items()}


def render(tables: dict[str, str], readme: Path = README) -> list[str]:
    """Put tables between their markers, `<!-- table:NAME -->` and `<!-- end -->`; the prose around them stays.

    Returns:
        Names of the tables that have no place.
    """
    text = readme.read_text(encoding="utf-8")

    def filled(place: re.Match[str]) -> str:
        return f"{place[1]}{tables[place[2]]}\n{place[3]}" if place[2] in tables else place[0]

    write_aside(readme, re.sub(r"(<!-- table:(\w+) -->\n).*?(<!-- end -->)", filled, text, flags=re.DOTALL))
    return [name for name in tables if f"<!-- table:{name} -->" not in text]
