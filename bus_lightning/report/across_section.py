"""The section of data sets: networks trained on one and tested on another, and what differs between the sets."""

import shlex
from collections.abc import Mapping, Sequence
from os.path import commonprefix
from pathlib import Path
from typing import Any

import pandas as pd

from bus_lightning.core.class_names import BENIGN, MALIGNANT
from bus_lightning.metrics.catalogue import heading_of, title_of
from bus_lightning.report.estimates import estimate, metric_row
from bus_lightning.report.figures.across import Shown, heat_map
from bus_lightning.report.figures.inputs import labels_of
from bus_lightning.report.sections import Item, Note, Section, TableItem
from bus_lightning.runs.sets import is_layout
from bus_lightning.statistics.across_sets import Across, Cell, Row, read_across
from bus_lightning.statistics.conditions import Condition, of_task
from bus_lightning.statistics.parallel import call_in_parallel
from bus_lightning.statistics.summary import summarise

_LESIONS = "malignant_vs_benign_auroc"
_METRICS = {"classification": ("auroc_macro", "balanced_accuracy"), "segmentation": ("dice_image", "iou_image")}
_UNKNOWN = "not known"
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
            items += _matrix(task, across, cache)
    described = {name: values for across in by_task.values() for name, values in across.described.items()}
    items += [*_empty_cells(by_task), *_differences(described)]
    intro = (
        "Rows are what a network was trained on, columns what it was tested on. On its own data set, a network is "
        "tested on the held-out images of the test part; on another set, on images that were not used in training. A "
        "fall from the first to the second is what to expect in another hospital."
    )
    return Section("Trained on, tested on", intro, items)


def _matrix(task: str, across: Across, cache: Path | None) -> list[Item]:
    """Make the tables, the figure and the notes of a task."""
    filled = [(place, cell) for place, cell in _cells(across) if cell.images]
    calls = [(cell.condition, "test", cache) for _, cell in filled]
    summaries = call_in_parallel(summarise, calls, sum(len(cell.condition.cases) for _, cell in filled))
    rows = {place: summary for (place, _), summary in zip(filled, summaries, strict=True)}
    has_lesions = task == "classification" and all(
        {BENIGN, MALIGNANT} <= {*row.condition.classes} for row in across.rows
    )
    lacks_a_class = any(cell.missing for _, cell in filled)
    metrics = (*[_LESIONS] * (has_lesions and lacks_a_class), *_METRICS[task])
    names = _names(across.rows)
    has_conditions = len(set(names[1])) > 1
    items: list[Item] = []
    for metric in metrics:
        cells = {place: _text(cell, metric_row(rows.get(place), metric)) for place, cell in _cells(across)}
        table = pd.DataFrame([
            {"trained on": trained}
            | ({"network": label} if has_conditions else {})
            | {"runs": len(row.condition.runs)}
            | {f"tested on {name}": cells.get((number, column), _gap(row, name))
               for column, name in enumerate(across.tested)}
            for number, (row, trained, label) in enumerate(zip(across.rows, *names, strict=True))
        ])  # fmt: skip
        caption = (
            f"{heading_of(metric)} on test images: value and 95% interval, bootstrap over groups (near-duplicates, and "
            "the images of a patient); several runs are averaged."
        )
        items.append(TableItem(f"across_{task}_{metric}", caption, table))
    items.insert(0, _figure(task, across, rows, metrics, [*zip(*names, strict=True)], has_conditions))
    return [*_in_words(task, across, rows, metrics), *items, *_missing(across)]


def _cells(across: Across) -> list[tuple[tuple[int, int], Cell]]:
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
    if row is None:
        value = "not measured"
    elif row["reason"]:
        value = f"undefined: {row['reason']}"
    else:
        value = estimate(row["value"], row["low"], row["high"])
    runs = f"; {cell.runs} of {len(cell.condition.runs)} runs" if cell.runs < len(cell.condition.runs) else ""
    return f"{value}; {_size(cell)}{runs}" + "; same set, held-out" * cell.is_own


def _size(cell: Cell) -> str:
    of = f"{cell.groups} groups" if cell.patients is None else f"{cell.patients} patients"
    return f"{cell.images} images, {of}"


def _gap(row: Row, name: str) -> str:
    return _TRAINED_ON if name in row.trained else _EMPTY


def _figure(task: str, across: Across, rows: Mapping[tuple[int, int], pd.DataFrame], metrics: Sequence[str],
            names: Sequence[tuple[str, str]], has_conditions: bool) -> Item:  # fmt: skip
    """Draw the metrics that are defined in most cells, two at most."""
    values = {
        metric: {place: row for place, table in rows.items() if (row := metric_row(table, metric))}
        for metric in metrics
    }
    defined = {metric: sum(not row["reason"] for row in of.values()) for metric, of in values.items()}
    chosen = [metric for metric in metrics if defined[metric] == max(defined.values())][:2]
    shown: dict[str, dict[tuple[int, int], Shown]] = {}
    for metric in chosen:
        shown[metric] = {
            (number, column): Shown((_gap(row, name).replace(" ", "\n", 1),))
            for number, row in enumerate(across.rows)
            for column, name in enumerate(across.tested)
        }
        for place, cell in _cells(across):
            row = values[metric].get(place)
            if not cell.images or row is None or row["reason"]:
                shown[metric][place] = Shown(("undefined" if cell.images else "left out",), is_own=cell.is_own)
                continue
            lines = (f"{row['value']:.2f}", f"{row['low']:.2f} to {row['high']:.2f}", f"n = {cell.images}")
            shown[metric][place] = Shown(lines, row["value"], cell.is_own)
    caption = (
        "Trained on (rows), tested on (columns): value, 95% interval over groups, number of images. A frame marks "
        "held-out images of a training set. Darker is better."
    )
    labels = [f"{trained}, {label}" if has_conditions else trained for trained, label in names]
    classes = min(len(row.condition.classes) for row in across.rows)
    chance = {"auroc_macro": 0.5, _LESIONS: 0.5, "balanced_accuracy": 1 / classes}
    return heat_map(f"across_{task}", f"{task.capitalize()}. {caption}", labels, across.tested, shown, chance)


