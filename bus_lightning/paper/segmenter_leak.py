"""Whether a random split, which divides near-duplicates between training and test, makes a segmenter look too good."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bus_lightning.config.identity import identity
from bus_lightning.metrics.catalogue import title_of
from bus_lightning.metrics.columns import Floats, dice_of, has_lesion
from bus_lightning.metrics.per_case import metrics_of, weighted_metrics
from bus_lightning.report.estimates import estimate
from bus_lightning.report.sections import Item, Note, Section, TableItem
from bus_lightning.statistics.conditions import Condition, of_task
from bus_lightning.statistics.intervals import group_draws, percentile_interval
from bus_lightning.statistics.summary import DRAWS

_METHOD = "data.split.method"
_IGNORED = (_METHOD, "seed", "data.split.seed", "data.split.fold")
_METRICS = ("dice_image", "iou_image")


def segmenter_leak_section(conditions: Sequence[Condition]) -> Section | None:
    """Compare each segmenter on random splits with the same segmenter on grouped splits.

    Args:
        conditions: All of a report.

    Returns:
        The section; None if no segmenter was trained on both kinds of splits.
    """
    segmenters = of_task(conditions, "segmentation")
    grouped = {_recipe(each): each for each in segmenters if each.config.data.split.method == "grouped"}
    pairs = [
        (each, grouped[_recipe(each)])
        for each in segmenters
        if each.config.data.split.method == "random" and _recipe(each) in grouped
    ]
    if not pairs:
        return None
    rows: list[dict[str, object]] = []
    notes: list[Item] = []
    for random, other in pairs:
        differences = {metric: _difference(random, other, metric) for metric in _METRICS}
        rows += [_row(random, differences), _row(other, None)]
        notes.append(_verdict(random, differences["dice_image"]))
    caption = (
        "Test images: the mean over runs, and the difference between random and grouped splits with its 95% interval "
        "(bootstrap over groups; all runs share the draws, because their test parts overlap). The right columns divide "
        "the test images of a random split by whether a near-duplicate, or an image of the patient, was in training."
    )
    intro = "A grouped split keeps near-duplicates in one part; a random split divides them between training and test."
    table = TableItem("leakage_segmenters", caption, pd.DataFrame(rows))
    return Section("The leak: does a random split make a segmenter look too good?", intro, [table, *notes])


def _recipe(condition: Condition) -> str:
    """Return all that decides the runs of a condition, apart from split method, seeds and fold."""
    decides = {key: value for key, value in identity(condition.config).items() if key not in _IGNORED}
    return repr([sorted(decides.items()), condition.config.trainer.max_epochs, condition.files])


def _row(condition: Condition, differences: dict[str, tuple[float, float, float]] | None) -> dict[str, object]:
    test = condition.part("test")
    per_run = [metrics_of(cases, _METRICS) for _, cases in test.groupby("run")]
    row: dict[str, object] = {
        "network": condition.model,
        "split": condition.config.data.split.method,
        "runs": len(per_run),
        "test images of a run": round(len(test) / len(per_run)),
    }
    for metric in _METRICS:
        values = [metrics[metric] for metrics in per_run if metrics[metric] is not None]
        row[title_of(metric)] = f"{np.mean(values):.3f}" if values else "undefined"
        row[f"{title_of(metric)}, random minus grouped"] = estimate(*differences[metric]) if differences else "-"
    has_duplicate = pd.concat([_has_duplicate(condition, str(run), cases) for run, cases in test.groupby("run")])
    dice = pd.Series(dice_of(test), index=test.index)
    for kind, among in (("with", has_duplicate), ("without", ~has_duplicate)):
        values = dice[among.loc[test.index] & has_lesion(test)]
        text = f"{values.mean():.3f} (n = {len(values)})" if len(values) else "none"
        row[f"{title_of('dice_image')}, {kind} a near-duplicate in training"] = text
    return row


def _has_duplicate(condition: Condition, run: str, cases: pd.DataFrame) -> "pd.Series[bool]":
    """Say for each test image of a run whether its group has an image in training."""
    split = condition.splits[run]
    return cases["group"].isin({split.groups[id_] for id_ in split.train})


def _difference(random: Condition, grouped: Condition, metric: str) -> tuple[float, float, float]:
    """Compute the difference of a metric, random minus grouped, and its 95% interval; NaN where it is undefined."""
    tables = [condition.part("test") for condition in (random, grouped)]
    images = pd.concat(tables).drop_duplicates("id")
    groups, drawn = group_draws(images["group"].tolist(), images["label"].tolist(), DRAWS, 0)
    once = np.ones((1, len(groups)))
    value = _mean_of_runs(tables[0], groups, once, metric) - _mean_of_runs(tables[1], groups, once, metric)
    draws = _mean_of_runs(tables[0], groups, drawn, metric) - _mean_of_runs(tables[1], groups, drawn, metric)
    low, high = percentile_interval(draws)
    return float(value[0]), low, high


def _mean_of_runs(test: pd.DataFrame, groups: NDArray[np.int64], weights: Floats, metric: str) -> Floats:
    """Average a metric over runs under each row of weights of the groups, (D, groups) -> (D,)."""
    runs = [cases for _, cases in test.groupby("run")]
    values = [
        weighted_metrics(cases, np.take(weights, np.searchsorted(groups, cases["group"]), axis=1), (metric,))[metric]
        for cases in runs
    ]
    return np.asarray(np.mean(values, axis=0))


def _verdict(random: Condition, difference: tuple[float, float, float]) -> Note:
    value, low, high = difference
    text = f"{random.model}: a random split changes the {title_of('dice_image')} by {estimate(value, low, high)}"
    if low > 0:
        reasons = "Near-duplicates in training are one reason, other training and test images can be another"
        return Note(f"{text}: the segmenter looks better. {reasons}.", "warning")
    return Note(f"{text}: these runs do not show that it makes the segmenter look too good.")
