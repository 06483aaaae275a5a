"""The section that says whether a mask helps the classifier: no mask, a segmenter's, the ground truth's."""

import math
from collections.abc import Mapping

import pandas as pd

from bus_lightning.config.data_sets import options_by_set
from bus_lightning.config.identity import identity
from bus_lightning.metrics.catalogue import title_of
from bus_lightning.report.estimates import Summaries, estimate
from bus_lightning.report.sections import Section, TableItem
from bus_lightning.statistics.comparisons import compare
from bus_lightning.statistics.conditions import Condition, of_task
from bus_lightning.statistics.summary import value_of

_INPUTS = {
    "none": "the image alone",
    "contour": "the outline drawn in",
    "fill": "the lesion filled",
    "channel": "the mask as a fourth channel",
    "crop": "the image cropped to the lesion",
}
_SOURCES = {"none": "-", "predicted": "the segmenter's", "ground_truth": "the ground truth: a leak, an upper bound"}
# What conditions of one network share that are compared: they differ by the mask alone.
_RECIPE = ("augment", "optimizer", "scheduler", "callbacks", "predict.flips", "task.loss", "model.weights",
           "data.batch_size")  # fmt: skip
# What a joint network must share with them, too; its recipe is its own.
_SHARED = ("data.size", "data.resize", "data.classes", "data.balance", "data.split.ratio", "data.split.method",
           "preprocess")  # fmt: skip
_DATA = "data set"
_METRICS = ("accuracy", "auroc_macro", "malignant_vs_benign_auroc")


def mask_section(conditions: list[Condition], test: Summaries, titles: Mapping[str, str]) -> Section | None:
    """Compare classifiers that see masks with the same network without a mask.

    A joint network, which segments and classifies, stands next to the classifiers with the same data and epochs.

    Args:
        conditions: All of a report.
        test: Name of a condition -> summary of its test images.
        titles: Model -> its title; others keep their name.

    Returns:
        The section; None if no classifier that was tested sees a segmenter's mask.
    """
    joint = {condition.name for condition in conditions if condition.task == "joint"}
    candidates = [
        condition
        for condition in of_task(conditions, "classification")
        if not condition.is_cross_fitted
        and len(test[condition.name])
        and condition.config.overlay.style in _INPUTS
        and (_source(condition) == "none" or "test" in condition.config.overlay.parts)
    ]
    rows: list[dict[str, object]] = []
    files: set[str] = set()
    for family in dict.fromkeys(_family(member) for member in candidates if _source(member) == "predicted"):
        model, _, *data = family
        members = [
            member
            for member in candidates
            if _family(member) == family or (member.name in joint and [*_family(member)[2:]] == data)
        ]
        members.sort(key=lambda member: (list(_SOURCES).index(_source(member)), member.model != model, member.name))
        alone = next((member for member in members if _source(member) == "none" and member.model == model), None)
        files |= {member.files for member in members}
        rows += [_row(member, member.name in joint, alone, test[member.name], titles) for member in members]
    if not rows:
        return None
    table = pd.DataFrame(rows)
    if len(files) < 2:
        table = table.drop(columns=_DATA)  # one for all
    caption = (
        "Test images: value and 95% interval, and the difference in macro AUC to the classifier that sees the image "
        "alone, paired on the same draws of groups. The ground-truth mask gives away where the lesion "
        "is, which is unknown for a new image: those rows are a leak, and an upper bound for the gain from a mask."
    )
    intro = (
        "The segmenter's masks come from runs that had seen neither the image nor its near-duplicates. All rows of a "
        "network have the same recipe, kind of split, input size and epochs; differences are of the images that both "
        "have tested."
    )
    return Section("What a mask gives the classifier", intro, [TableItem("masks", caption, table)])


def _family(condition: Condition) -> tuple[str, str, str, int, str]:
    """Return what compared conditions share: model, recipe, data files, epochs, and how data are prepared."""
    decides = sorted(identity(condition.config).items())
    recipe, shared = ([pair for pair in decides if pair[0].startswith(keys)] for keys in (_RECIPE, _SHARED))
    return condition.model, repr(recipe), condition.files, condition.config.trainer.max_epochs, repr(shared)


def _source(condition: Condition) -> str:
    overlay = condition.config.overlay
    return "none" if overlay.style == "none" else str(overlay.source)


def _row(
    condition: Condition, is_joint: bool, alone: Condition | None, summary: pd.DataFrame, titles: Mapping[str, str]
) -> dict[str, object]:
    row: dict[str, object] = {
        "network": titles.get(condition.model, condition.model),
        _DATA: ", ".join(options_by_set(condition.config.data)),
        "sees": "the image alone, and outlines it too" if is_joint else _INPUTS[condition.config.overlay.style],
        "whose mask": _SOURCES[_source(condition)],
        "runs": len(condition.runs),
        "n": int(value_of(summary, "accuracy", "n")),
    }
    for metric in _METRICS:
        value, low, high = (value_of(summary, metric, key) for key in ("value", "low", "high"))
        row[title_of(metric)] = estimate(value, low, high)
    gain = "-"
    if alone and condition.name != alone.name:
        result = compare(condition, alone, "test", "auroc_macro")
        gain = result.reason if math.isnan(result.difference) else estimate(result.difference, result.low, result.high)
    return row | {f"{title_of('auroc_macro')}, minus that of the image alone": gain}
