"""Results as JSON files, and the tables of README.md that are made from them."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.provenance import sentence
from bus_lightning.core.files import write_aside
from bus_lightning.report.marked_page import fill_tables, markdown_table

README = Path(__file__).parent / "README.md"
RELIABILITY = Path(__file__).parent.parent / "docs" / "reliability.md"
RUNS = RELIABILITY.with_name("runs.md")
SECURITY = RELIABILITY.with_name("security.md")
DIAGNOSIS = RELIABILITY.with_name("diagnosis.md")
PAGES = (README, RELIABILITY, RUNS, DIAGNOSIS)  # with tables of the sections
RESULTS = Path(__file__).parent / "results"
Tables = Callable[[dict[str, Any]], dict[str, str]]


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Make a Markdown table; the first column is text, the others are numbers."""
    return markdown_table(headings, rows)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Write a median with its range: `11.2 (10.9 to 11.5)`."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def save(folder: Path, section: str, provenance: dict[str, Any], results: dict[str, Any]) -> None:
    """Write what a section measured."""
    content = {"section": section, **provenance, "results": results}
    write_aside(folder / f"{section}.json", json.dumps(content, indent=1) + "\n")


def load(folder: Path, section: str) -> dict[str, Any] | None:
    """Read what a section measured; None if it was never measured."""
    path = folder / f"{section}.json"
    return json.loads(path.read_text())["results"] if path.is_file() else None


def section_tables(folder: Path, section: str, tables: Tables) -> dict[str, str]:
    """Make a section's tables, each with its provenance below; none when it was never measured."""
    path = folder / f"{section}.json"
    if not path.is_file():
        return {}
    content = json.loads(path.read_text())
    return {name: f"{text}\n\n{sentence(content)}" for name, text in tables(content["results"]).items()}


def render(tables: dict[str, str], readme: Path = README) -> list[str]:
    """Put tables into a page; see `fill_tables`."""
    return fill_tables(readme, tables)
