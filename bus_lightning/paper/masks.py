"""Does a mask help the classifier? None, a segmenter's, the true one; and one network that outlines and names."""

import math

import pandas as pd

from bus_lightning.config.identity import identity
from bus_lightning.metrics.catalogue import title_of
from bus_lightning.paper import numbers as paper
from bus_lightning.paper.tables import Summaries, estimate
from bus_lightning.report.sections import Section, TableItem
from bus_lightning.statistics.comparisons import compare
from bus_lightning.statistics.conditions import Condition, of_task
from bus_lightning.statistics.summary import value_of

_SEEN = {
    "none": "the image alone",
    "contour": "the outline drawn in",
    "fill": "the lesion filled",
    "channel": "the mask as a fourth channel",
    "crop": "the image cut around the lesion",
}
_WHOSE = {"nobody's": "-", "predicted": "the segmenter's", "ground_truth": "the truth: a leak, an upper bound"}
# What a rival with another network shares as well; the recipe is the network's own.
_GIVEN = (
    "data.size",
    "data.resize",
    "data.classes",
    "data.balance",
    "data.split.ratio",
    "data.split.method",
    "preprocess",
)
_METRICS = ("accuracy", "auroc_macro", "malignant_vs_benign_auroc")


def mask_section(conditions: list[Condition], test: Summaries) -> Section | None:
    """Set classifiers that see masks beside the same one without, each with what it gains.

    Args:
        conditions: All of a report.
        test: Name of a condition -> summary of its test images.

    Returns:
        The section; None where no classifier sees a segmenter's mask.
    """
    classifiers = [one for one in of_task(conditions, "classification") if not one.is_cross_fitted]
    known = {one.name: one for one in conditions}
    rows = []
    for family in {_family(one) for one in classifiers if _source(one) == "predicted"}:
        members = [
            one
            for one in classifiers
            if one.config.overlay.style in _SEEN
            and (_source(one) == "nobody's" or "test" in one.config.overlay.parts)
            and (_family(one) == family or (known[one.name].task == "joint" and _family(one)[1:] == family[1:]))
        ]
        alone = next((one for one in members if _source(one) == "nobody's" and one.model == family[0]), None)
        order = list(_WHOSE)
        members.sort(key=lambda one: (order.index(_source(one)), one.model != family[0], one.name))
        rows += [_row(one, known[one.name].task == "joint", alone, test[one.name]) for one in members]
    if not rows:
        return None
    caption = (
        "Test images: value and 95% interval, and the difference in macro AUC to the classifier that sees the image "
        "alone, paired on the same draws of near-duplicate groups. The true mask tells where the lesion is, which "
        "nobody knows of a new image: those rows are a leak, and an upper bound for what a mask can give."
    )
    intro = (
        "The segmenter's masks come from runs that had not seen the image nor its near-duplicates. All rows of a "
        "network have the same split, input size and epochs."
    )
    return Section("What a mask gives the classifier", intro, [TableItem("masks", caption, pd.DataFrame(rows))])


def _family(condition: Condition) -> tuple[object, ...]:
    """Name what conditions share that are compared here: the model, and what is given to all."""
    cfg = condition.config
    given = {key: value for key, value in identity(cfg).items() if key.startswith(_GIVEN)}
    return condition.model, cfg.trainer.max_epochs, repr(sorted(given.items()))


def _source(condition: Condition) -> str:
    overlay = condition.config.overlay
    return "nobody's" if overlay.style == "none" else str(overlay.source)


def _row(condition: Condition, is_joint: bool, alone: Condition | None, summary: pd.DataFrame) -> dict[str, object]:
    source = _source(condition)
    row: dict[str, object] = {
        "network": paper.NAMES.get(condition.model, condition.model),
        "sees": "the image alone, and outlines it too" if is_joint else _SEEN[condition.config.overlay.style],
        "whose mask": _WHOSE[source],
        "runs": len(condition.runs),
        "n": int(value_of(summary, "accuracy", "n")),
    }
    for metric in _METRICS:
        value, low, high = (value_of(summary, metric, key) for key in ("value", "low", "high"))
        row[title_of(metric)] = estimate(value, low, high)
    gain = "-"
    if alone and condition.name != alone.name:
        found = compare(condition, alone, "test", "auroc_macro")
        gain = found.reason if math.isnan(found.difference) else estimate(found.difference, found.low, found.high)
    return row | {f"{title_of('auroc_macro')}, less that of the image alone": gain}
