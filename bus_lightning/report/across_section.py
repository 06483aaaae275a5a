"""The section of data sets: networks trained on one and tested on another, and what differs between the sets."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from os.path import commonprefix
from pathlib import Path
from typing import Any

import pandas as pd

from bus_lightning.config.kinds import shown as written
from bus_lightning.core.class_names import BENIGN, MALIGNANT
from bus_lightning.metrics.catalogue import heading_of, title_of
from bus_lightning.report.estimates import metric_row, write_score
from bus_lightning.report.figures.across import Shown, heat_map
from bus_lightning.report.figures.inputs import labels_of
from bus_lightning.report.sections import Item, Note, Section, TableItem, fold
from bus_lightning.report.set_differences import set_differences
from bus_lightning.runs.sets import is_layout
from bus_lightning.statistics.across_sets import Across, Cell, Row, read_across
from bus_lightning.statistics.conditions import Condition, of_task
from bus_lightning.statistics.parallel import call_in_parallel
from bus_lightning.statistics.summary import summarise

_LESIONS = "malignant_vs_benign_auroc"
_METRICS = {"classification": ("auroc_macro", "balanced_accuracy"), "segmentation": ("dice_image", "iou_image")}
_Place = tuple[int, int]  # row and column
_EMPTY, _TRAINED_ON = "not evaluated", "no held-out images"


def across_section(conditions: list[Condition], cache: Path | None) -> Section | None:
    """Show the scores of every training set on every test set.

    Args:
        conditions: Those of the report.
        cache: Folder that keeps summaries.

    Returns:
        The section; None if all runs were trained and tested on one data set.
    """
    by_task = {task: read_across(of_task(conditions, task)) for task in _METRICS}
    if len({name for across in by_task.values() for name in across.tested}) < 2:
        return None
    items: list[Item] = []
    for task, across in by_task.items():
        if across.rows:
            items += _matrix_items(task, across, cache)
    described = {name: values for across in by_task.values() for name, values in across.described.items()}
    is_external = any(cell.images and not cell.is_own for across in by_task.values() for _, cell in _cells(across))
    items += [*_empty_cells(by_task), *set_differences(described)]
    intro = (
        "Rows are what a network was trained on, columns what it was tested on. On its own data set, a network is "
        "tested on the held-out images of the test part; on another set, on images that were not used in training. A "
        "lower score on other sets is a hint, not a measure, of the score in a further hospital."
    )
    # The checklists take the first title as the place of a test on external data.
    return Section("Trained on, tested on" if is_external else "Trained and tested on the same sets", intro, items)


@dataclass(frozen=True)
class _Matrix:
    """The scores of a task: metric -> (row, column) -> row of `summarise`; only metrics that are defined somewhere."""

    task: str
    across: Across
    scores: dict[str, dict[_Place, dict[str, Any]]]
    trained: list[str]
    labels: list[str]

    @property
    def has_labels(self) -> bool:
        """Whether the training sets alone do not identify the network of a row."""
        return len(set(self.labels)) > 1


def _matrix_items(task: str, across: Across, cache: Path | None) -> list[Item]:
    """Make the notes, the figure and the tables of a task."""
    filled = {place: cell.condition for place, cell in _cells(across) if cell.images}
    calls = [(condition, "test", cache) for condition in filled.values()]
    summaries = call_in_parallel(summarise, calls, sum(len(condition.cases) for condition in filled.values()))
    scores = {}
    for metric in _metrics(task, across):
        each = ((place, metric_row(table, metric)) for place, table in zip(filled, summaries, strict=True))
        rows = {place: row for place, row in each if row}
        if any(not row["reason"] for row in rows.values()):
            scores[metric] = rows
    if not scores:
        return _missing(across)
    matrix = _Matrix(task, across, scores, *_names(across.rows))
    return [*_in_words(matrix), _figure(matrix), *_tables(matrix), *_missing(across)]


def _metrics(task: str, across: Across) -> list[str]:
    """List the metrics of a task; where a test set lacks a class, first the one that needs only the two tumours."""
    lacks_a_class = any(cell.missing for _, cell in _cells(across) if cell.images)
    has_tumours = all({BENIGN, MALIGNANT} <= {*row.condition.classes} for row in across.rows)
    return [*[_LESIONS] * (task == "classification" and lacks_a_class and has_tumours), *_METRICS[task]]


def _tables(matrix: _Matrix) -> list[Item]:
    """Repeat the numbers of the figure in tables, with the number of patients or groups."""
    return fold(
        f"{matrix.task.capitalize()}: the numbers of the figure", [_table(matrix, key) for key in matrix.scores]
    )


def _table(matrix: _Matrix, metric: str) -> TableItem:
    across, scores = matrix.across, matrix.scores[metric]
    texts = {place: _text(cell, scores.get(place)) for place, cell in _cells(across)}
    rows = []
    for number, row in enumerate(across.rows):
        label = {"network": matrix.labels[number]} if matrix.has_labels else {}
        cells = {
            f"tested on {name}": texts.get((number, column), _gap(row, name))
            for column, name in enumerate(across.tested)
        }
        rows.append({"trained on": matrix.trained[number], **label, "runs": row.condition.trainings, **cells})
    caption = (
        f"{heading_of(metric)} on test images: value and 95% interval, bootstrap over groups (near-duplicates, and the "
        "images of a patient); several runs are averaged."
    )
    return TableItem(f"across_{matrix.task}_{metric}", caption, pd.DataFrame(rows))


def _cells(across: Across) -> list[tuple[_Place, Cell]]:
    columns = {name: column for column, name in enumerate(across.tested)}
    return [
        ((number, columns[name]), cell) for number, row in enumerate(across.rows) for name, cell in row.cells.items()
    ]


def _names(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Name the training sets and the condition of each row: the model, and what differs between equal training sets."""
    trained = [" + ".join(row.trained) for row in rows]
    several_models = len({row.condition.model for row in rows}) > 1
    labels = []
    for name, row in zip(trained, rows, strict=True):
        same = [other.condition for other, own in zip(rows, trained, strict=True) if own == name]
        short = labels_of(same)[row.condition.name] if len(same) > 1 else row.condition.model
        is_named = row.condition.model in short or not several_models
        labels.append(short if is_named else f"{row.condition.model}, {short}")
    return trained, labels


