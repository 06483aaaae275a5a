"""The paper's tables, with the numbers of a report's runs next to the paper's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bus_lightning.paper import numbers as paper
from bus_lightning.report.estimates import Summaries, estimate, metric_row
from bus_lightning.report.sections import TableItem
from bus_lightning.statistics.intervals import wilson

NOT_RUN = "not run"
_WILSON = (
    "The interval of a paper's accuracy is computed here: Wilson's 95% interval for that share of {n} images. {n} is "
    "not printed; it is the smallest number that all accuracies of the table are multiples of. The interval assumes "
    "independent images, one trained network and one split. Near-duplicates, seeds and splits do not widen it, so the "
    "true uncertainty is larger."
)
_OURS = "Ours: the value and its 95% interval, from a bootstrap over groups of near-duplicate images; n: our images."
_STAR = "A number with * is given for one of the two ResNet-34, and the paper does not say for which."
Reasons = Mapping[str, str]


@dataclass(frozen=True)
class _Column:
    """A number of the paper, and our metrics next to it: text behind "ours" in the heading -> metric."""

    title: str
    printed: str
    metrics: dict[str, str]


def _same(**titles: str) -> list[_Column]:
    """Make columns of metrics that are defined as ours: metric -> title."""
    return [_Column(title, metric, {"": metric}) for metric, title in titles.items()]


@dataclass(frozen=True)
class _Table:
    where: str
    models: Mapping[str, str]
    columns: list[_Column]
    caption: str
    has_others: bool = True
    """Whether models that the paper does not have are listed, too."""


_ACCURACY = _same(accuracy="accuracy")
_MACRO = _same(precision_macro="precision", recall_macro="recall", f1_macro="F1")
_LOSS = _same(log_loss="loss")
_TABLES = {
    "paper_table_1": _Table(
        paper.SEGMENTATION_TEST,
        paper.SEGMENTERS,
        [
            _Column("accuracy", "accuracy", {" (pooled)": "accuracy", " (mean of images)": "accuracy_image"}),
            _Column("recall", "recall", {" (pooled)": "recall", " (mean of lesions)": "recall_image"}),
            _Column("IoU", "iou", {" (pooled)": "iou_pooled", " (mean of lesions)": "iou_image"}),
        ],
        "The paper's Table 1, segmentation of the test images. The paper does not say whether its numbers are pooled "
        "(counted over the pixels of all images together) or means of the images; ours are given in both ways. Our "
        "means of recall and IoU cover only images with a lesion, because they are undefined for the others. The "
        "pixels of an image are not independent, so the paper's numbers have no interval here. " + _OURS,
    ),
    "paper_tables_2_3": _Table(
        paper.VALIDATION,
        paper.CLASSIFIERS,
        [*_ACCURACY, *_MACRO, *_LOSS],
        "The paper's Tables 2 and 3, classification of the validation images. They chose the epoch that is kept, so "
        "this is not a fair test. Precision, recall and F1 are means over the classes (the paper does not say so; its "
        f"numbers do). {_OURS} {_STAR} {_WILSON.format(n=paper.VALIDATION_IMAGES)}",
    ),
    "paper_table_4": _Table(
        paper.TEST,
        paper.CLASSIFIERS,
        [*_ACCURACY, *_LOSS],
        "The paper's Table 4, classification of the test images. "
        f"{_OURS} {_STAR} {_WILSON.format(n=paper.TEST_IMAGES)}",
    ),
    "paper_abstract": _Table(
        paper.ABSTRACT,
        {name: paper.CLASSIFIERS[name] for name in ("resnet50", "deepcardinal50")},
        [_Column(name, name, {" (AUC)": f"auroc_{name}"}) for name in paper.IMAGES],
        "The abstract's numbers per class next to our areas under the ROC curve, one class against the others, on the "
        "test images. That the paper's numbers are AUCs is a guess: it does not say what they are, and they cannot be "
        f"recalls, precisions, F1 scores or accuracies. {_OURS}",
        has_others=False,
    ),
}


def paper_tables(validation: Summaries, test: Summaries, reasons: Reasons) -> list[TableItem]:
    """Make all tables of the paper: 1, 2 and 3 as one, 4, and the numbers of the abstract.

    Args:
        validation: Model -> `summarise(condition, "val")` of the condition that represents it.
        test: The same for the test images.
        reasons: Model -> why it was not run.
    """
    items = []
    for slug, table in _TABLES.items():
        summaries = validation if table.where == paper.VALIDATION else test
        rows = [_row(table, model, summaries.get(model), reasons.get(model)) for model in _models(table, summaries)]
        items.append(TableItem(slug, table.caption, pd.DataFrame(rows)))
    return items


def _models(table: _Table, summaries: Summaries) -> list[str]:
    """List the paper's models, then those of the report that have the metrics of the table."""
    metrics = table.columns[-1].metrics.values()
    others = [model for model, summary in summaries.items() if any(metric_row(summary, name) for name in metrics)]
    return [*table.models, *(model for model in others if table.has_others and model not in table.models)]


def _row(table: _Table, model: str, summary: pd.DataFrame | None, reason: str | None) -> dict[str, str]:
    rows = {name: metric_row(summary, name) for column in table.columns for name in column.metrics.values()}
    measured = [row for row in rows.values() if row]
    cells, remarks = {"model": paper.NAMES.get(model, model)}, []
    for column in table.columns:
        cells[f"{column.title}, paper"] = _paper_cell(table.where, model, column.printed)
        for kind, name in column.metrics.items():
            cells[f"{column.title}, ours{kind}"] = _our_cell(rows[name], bool(measured))
            if (row := rows[name]) and row.get("reason"):
                remarks.append(f"{column.title}{kind}: {row['reason']}")
    cells["n"] = str(int(measured[0]["n"])) if measured else ""
    cells["runs"] = str(int(measured[0]["runs"])) if measured else ""
    if not measured:
        default = "there is no complete run of it" if summary is None else "its split has no such images"
        remarks = [f"{NOT_RUN}: {reason or default}"]
    return cells | {"remark": "; ".join(remarks)}


def _our_cell(row: dict[str, Any] | None, is_run: bool) -> str:
    if row:
        return estimate(row["value"], row["low"], row["high"])
    return "not computed" if is_run else NOT_RUN


def _paper_cell(where: str, model: str, metric: str) -> str:
    number = paper.published(where, model, metric)
    if number is None:
        return "not given" if model in paper.NAMES else "not in the paper"
    text = number.printed + ("*" if number.remark else "")
    if metric != "accuracy" or where not in (paper.VALIDATION, paper.TEST):
        return text
    low, high = wilson(*paper.correct_images(where, model))
    return f"{text} ({low:.3f} to {high:.3f})"
