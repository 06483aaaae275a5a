"""The paper's tables with our numbers beside its own."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bus_lightning.paper import numbers as paper
from bus_lightning.report.sections import TableItem
from bus_lightning.statistics.intervals import wilson

NOT_GIVEN = "not given"
NOT_RUN = "not run"
NOT_IN_PAPER = "not in the paper"

_WILSON = (
    "The interval beside a paper's accuracy is ours: Wilson's 95% for that share of {n} images (a number that is not "
    "printed; it is the smallest that all accuracies of the table are multiples of). It assumes that the images are "
    "independent of each other and speaks of that one trained network on that one split: neither near-duplicates nor "
    "other seeds nor other splits widen it, so the truth is wider."
)
_OURS = "Ours: the value and its 95% interval, from a bootstrap over groups of near-duplicate images; n: our images."
_STAR = "A number that is marked * is given for one of the two ResNet-34, and the paper does not say for which."

Summaries = Mapping[str, pd.DataFrame]
Reasons = Mapping[str, str]


@dataclass(frozen=True)
class _Column:
    title: str
    printed: str
    """The number's name in `paper`."""
    ours: dict[str, str]
    """What is behind "ours" in the heading -> the metric's name in the summary."""


def paper_tables(validation: Summaries, test: Summaries, reasons: Reasons) -> list[TableItem]:
    """Make all tables of the paper.

    Args:
        validation: Model -> `summarise(condition, "val")` of the condition that stands for the model.
        test: The same for the test images.
        reasons: Model -> why it was not run.

    Returns:
        Tables 1, 2 and 3 as one, 4, and the abstract's numbers.
    """
    return [
        table_1(test, reasons),
        tables_2_and_3(validation, reasons),
        table_4(test, reasons),
        abstract_table(test, reasons),
    ]


def table_1(test: Summaries, reasons: Reasons) -> TableItem:
    """Make Table 1: U2NET-Lite and U2NET on the test images."""
    columns = [
        _Column("accuracy", "accuracy", {" (pooled)": "accuracy", " (mean of images)": "accuracy_image"}),
        _Column("recall", "recall", {" (pooled)": "recall", " (mean of lesions)": "recall_image"}),
        _Column("IoU", "iou", {" (pooled)": "iou_pooled", " (mean of lesions)": "iou_image"}),
    ]
    caption = (
        "The paper's Table 1, segmentation of the test images. The paper does not say whether its numbers are pooled "
        "(counted over the pixels of all images together) or means of the images; ours are given in both ways. Our "
        "means of recall and IoU cover only images with a lesion, because they are undefined for the others. Pixels of "
        "an image are not independent, so the paper's numbers have no interval here. "
    )
    return _table("paper_table_1", caption + _OURS, paper.SEGMENTATION_TEST, paper.SEGMENTERS, columns, test, reasons)


def tables_2_and_3(validation: Summaries, reasons: Reasons) -> TableItem:
    """Make Tables 2 and 3 as one: the five classifiers on the validation images."""
    columns = [_Column("accuracy", "accuracy", {"": "accuracy"})]
    macro = {"precision": "precision_macro", "recall": "recall_macro", "F1": "f1_macro"}
    columns += [_Column(title, name, {"": name}) for title, name in macro.items()]
    columns += [_Column("loss", "log_loss", {"": "log_loss"})]
    caption = (
        "The paper's Tables 2 and 3, classification of the validation images, which chose the epoch that is kept: no "
        "fair test. Precision, recall and F1 are means over the classes (the paper does not say so; its numbers do). "
    )
    assumed = _WILSON.format(n=paper.VALIDATION_IMAGES)
    return _table(
        "paper_tables_2_3",
        f"{caption}{_OURS} {_STAR} {assumed}",
        paper.VALIDATION,
        paper.CLASSIFIERS,
        columns,
        validation,
        reasons,
        paper.VALIDATION_IMAGES,
    )


def table_4(test: Summaries, reasons: Reasons) -> TableItem:
    """Make Table 4: the five classifiers on the test images."""
    columns = [_Column("accuracy", "accuracy", {"": "accuracy"}), _Column("loss", "log_loss", {"": "log_loss"})]
    assumed = _WILSON.format(n=paper.TEST_IMAGES)
    caption = f"The paper's Table 4, classification of the test images. {_OURS} {_STAR} {assumed}"
    return _table("paper_table_4", caption, paper.TEST, paper.CLASSIFIERS, columns, test, reasons, paper.TEST_IMAGES)


