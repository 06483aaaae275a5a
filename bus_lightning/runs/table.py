"""Runs side by side: one flat row per run, from the files of its folder."""

from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bus_lightning.core.console import PrintableConsole
from bus_lightning.core.errors import DamagedError
from bus_lightning.metrics.catalogue import RUNS, shown_in, title_of
from bus_lightning.metrics.majority import majority_accuracy
from bus_lightning.runs.cases import read_cases
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.lock import is_owned

_SCORES = shown_in(RUNS)
_COUNTS = ("parameters", "epochs", "seconds", "n")
# A narrow terminal shows the first of these that fit.
_BY_IMPORTANCE = (
    *("accuracy", "iou_image", "auroc_macro", "dice_image", "majority", "f1_macro"),
    *("seconds", "epochs", "n", "parameters"),
)
_GAP = 2  # characters between columns
_HEADING = 10  # characters in a line of a heading
_LABEL, _LABEL_LINES = 12, 3  # fewest characters in a line of the first column, which names the run; most lines
_FEWEST = 2  # columns of numbers in a table
_WITHOUT_TERMINAL = 150  # characters in a line of a log


def collect(
    folders: list[Path],
    part: str = "test",
    evaluations: list[Path] | None = None,
    refused: dict[str, str | None] | None = None,
) -> pd.DataFrame:
    """Read the results of runs.

    Args:
        folders: Run folders, complete or not.
        part: Part of the split whose scores are shown.
        evaluations: Folders with the `metrics.json` and `cases.csv` to show; None takes those of the runs.
        refused: Folder -> why its job left it untouched; its row shows that, not what is in the folder.

    Returns:
        A row per run: `run`, `model`, `state`, `parameters`, `seconds`, `epochs`, `n`, the scores of the part,
        `majority` (accuracy of always predicting the most frequent class), `error`, `folder`. `accuracy` is that of
        classes; a segmenter, whose `accuracy` is that of pixels, has none.
    """
    results = evaluations or folders
    return pd.DataFrame(
        [
            _row(RunDir(folder), RunDir(result), part, (refused or {}).get(str(folder)))
            for folder, result in zip(folders, results, strict=True)
        ]
    )


def _row(run: RunDir, results: RunDir, part: str, refused: str | None) -> dict[str, Any]:
    majority, parameters = None, None
    try:
        status, scores = run.status, results.metrics.get(part, {})
        # On other data, an ensemble averages the networks of all folds, not only those of its folder.
        parameters = results.status.get("parameters") or status.get("parameters")
        if "f1_macro" in scores:
            cases = read_cases(results.cases)
            majority = majority_accuracy(cases if part == "all" else cases[cases["split"] == part])
        elif scores:
            scores = scores | {"accuracy": None}  # that of pixels
    except DamagedError as error:
        status, scores = {"state": "damaged", "error": str(error)}, {}
    if refused:
        status, scores = {"state": "refused", "error": refused, "model": status.get("model")}, {}
    # metrics.json makes a run complete, even if the process was killed before it could say so.
    state = "complete" if scores else status.get("state", "not started")
    if state == "running" and not is_owned(run.path):
        state, status = "killed", status | {"error": "its process died without an error (killed, or out of memory?)"}
    if status.get("kind") == "WeightsMissingError" and state == "failed":
        state = "not run: weights missing"
    return {
        "run": run.path.name,
        "model": status.get("model") or run.path.name.partition("__")[0],
        "state": state,
        "parameters": parameters,
        "seconds": status.get("seconds"),
        "epochs": status.get("epochs"),
        "n": scores.get("n"),
        **{key: scores.get(key) for key in _SCORES},
        "majority": majority if scores else None,
        "error": status.get("error") if state != "complete" else None,
        "folder": str(run.path),
    }


class _Column(NamedTuple):
    """A column of numbers: its heading in lines, a cell per run, its width in characters."""

    heading: list[str]
    cells: list[str]
    width: int