def _text(cell: Cell, row: Mapping[str, Any] | None) -> str:
    """Write a cell: value, interval and size."""
    if not cell.images:
        return f"left out: {cell.seen} of these images were seen in training"
    value = write_score(row, missing="not measured")
    runs = f"; {cell.runs} of {len(cell.condition.runs)} runs" if cell.runs < len(cell.condition.runs) else ""
    if cell.condition.is_ensemble:  # the folds' networks are averaged, too
        runs = f"; {cell.condition.networks} networks"
    return f"{value}; {_size(cell)}{runs}" + "; same set, held-out" * cell.is_own


def _size(cell: Cell) -> str:
    of = f"{cell.groups} groups" if cell.patients is None else f"{cell.patients} patients"
    return f"{cell.images} images, {of}"


def _gap(row: Row, name: str) -> str:
    return _TRAINED_ON if name in row.trained else _EMPTY


def _figure(matrix: _Matrix) -> Item:
    """Draw the metrics that are defined in most cells, two at most."""
    across = matrix.across
    defined = {metric: sum(not row["reason"] for row in rows.values()) for metric, rows in matrix.scores.items()}
    chosen = [metric for metric, number in defined.items() if number == max(defined.values())][:2]
    gaps = {
        (number, column): Shown((_gap(row, name).replace(" ", "\n"),))
        for number, row in enumerate(across.rows)
        for column, name in enumerate(across.tested)
    }
    shown = {
        metric: gaps | {place: _shown(cell, matrix.scores[metric].get(place)) for place, cell in _cells(across)}
        for metric in chosen
    }
    caption = (
        f"{matrix.task.capitalize()}. Trained on (rows), tested on (columns): value, 95% interval over groups, and the "
        "number of images. A frame marks held-out images of a training set. Darker is better."
    )
    names = [
        f"{name}, {label}" if matrix.has_labels else name
        for name, label in zip(matrix.trained, matrix.labels, strict=True)
    ]
    classes = min(len(row.condition.classes) for row in across.rows)
    chance = {"auroc_macro": 0.5, _LESIONS: 0.5, "balanced_accuracy": 1 / classes}
    return heat_map(f"across_{matrix.task}", caption, names, across.tested, shown, chance)