def abstract_table(test: Summaries, reasons: Reasons) -> TableItem:
    """Make the table of the abstract's numbers per class beside our AUC of each class."""
    columns = [_Column(name, name, {" (AUC)": f"auroc_{name}"}) for name in paper.IMAGES]
    caption = (
        "The abstract's numbers per class beside our areas under the ROC curve, one class against the others, on the "
        "test images. That the paper's are AUCs is a guess: it does not say what they are, and they can be neither "
        f"recalls nor precisions, F1 scores or accuracies. {_OURS}"
    )
    models = {name: paper.CLASSIFIERS[name] for name in ("resnet50", "deepcardinal50")}
    kept = {name: summary for name, summary in test.items() if name in models}
    return _table("paper_abstract", caption, paper.ABSTRACT, models, columns, kept, reasons)


def estimate(value: float | None, low: float | None = None, high: float | None = None, digits: int = 3) -> str:
    """Write a number with its interval: `0.647 (0.571 to 0.718)`; "undefined" where there is none."""
    if value is None or math.isnan(value):
        return "undefined"
    written = f"{value:.{digits}f}"
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return written
    return f"{written} ({low:.{digits}f} to {high:.{digits}f})"


def metric_row(summary: pd.DataFrame | None, metric: str) -> dict[str, Any] | None:
    """Find the row of a metric in a summary; None where it was not computed or has no images."""
    if summary is None or summary.empty:
        return None
    rows = summary[summary["metric"] == metric].to_dict("records")
    return rows[0] if rows and rows[0]["n"] else None


def _table(
    slug: str,
    caption: str,
    where: str,
    models: dict[str, str],
    columns: list[_Column],
    summaries: Summaries,
    reasons: Reasons,
    images: int | None = None,
) -> TableItem:
    own = columns[-1].ours.values()
    others = [
        name for name, summary in summaries.items() if name not in models and any(metric_row(summary, m) for m in own)
    ]
    rows = [
        _row(where, model, columns, summaries.get(model), reasons.get(model), images) for model in [*models, *others]
    ]
    return TableItem(slug, caption, pd.DataFrame(rows))


def _row(
    where: str,
    model: str,
    columns: list[_Column],
    summary: pd.DataFrame | None,
    reason: str | None,
    images: int | None,
) -> dict[str, str]:
    found = {m: metric_row(summary, m) for column in columns for m in column.ours.values()}
    measured = [row for row in found.values() if row]
    row, remarks = {"model": paper.NAMES.get(model, model)}, []
    for column in columns:
        row[f"{column.title}, paper"] = _printed(where, model, column.printed, images)
        for how, metric in column.ours.items():
            row[f"{column.title}, ours{how}"] = _ours(found[metric], bool(measured))
            if (its := found[metric]) and its.get("reason"):
                remarks.append(f"{column.title}{how}: {its['reason']}")
    row["n"] = str(int(measured[0]["n"])) if measured else ""
    row["runs"] = str(int(measured[0]["runs"])) if measured else ""
    if not measured:
        why = "no complete run of it is here" if summary is None else "its split has no such images"
        remarks = [f"{NOT_RUN}: {reason or why}"]
    row["remark"] = "; ".join(remarks)
    return row


def _ours(found: dict[str, Any] | None, was_run: bool) -> str:
    if found:
        return estimate(found["value"], found["low"], found["high"])
    return "not computed" if was_run else NOT_RUN


def _printed(where: str, model: str, metric: str, images: int | None) -> str:
    if model not in paper.NAMES:
        return NOT_IN_PAPER
    number = paper.published(where, model, metric)
    if number is None:
        return NOT_GIVEN
    mark = "*" if number.remark else ""
    written = f"{number.value:.{2 if where == paper.ABSTRACT else 4}f}{mark}"
    if images is None or metric != "accuracy":
        return written
    low, high = wilson(round(number.value * images), images)
    return f"{written} ({low:.3f} to {high:.3f})"