def _in_words(task: str, across: Across, rows: Mapping[tuple[int, int], pd.DataFrame],
              metrics: Sequence[str]) -> list[Item]:  # fmt: skip
    """Say what the main metric is on own and on other sets, each as a range."""
    metric = metrics[0]
    found: dict[bool, list[float]] = {True: [], False: []}
    for place, cell in _cells(across):
        row = metric_row(rows.get(place), metric)
        if row and not row["reason"]:
            found[cell.is_own].append(row["value"])
    if not found[True] or not found[False]:
        return []
    own, other = (" to ".join(dict.fromkeys(f"{end:.2f}" for end in (min(values), max(values))))
                  for values in (found[True], found[False]))  # fmt: skip
    text = (
        f"{task.capitalize()}, {title_of(metric)}: {own} on held-out images of the training set, {other} on other sets."
    )
    return [Note(text)]


def _missing(across: Across) -> list[Item]:
    """Say which classes a test set lacks."""
    lacking = {name: sorted(set(cell.missing)) for row in across.rows for name, cell in row.cells.items()
               if cell.images and cell.missing}  # fmt: skip
    texts = [f"{name} has no image of class {', '.join(classes)}" for name, classes in lacking.items()]
    if not texts:
        return []
    return [Note(f"{'; '.join(texts)}. Scores that need every class are undefined there.")]


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
    paths = [str(run.path) for run in condition.runs]
    runs = paths[0] if len(paths) == 1 else f"{commonprefix(paths)}*"  # noqa: RUF071 (of characters: a pattern)
    key = str(described.get("data", name))
    place = [] if key == name and not is_layout(key) else ["data.root=FOLDER"]
    return shlex.join(["python", "evaluate.py", f"runs={runs}", f"data={key}", *place, *["split=unseen"] * is_seen])


def _differences(described: Mapping[str, Mapping[str, Any]]) -> list[Item]:
    """Tabulate the data sets: a row per property."""
    known = {name: values for name, values in described.items() if "images" in values}
    if len(known) < 2:
        return []
    rows = [
        {"": title} | {name: write(values) for name, values in known.items()} for title, write in _PROPERTIES.items()
    ]
    told = [row for row in rows if any(row[name] != _UNKNOWN for name in known)]
    caption = "What differs between the data sets, of the images that the runs use; medians over images."
    return [TableItem("across_sets", caption, pd.DataFrame(told))]


def _write_classes(values: Mapping[str, Any]) -> str:
    total = sum(values["classes"].values())
    parts = [f"{name} {number} ({number / total:.0%})" for name, number in values["classes"].items() if total]
    return ", ".join(parts) or _UNKNOWN


def _write_patients(values: Mapping[str, Any]) -> str:
    if values.get("patients") is None:
        return _UNKNOWN
    without = values.get("images_without_patient") or 0
    return f"{values['patients']}" + f" ({without} images without one)" * bool(without)


def _write_devices(values: Mapping[str, Any]) -> str:
    devices = values.get("devices") or {}
    shown = [f"{name} ({number})" for name, number in list(devices.items())[:4]]
    return ", ".join(shown + [f"{len(devices) - 4} more"] * (len(devices) > 4)) or _UNKNOWN


def _write_size(values: Mapping[str, Any]) -> str:
    width, height = values.get("median_width"), values.get("median_height")
    return _UNKNOWN if width is None or height is None else f"{width:.0f} x {height:.0f} pixels"


def _share(key: str) -> Any:
    return lambda values: _UNKNOWN if values.get(key) is None else f"{values[key]:.1%}"


_PROPERTIES: dict[str, Any] = {
    "images": lambda values: f"{values['images']}",
    "patients": _write_patients,
    "classes": lambda values: _write_classes({"classes": values.get("classes") or {}}),
    "device": _write_devices,
    "size of an image": _write_size,
    "lesion, share of the image": _share("median_lesion_share"),
    "lesion, diameter": lambda values: _UNKNOWN if values.get("median_lesion_mm") is None
    else f"{values['median_lesion_mm']:.1f} mm",
    "tinted images": _share("share_tinted"),
    "images with text or calipers burned in": _share("share_marked"),
    "groups of near-duplicates": lambda values: _UNKNOWN if values.get("near_duplicate_groups") is None
    else f"{values['near_duplicate_groups']}",
}  # fmt: skip