def _shown(cell: Cell, row: Mapping[str, Any] | None) -> Shown:
    if not cell.images:
        return Shown(("left out",))
    if row is None or row["reason"]:
        return Shown(("undefined",), is_own=cell.is_own)
    interval = [] if math.isnan(row["low"]) else [f"{row['low']:.2f} to {row['high']:.2f}"]
    return Shown((f"{row['value']:.2f}", *interval, f"n = {cell.images}"), row["value"], cell.is_own)


def _in_words(matrix: _Matrix) -> list[Item]:
    """Say what the main metric is on own and on other sets, each as a range."""
    metric, scores = next(iter(matrix.scores.items()))
    values: dict[bool, list[float]] = {True: [], False: []}
    for place, cell in _cells(matrix.across):
        if (row := scores.get(place)) and not row["reason"]:
            values[cell.is_own].append(row["value"])
    if not values[True] or not values[False]:
        return []
    own, other = (
        " to ".join(dict.fromkeys(f"{end:.2f}" for end in (min(each), max(each))))
        for each in (values[True], values[False])
    )
    name = f"{matrix.task.capitalize()}, {title_of(metric)}"
    return [Note(f"{name}: {own} on held-out images of the training set, {other} on other sets.")]


def _missing(across: Across) -> list[Item]:
    """Say which classes the test sets lack."""
    sets_of: dict[str, list[str]] = {}
    for _, cell in _cells(across):
        for name in cell.missing if cell.images else []:
            sets_of[name] = list(dict.fromkeys([*sets_of.get(name, []), cell.tested]))
    texts = [f"No image of class {name} in {', '.join(sets)}." for name, sets in sets_of.items()]
    return [Note(" ".join([*texts, "Scores that need every class are undefined there."]))] if texts else []


def _empty_cells(by_task: Mapping[str, Across]) -> list[Item]:
    """List the commands that fill the empty cells."""
    rows = []
    for across in by_task.values():
        for row, trained in zip(across.rows, _names(across.rows)[0], strict=True):
            for name in across.tested:
                cell = row.cells.get(name)
                if name in row.trained or (cell and cell.images):
                    continue
                command = _command(row.condition, name, across.described.get(name, {}), bool(cell))
                rows.append({"trained on": trained, "network": row.condition.model, "tested on": name,
                             "command": command})  # fmt: skip
    if not rows:
        return []
    caption = "Commands that fill the empty cells; add data.root=FOLDER if the folder is not in a variable."
    return [TableItem("across_commands", caption, pd.DataFrame(rows).drop_duplicates())]


def _command(condition: Condition, name: str, described: Mapping[str, Any], is_seen: bool) -> str:
    """Write the command that evaluates a condition on a data set, on the classes that both have."""
    if condition.ensemble:
        patterns = list(condition.ensemble.runs)
        named = [f"runs={written(patterns if patterns[1:] else patterns[0])}", f"ensemble={condition.ensemble.name}"]
    else:
        paths = [str(run.path) for run in condition.runs]
        pattern = f"{commonprefix(paths)}*"  # noqa: RUF071 (of characters)
        is_exact = set(glob(pattern)) == set(paths)  # it may match runs of another condition, too
        named = [f"runs={paths[0] if len(paths) == 1 else pattern if is_exact else written(paths)}"]
    key = str(described.get("data", name))
    place = [] if key == name and not is_layout(key) else ["data.root=FOLDER"]
    shared = [each for each in condition.classes if each in (described.get("classes") or {})]
    classes = [f"data.classes=[{','.join(shared)}]"] if shared else []
    options = [*place, *classes, *["split=unseen"] * is_seen]
    return shlex.join(["python", "evaluate.py", *named, f"data={key}", *options])
