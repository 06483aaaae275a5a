"""The section of calibration: do the predicted probabilities come true?"""

import numpy as np
import pandas as pd

from bus_lightning.core.class_names import MALIGNANT
from bus_lightning.metrics.columns import PROBABILITY, probabilities_of
from bus_lightning.report.ensemble_items import count_runs
from bus_lightning.report.estimates import metric_row, write_score
from bus_lightning.report.extension import Evidence
from bus_lightning.report.figures.calibration import adaptive_reliability
from bus_lightning.report.figures.inputs import labels_of
from bus_lightning.report.figures.predictions import reliability
from bus_lightning.report.sections import Item, Section, TableItem, fold
from bus_lightning.statistics.calibration import error_by_chance
from bus_lightning.statistics.conditions import Condition, of_task

LARGEST_ERROR, SLOPES = 0.03, (0.9, 1.1)  # what counts as well calibrated in the table
_TITLES = {
    "calibration_error": "calibration error, 10 bins of equal width",
    "calibration_error_adaptive": "10 bins of equally many",
    "malignant_calibration_slope": "slope of malignant",
    "malignant_calibration_intercept": "intercept of malignant",
}


def calibration_section(evidence: Evidence) -> Section | None:
    """Report calibration error, slope and intercept, and draw reliability with adaptive bins.

    Returns:
        The section; None if no condition classifies test images.

    References:
        Van Calster et al., "A calibration hierarchy for risk models was defined: from utopia to empirical data",
        J. Clin. Epidemiol. 74 (2016) 167-176.
        TRIPOD+AI (BMJ 385 (2024) e078378) asks for measures and plots of calibration.
    """
    summaries = evidence.summaries.get("classification", {}).get("test", {})
    conditions = [
        each for each in of_task(evidence.main, "classification") if len(summaries.get(each.name, pd.DataFrame()))
    ]
    if not conditions:
        return None
    labels = labels_of(conditions)
    rows = [
        {"condition": labels[each.name], **count_runs(each, conditions)} | _row(each, summaries[each.name])
        for each in conditions
    ]
    caption = (
        "Calibration on test images: value and 95% interval. The calibration error is that of the most probable class; "
        'it is never negative, so its interval lies too high. "By chance" is what the error in bins of equally many '
        "images would be if every confidence were right: its mean, and the value that 95% of such networks stay below. "
        "Slope and intercept are of a logistic regression of malignant against the rest on the logit of its "
        "probability: a slope below 1 means that probabilities are too extreme, an intercept (with the slope fixed at "
        "1) below 0 that malignant is predicted too often. Draws in which the probabilities separate malignant from "
        f"the rest have no slope. Well calibrated: an error of at most {LARGEST_ERROR} and a slope from {SLOPES[0]} to "
        f"{SLOPES[1]}."
    )
    items: list[Item] = [TableItem("calibration", caption, pd.DataFrame(rows).fillna("-"))]
    pictured = of_task(evidence.by_model.values(), "classification")
    items += [*adaptive_reliability(pictured, "test", MALIGNANT), *adaptive_reliability(pictured, "test", None)]
    items += fold("Bins of equal width, every condition", reliability(conditions, "test"))
    intro = (
        "Does what is predicted with 80% come true in 80% of the images? Intercept and slope answer for the "
        "probabilities as a whole (weak calibration), the curves for each range of probabilities (moderate "
        "calibration). No probability was recalibrated."
    )
    return Section("Calibration", intro, items)


def _row(condition: Condition, summary: pd.DataFrame) -> dict[str, object]:
    cases = condition.part("test")
    shown: dict[str, object] = {"n": int(summary["n"].max())}
    values: dict[str, float] = {}
    by_chance = 0.0
    for metric, title in _TITLES.items():
        row = metric_row(summary, metric)
        if row is None:
            continue
        values[metric] = row["value"]
        shown[title] = write_score(row)
        if metric == "calibration_error_adaptive" and not row["reason"]:
            mean, by_chance = error_by_chance(cases)
            shown["by chance"] = f"{mean:.3f}, below {by_chance:.3f}"
    if MALIGNANT in condition.classes and np.isfinite(probabilities_of(cases)).all():
        predicted, observed = cases[f"{PROBABILITY}{MALIGNANT}"].mean(), (cases["label"] == MALIGNANT).mean()
        shown["malignant, predicted and observed"] = f"{predicted:.3f}, {observed:.3f}"
    shown["well calibrated"] = _verdict(values, by_chance)
    return shown


def _verdict(values: dict[str, float], by_chance: float) -> str:
    """Say whether error and slope are within the limits; a condition without malignant has no slope to judge."""
    if any(np.isnan(value) for value in values.values()):
        return "undefined"
    slope = values.get("malignant_calibration_slope", 1.0)
    error = max(values["calibration_error"], values["calibration_error_adaptive"])
    misses = ["error"] * (error > LARGEST_ERROR) + ["slope"] * (not SLOPES[0] <= slope <= SLOPES[1])
    if misses and values["calibration_error_adaptive"] <= by_chance:
        misses[0] = misses[0].replace("error", "error (no larger than by chance)")
    return f"no: {' and '.join(misses)}" if misses else "yes"
