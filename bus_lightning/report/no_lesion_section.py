"""The section of the no-lesion rule: what it does to false positives on normal images, and what it costs."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bus_lightning.core.errors import DamagedError
from bus_lightning.metrics.catalogue import title_of
from bus_lightning.metrics.columns import BEFORE_RULE, LESION_SCORE, has_lesion
from bus_lightning.metrics.no_lesion import without_rule
from bus_lightning.report.ensemble_items import count_runs
from bus_lightning.report.estimates import Summaries, estimate, metric_row, write_score
from bus_lightning.report.figures.inputs import labels_of, span
from bus_lightning.report.sections import Section, TableItem
from bus_lightning.statistics.comparisons import compare
from bus_lightning.statistics.conditions import Condition, of_task
from bus_lightning.statistics.summary import summarise

_METRICS = ("false_alarm_rate", "dice_image", "missed_rate")
_PARTS = {"test": "test", "val": "validation, which chose the rule"}


def no_lesion_section(
    conditions: Sequence[Condition], summaries: Mapping[str, Summaries], cache: Path | None
) -> Section | None:
    """Compare false positives, Dice and missed lesions with and without the rule.

    Args:
        conditions: Those of the report.
        summaries: val and test -> name of a condition -> summary of its masks, with the rule.
        cache: Folder that keeps summaries.

    Returns:
        The section; None if no condition has the rule.
    """
    with_rule = [condition for condition in of_task(conditions, "segmentation") if _has_rule(condition)]
    if not with_rule:
        return None
    labels = labels_of(with_rule)
    rows = [
        {"condition": labels[condition.name], "images": _PARTS[part], **count_runs(condition, with_rule)}
        | _row(condition, part, summaries[part][condition.name], cache)
        for condition in with_rule
        for part in _PARTS
        if len(condition.part(part))
    ]
    caption = (
        "The no-lesion rule empties a mask whose lesion score is below the threshold of the run. Before and after: "
        "value and 95% interval; the difference is paired on the same draws of groups."
    )
    intro = (
        "The lesion score is the highest probability of a pixel; for a joint network, it is multiplied by the "
        "probability that the image is not normal. The threshold was chosen on the validation images of each run, "
        "before any test image was predicted: on these, the rule lowers the mean Dice by at most the allowed cost."
    )
    table = TableItem("no_lesion_rule", caption, pd.DataFrame(rows))
    return Section("When no lesion is predicted", intro, [table])


def _has_rule(condition: Condition) -> bool:
    needed = [LESION_SCORE, *BEFORE_RULE.values()]
    return set(needed) <= set(condition.cases) and bool(condition.cases[needed].notna().all(axis=None))


def _row(condition: Condition, part: str, after: pd.DataFrame, cache: Path | None) -> dict[str, object]:
    plain = replace(condition, name=f"{condition.name}, without the rule", cases=without_rule(condition.cases))
    before = summarise(plain, part, cache)
    is_lesion = has_lesion(condition.part(part))
    row: dict[str, object] = {
        "lesions / normal images": f"{is_lesion.sum()} / {(~is_lesion).sum()}",
        "threshold": _thresholds(condition),
        "allowed cost": f"{condition.config.predict.no_lesion:g}",
    }
    for metric in _METRICS:
        for when, summary in (("before", before), ("after", after)):
            row[f"{title_of(metric)}, {when}"] = write_score(metric_row(summary, metric))
        result = compare(condition, plain, part, metric)
        row[f"{title_of(metric)}, difference"] = (
            result.reason if math.isnan(result.difference) else estimate(result.difference, result.low, result.high)
        )
    return row


def _thresholds(condition: Condition) -> str:
    """Write the threshold of the runs, or its range."""
    scores: list[float] = []
    for run in condition.runs:
        with suppress(DamagedError):
            if (least := (run.status.get("lesion_rule") or {}).get("least_score")) is not None:
                scores.append(least)
    return span(scores, "{:.3f}".format) if scores else "not known"