def show(runs: pd.DataFrame, title: str = "Test results", console: Console | None = None) -> None:
    """Print the table, what went wrong, and where the run folders are.

    A column without a number is left out. A terminal that is too narrow for all columns gets the most important ones,
    or a block of lines per run if not even two of them fit.

    Args:
        runs: From `collect`.
        title: Heading.
        console: Where to; None is the standard output.
    """
    console = console or PrintableConsole(width=None if Console().is_terminal else _WITHOUT_TERMINAL)
    rows = runs.to_dict("records")
    labels, shared = _labels(rows)
    console.print(title, style="bold", highlight=False)
    if shared:
        console.print(f"All runs: {', '.join(shared)}", markup=False, highlight=False, soft_wrap=True)
    columns = _columns(rows)
    narrowest = max([_LABEL, *(len(str(row["model"])) for row in rows)])  # a model's name stays on one line
    fitting = _fitting(labels, narrowest, columns, console.width)
    if len(fitting) < min(_FEWEST, len(columns)):
        _print_blocks(rows, labels, columns, console)
    else:
        _print_table(rows, labels, fitting, console)
        if hidden := [title_of(key) for key in columns if key not in fitting]:
            line = f"Not shown in {console.width} characters: {'; '.join(hidden)}"
            console.print(line, style="dim", markup=False, highlight=False)
    for row in rows:
        if row["state"] != "complete" and _is_known(row["error"]):
            console.print(
                f"{row['run']}: {row['error']}", style="yellow", markup=False, highlight=False, soft_wrap=True
            )
    for folder in sorted({str(Path(folder).parent) for folder in runs["folder"]}):
        console.print(f"The run folders are in {folder}/", markup=False, highlight=False, soft_wrap=True)


def _labels(rows: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Name each run by its model and what its name does not share with all others, with its state unless complete.

    Returns:
        A label per run, and the parts of names that all runs share.
    """
    parts = [str(row["run"]).removeprefix(row["model"]).removeprefix("__").split("__") for row in rows]
    shared = [part for part in parts[0] if part and all(part in others for others in parts)] if len(rows) > 1 else []
    groups = [Path(row["folder"]).parent.name for row in rows]
    several = len(set(groups)) > 1
    labels = []
    for row, own, group in zip(rows, parts, groups, strict=True):
        name = "__".join(part for part in own if part not in shared)
        state = "" if row["state"] == "complete" else f"({row['state']})"
        labels.append(" ".join(filter(None, (f"{group}/" * several + str(row["model"]), name, state))))
    return labels, shared


def _columns(rows: list[dict[str, Any]]) -> dict[str, _Column]:
    """Write the numbers of the runs, in columns; a column without a number is left out."""
    columns = {}
    for key in (*_COUNTS, *_SCORES, "majority"):
        # Only the time that a run took is meant for a run that is not complete.
        known = [_is_known(row[key]) and (row["state"] == "complete" or key == "seconds") for row in rows]
        style = ",.0f" if key in _COUNTS else ".3f"
        cells = [f"{row[key]:{style}}" if is_known else "-" for row, is_known in zip(rows, known, strict=True)]
        heading = wrap(title_of(key), _HEADING)
        if any(known):
            columns[key] = _Column(heading, cells, max(map(len, heading + cells)))
    return columns


def _fitting(labels: list[str], narrowest: int, columns: dict[str, _Column], width: int) -> dict[str, _Column]:
    """Choose the most important columns that fit next to the labels, in their usual order.

    Args:
        labels: From `_labels`.
        narrowest: Fewest characters in a line of labels.
        columns: From `_columns`.
        width: Characters in a line of the table.
    """
    ranked = [key for key in _BY_IMPORTANCE if key in columns]
    for number in range(len(ranked), -1, -1):
        chosen = {key: column for key, column in columns.items() if key in ranked[:number]}
        space = _space_of_labels(chosen, width)
        if space >= narrowest and all(len(_fold(label, space)) <= _LABEL_LINES for label in labels):
            return chosen
    return {}


def _space_of_labels(columns: dict[str, _Column], width: int) -> int:
    """Count the characters that are left for the labels, next to the numbers."""
    return width - sum(_GAP + column.width for column in columns.values())


def _fold(label: str, width: int) -> list[str]:
    """Break a label into lines, between the parts of a name where possible."""
    return [line.replace(" __", "__") for line in wrap(label.replace("__", " __"), width)]


def _print_table(rows: list[dict[str, Any]], labels: list[str], columns: dict[str, _Column], console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    table.add_column("run", no_wrap=True)
    for column in columns.values():
        table.add_column("\n".join(column.heading), justify="right", no_wrap=True)
    space = _space_of_labels(columns, console.width)
    for place, (row, label) in enumerate(zip(rows, labels, strict=True)):
        cells = [column.cells[place] for column in columns.values()]
        style = "" if row["state"] == "complete" else "yellow"
        table.add_row(Text("\n".join(_fold(label, space))), *cells, style=style)
    console.print(table)


def _print_blocks(rows: list[dict[str, Any]], labels: list[str], columns: dict[str, _Column], console: Console) -> None:
    for place, (row, label) in enumerate(zip(rows, labels, strict=True)):
        style = "bold" if row["state"] == "complete" else "yellow"
        console.print(label, style=style, markup=False, highlight=False, soft_wrap=True)
        for key in _BY_IMPORTANCE:
            if key in columns and (value := columns[key].cells[place]) != "-":
                console.print(f"  {title_of(key)} {value}", markup=False, highlight=False, soft_wrap=True)


def _is_known(value: Any) -> bool:
    return value is not None and not pd.isna(value)
