"""The section of selective prediction: what is gained if doubtful answers are left to a reader."""

from dataclasses import replace

import numpy as np
import pandas as pd

from bus_lightning.metrics.columns import probabilities_of
from bus_lightning.report.estimates import estimate, metric_row, write_score
from bus_lightning.report.extension import Evidence
from bus_lightning.report.figures.inputs import labels_of
from bus_lightning.report.figures.selective import risk_coverage
from bus_lightning.report.sections import Item, Note, Section, TableItem
from bus_lightning.statistics.conditions import Condition, includes_task, of_task
from bus_lightning.statistics.doubts import Deferral, find_doubts, score_doubts
from bus_lightning.statistics.operating_points import SENSITIVITIES, sensitivity_rule
from bus_lightning.statistics.parallel import call_in_parallel
from bus_lightning.statistics.selective import COVERAGES, accuracy_at_coverages, areas_by_confidence
from bus_lightning.statistics.summary import DRAWS


def selective_section(evidence: Evidence) -> Section | None:
    """Report risk against coverage, its area, and what is gained without doubted answers.

    Returns:
        The section; None if no condition classifies test images with finite probabilities.

    References:
        El-Yaniv and Wiener, "On the foundations of noise-free selective classification", JMLR 11 (2010) 1605-1641.
        Geifman, Uziel and El-Yaniv, "Bias-reduced uncertainty estimation for deep neural classifiers", ICLR 2019.
    """
    conditions = [each for each in of_task(evidence.main, "classification") if _is_usable(each)]
    if not conditions:
        return None
    labels = labels_of(conditions)
    summaries = evidence.summaries["classification"]["test"]
    cases = sum(len(condition.cases) for condition in conditions)
    calls = [(condition.part("test"), DRAWS) for condition in conditions]
    accuracies = call_in_parallel(accuracy_at_coverages, calls, cases)
    rows = []
    for condition, accuracy in zip(conditions, accuracies, strict=True):
        summary = summaries[condition.name]
        row: dict[str, object] = {"condition": labels[condition.name], "n": int(summary["n"].max())}
        for key, title in (("aurc", "AURC"), ("excess_aurc", "excess AURC")):
            row[title] = write_score(metric_row(summary, key))
        row |= {_title(coverage): estimate(*accuracy[coverage]) for coverage in COVERAGES}
        others = list(areas_by_confidence(condition.part("test")).items())[1:]
        row |= {f"AURC by the {name}": f"{area:.3f}" for name, area in others}
        rows.append(row)
    caption = (
        "Selective prediction on test images, by the probability of the answer: value and 95% interval. AURC: area "
        "under the risk-coverage curve, the error rate averaged over all shares of answered images; lower is better. "
        "Excess: by how much it exceeds the best possible order of the same answers, all errors last. Without any "
        "order, AURC is the error rate."
    )
    items: list[Item] = [TableItem("selective", caption, pd.DataFrame(rows).fillna("-"))]
    items += risk_coverage([each for each in of_task(evidence.by_model.values(), "classification") if _is_usable(each)],
                           "test")  # fmt: skip
    items += _doubt_items(evidence, labels)
    intro = (
        "A network may leave the images it is unsure of to a reader. How many errors does that avoid? The images are "
        "answered from the most confident one on. Segmenters write no confidence, so they are left out."
    )
    return Section("Selective prediction", intro, items)


def _title(coverage: float) -> str:
    return "accuracy of all" if coverage == 1 else f"accuracy of the most confident {coverage:.0%}"


def _is_usable(condition: Condition) -> bool:
    test = condition.part("test")
    return len(test) > 0 and bool(np.isfinite(probabilities_of(test)).all())


def _doubt_items(evidence: Evidence, labels: dict[str, str]) -> list[Item]:
    """Tabulate what is gained without the answers of each doubt; joint networks keep the columns of their masks."""
    rows, calls, never = [], [], 0
    for condition in evidence.main:
        if includes_task(condition.task, "classification") and condition.name in labels:
            calls.append((replace(condition, splits={}), _thresholds(evidence, condition)))
    sizes = sum(len(condition.cases) for condition, _ in calls)
    for (condition, _), deferrals in zip(calls, call_in_parallel(_score, calls, sizes), strict=True):
        for deferral in deferrals:
            never += deferral.share[0] == 0
            rows.append({
                "condition": labels[condition.name],
                "doubt": deferral.doubt,
                "share of answers": estimate(*deferral.share),
                "wrong answers that it catches": estimate(*deferral.caught),
                "missed malignant that it catches": estimate(*deferral.caught_malignant),
                "accuracy of the rest": estimate(*deferral.kept),
                "gain in accuracy": estimate(*deferral.gain),
                "gain if the least confident were left out": estimate(*deferral.gain_by_confidence),
            })  # fmt: skip
    if not rows:
        return []
    table = pd.DataFrame(rows)
    caption = (
        "What is gained on test images if the answers with a doubt are left to a reader: value and 95% interval. The "
        "last column leaves out the same number of answers, those with the lowest probability: a doubt with no larger "
        "gain adds nothing to the confidence. Replicates are pooled. The threshold for malignant has a sensitivity of "
        "95% on validation images. Doubts that need the image (not ultrasound, cut off) are not in the files of a "
        "run."
    )
    items: list[Item] = [TableItem("doubts", caption, table)]
    if never:
        where = "1 row" if never == 1 else f"{never} rows"
        items.append(Note(f"In {where} the doubt is never raised, so it changes nothing."))
    return items


def _score(condition: Condition, thresholds: dict[str, float]) -> list[Deferral]:
    test = condition.part("test")
    return list(score_doubts(test, find_doubts(condition, thresholds)))


def _thresholds(evidence: Evidence, condition: Condition) -> dict[str, float]:
    rule = sensitivity_rule(max(SENSITIVITIES))
    points = evidence.operating_points.get(condition.name, [])
    return next((point.thresholds for point in points if point.rule == rule), {})
