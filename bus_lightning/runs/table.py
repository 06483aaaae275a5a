"""Runs side by side: one flat row per run, from the files of its folder."""

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from bus_lightning.core.errors import DamagedError
from bus_lightning.metrics.catalogue import title_of
from bus_lightning.metrics.majority import majority_accuracy
from bus_lightning.runs.cases import read_cases
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.lock import is_owned

_SCORES = ("accuracy", "f1_macro", "auroc_macro", "iou_image", "dice_image")


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
        `majority` (accuracy of always answering the most frequent class), `error`, `folder`.
    """
    results = evaluations or folders
    return pd.DataFrame(
        [
            _row(RunDir(folder), RunDir(result), part, (refused or {}).get(str(folder)))
            for folder, result in zip(folders, results, strict=True)
        ]
    )


def _row(run: RunDir, results: RunDir, part: str, refused: str | None) -> dict[str, Any]:
    majority = None
    try:
        status, scores = run.status, results.metrics.get(part, {})
        if "f1_macro" in scores:
            cases = read_cases(results.cases)
            majority = majority_accuracy(cases if part == "all" else cases[cases["split"] == part])
    except DamagedError as error:
        status, scores = {"state": "damaged", "error": str(error)}, {}
    if refused:
        status, scores = {"state": "refused", "error": refused, "model": status.get("model")}, {}
    # metrics.json makes a run complete, even if the process was killed before it could say so.
    state = "complete" if scores else status.get("state", "not started")
    if state == "running" and not is_owned(run.path):
        state, status = "killed", status | {"error": "its process died without a word (killed, or out of memory?)"}
    if status.get("kind") == "WeightsMissingError" and state == "failed":
        state = "not run: weights missing"
    return {
        "run": run.path.name,
        "model": status.get("model") or run.path.name.partition("__")[0],
        "state": state,
        "parameters": status.get("parameters"),
        "seconds": status.get("seconds"),
        "epochs": status.get("epochs"),
        "n": scores.get("n"),
        **{key: scores.get(key) for key in _SCORES},
        "majority": majority if scores else None,
        "error": status.get("error") if state != "complete" else None,
        "folder": str(run.path),
    }


def show(runs: pd.DataFrame, title: str = "Test results", console: Console | None = None) -> None:
    """Print the table, what went wrong, and where everything lies.

    Args:
        runs: From `collect`.
        title: Heading.
        console: Where to; None is the standard output.
    """
    console = console or Console(width=None if Console().is_terminal else 150)
    table = Table(title=title, title_style="bold")
    table.add_column("model", no_wrap=True)
    table.add_column("run", overflow="fold")
    for heading in ("parameters", "epochs", "seconds", "n", *map(title_of, _SCORES), "majority"):
        table.add_column(heading, justify="right")
    for row in runs.to_dict("records"):
        if row["state"] == "complete":
            whole = [
                f"{row[key]:,.0f}" if _there(row[key]) else "-" for key in ("parameters", "epochs", "seconds", "n")
            ]
            scores = [f"{row[key]:.3f}" if _there(row[key]) else "-" for key in (*_SCORES, "majority")]
            table.add_row(row["model"], _short_name(row), *whole, *scores)
        else:
            seconds = f"{row['seconds']:,.0f}" if _there(row["seconds"]) else "-"
            table.add_row(row["model"], f"{_short_name(row)} ({row['state']})", "-", "-", seconds, style="yellow")
    console.print(table)
    for row in runs.to_dict("records"):
        if row["state"] != "complete" and _there(row["error"]):
            console.print(
                f"{row['run']}: {row['error']}", style="yellow", markup=False, highlight=False, soft_wrap=True
            )
    for folder in sorted({str(Path(folder).parent) for folder in runs["folder"]}):
        console.print(f"Everything lies in {folder}/", markup=False, highlight=False, soft_wrap=True)


def _short_name(row: dict[str, Any]) -> str:
    """Leave out what the column of models says already."""
    return str(row["run"]).removeprefix(row["model"]).removeprefix("__")


def _there(value: Any) -> bool:
    return value is not None and not pd.isna(value)
