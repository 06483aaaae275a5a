"""The section of operating points: sensitivity and specificity at thresholds for the probability of malignant."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from bus_lightning.report.estimates import estimate
from bus_lightning.report.extension import Evidence
from bus_lightning.report.figures.inputs import labels_of, span
from bus_lightning.report.figures.operating import operating_figure
from bus_lightning.report.figures.predictions import decision_curve
from bus_lightning.report.sections import Item, Note, Section, TableItem
from bus_lightning.statistics.across_sets import read_across
from bus_lightning.statistics.conditions import Condition, of_task
from bus_lightning.statistics.operating_points import (
    BALANCED,
    MOST_PROBABLE,
    SCREENING_PREVALENCE,
    OperatingPoint,
    find_operating_points,
)

_FEW = 20  # positives: with fewer, 95% of them are all of them


def operating_section(evidence: Evidence) -> Section | None:
    """Report sensitivity, specificity and predictive values for malignant at thresholds fixed before the test.

    Returns:
        The section; None if no condition predicts malignant.

    References:
        STARD 2015 (BMJ 351 (2015) h5527), items 12a, 23 and 24, which STARD-AI (Nature Medicine 31 (2025) 3283) keeps:
        positivity cut-offs, the cross tabulation, and accuracy with intervals.
        Metrics Reloaded (Nature Methods 21 (2024) 195-212): a metric at a target value, at a cut-off that validation
        data chose, and PPV and NPV with the prevalence they hold at.
    """
    points = evidence.operating_points
    conditions = [each for each in of_task(evidence.main, "classification") if points.get(each.name)]
    if not conditions:
        return None
    labels = labels_of(conditions)
    rows = [(each, point) for each in conditions for point in points[each.name]]
    pictured = [each.name for each in of_task(evidence.by_model.values(), "classification") if each.name in points]
    drawn = {labels[name]: points[name] for name in pictured if name in labels}
    items: list[Item] = [*_warnings(conditions, points, labels), _accuracy_table(rows, labels)]
    items += [*operating_figure(drawn), _predictive_table(rows, labels, evidence.prevalence)]
    items += decision_curve(conditions, "test")
    items += _outside_table(conditions, labels)
    intro = (
        "Results if an image is called malignant when its probability reaches a threshold. The threshold of each run "
        "is chosen on its validation images and is fixed before the test; each fold of a cross-validation has its own. "
        "Malignant is compared with all other classes. Intervals: bootstrap over groups, with the thresholds as they "
        "are. Validation images also chose the epoch, so expect a somewhat lower sensitivity on test images than the "
        "required one."
    )
    return Section("Operating points for malignant", intro, items)


def _warnings(
    conditions: Sequence[Condition], points: Mapping[str, list[OperatingPoint]], labels: Mapping[str, str]
) -> list[Item]:
    """Say which thresholds rest on few images, and why some are missing."""
    few, missing = [], dict[str, list[str]]()
    for condition in conditions:
        chosen = points[condition.name]
        least = min((number for point in chosen for number in point.positives.values()), default=_FEW)
        if least < _FEW:
            few.append(f"{labels[condition.name]} ({least})")
        for point in chosen:
            if point.reason:
                missing.setdefault(f"{labels[condition.name]}: {point.reason}", []).append(point.rule)
    items: list[Item] = []
    if few:
        items.append(Note(
            f"Fewer than {_FEW} malignant validation images chose a threshold of {', '.join(few)}. 95% of so few are "
            "all of them, so the threshold depends on the lowest of their scores alone.", "warning",
        ))  # fmt: skip
    return items + [Note(f"{text}. Not computed: {', '.join(rules)}.", "warning") for text, rules in missing.items()]


def _accuracy_table(rows: Sequence[tuple[Condition, OperatingPoint]], labels: Mapping[str, str]) -> TableItem:
    table = []
    for condition, point in rows:
        row: dict[str, object] = {"condition": labels[condition.name], "malignant if": _rule(point)}
        row["threshold"] = span([*point.thresholds.values()], _number) if point.thresholds else "-"
        row["malignant validation images"] = span([*point.positives.values()]) if point.positives else "-"
        for name in ("sensitivity", "specificity"):
            row[name] = _write(point, name)
        row["n"] = point.n if point.estimates else "-"
        row["specificity read off the test ROC (exploratory)"] = estimate(*point.read_off) if point.read_off else "-"
        table.append(row)
    caption = (
        "Sensitivity and specificity for malignant on test images, value and 95% interval. Thresholds: lowest to "
        "highest of the runs. The last column is the specificity where the ROC curve of the test images themselves "
        "reaches the required sensitivity: it shows what a well-placed threshold could give, not what this one gives."
    )
    return TableItem("operating_points", caption, pd.DataFrame(table))


def _predictive_table(
    rows: Sequence[tuple[Condition, OperatingPoint]], labels: Mapping[str, str], prevalence: float
) -> TableItem:
    table = []
    for condition, point in rows:
        if point.reason:
            continue
        cells = point.table
        own = (cells["tp"] + cells["fn"]) / sum(cells.values())
        counts = {name.upper(): cells[name] for name in ("tp", "fn", "fp", "tn")}
        row: dict[str, object] = {"condition": labels[condition.name], "malignant if": _rule(point), **counts}
        row |= {"prevalence of the test": f"{own:.3f}"}
        row |= {name: estimate(*point.estimates[name.lower()]) for name in ("PPV", "NPV")}
        row |= {f"{name} at {prevalence:.3g}": estimate(*point.estimates[f"{name.lower()}_stated"], 4)
                for name in ("PPV", "NPV")}  # fmt: skip
        table.append(row)
    source = (
        "as in screening with ultrasound of women at elevated risk (ACRIN 6666: 111 cancers in 7,473 examinations). "
        "`--prevalence` of the report takes another"
        if prevalence == SCREENING_PREVALENCE
        else "the report's `--prevalence`"
    )
    caption = (
        "The 2 x 2 table of malignant (TP, FN) and other images (FP, TN), called malignant (TP, FP) or not; with "
        "several seeds, the sum of their tables. PPV and NPV hold at a prevalence: at that of the test images, and, by "
        f"Bayes' theorem (Altman and Bland, BMJ 1994), at {prevalence:.3g}, {source}."
    )
    return TableItem("predictive_values", caption, pd.DataFrame(table))


def _outside_table(conditions: Sequence[Condition], labels: Mapping[str, str]) -> list[Item]:
    """Take the same thresholds to the other data sets that the runs were evaluated on."""
    evaluated = [each for each in conditions if any((run.path / "evaluations").is_dir() for run in each.runs)]
    table, larger = [], dict[str, Item]()
    for row in read_across(evaluated).rows:
        for name, cell in row.cells.items():
            if cell.is_own or not cell.images:
                continue
            label, own, networks = labels[row.condition.name], row.condition.networks, cell.condition.networks
            if networks != own:  # those of every fold: no validation image is new to all of them
                larger[label] = Note(
                    f"{label} averages {networks} networks on another data set. Its thresholds there are those of "
                    f"one fold, which averages {own}.", "warning",
                )  # fmt: skip
            cases = pd.concat([row.condition.part("val"), cell.condition.cases.assign(split="test")], ignore_index=True)
            for point in find_operating_points(replace(row.condition, cases=cases, splits={})):
                shown: dict[str, object] = {
                    "condition": label,
                    "tested on": name,
                    "n": cell.images,
                }
                for key in ("sensitivity", "specificity"):
                    shown[key] = _write(point, key)
                read_off = estimate(*point.read_off) if point.read_off else "-"
                table.append(shown | {"malignant if": _rule(point), "read off the ROC (exploratory)": read_off})
    if not table:
        return []
    caption = (
        "The same thresholds on other data sets, which chose neither the network nor the threshold: value and 95% "
        "interval. A sensitivity far from the required one means that the threshold does not carry over. The "
        "last column is the specificity at the required sensitivity, read off the ROC curve of the other set."
    )
    frame = pd.DataFrame(table)
    first = ["condition", "tested on", "n", "malignant if"]
    shown_first = frame[[*first, *(column for column in frame if column not in first)]]
    return [TableItem("operating_points_outside", caption, shown_first), *larger.values()]


def _write(point: OperatingPoint, name: str) -> str:
    return estimate(*point.estimates[name]) if point.estimates else f"undefined: {point.reason}"


def _rule(point: OperatingPoint) -> str:
    if point.rule == MOST_PROBABLE:
        return "it is the most probable class"
    return f"threshold: {point.rule}" + (" on validation" if point.rule == BALANCED else "")


def _number(threshold: float) -> str:
    return f"{threshold:.3f}" if threshold >= 0.001 else f"{threshold:.0e}"
