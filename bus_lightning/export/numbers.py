"""The test results in a model card: metrics with intervals, of the networks that have not seen the images."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bus_lightning.core.class_names import BENIGN, MALIGNANT
from bus_lightning.diagnosis.bundle import Bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.stage import CLASS, MASK
from bus_lightning.export.predictions import cases_of_test, held_out_cases
from bus_lightning.export.runs import RebuiltRun
from bus_lightning.export.team import Team, by_test_images
from bus_lightning.export.variants import diagnose_images
from bus_lightning.metrics.catalogue import CARD, shown_in
from bus_lightning.metrics.columns import cases_of_task
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.runs.ensembles import least_score_of
from bus_lightning.statistics.intervals import percentile_interval
from bus_lightning.statistics.summary import draws_of

OUTLINES = shown_in(CARD, "segmentation")
CLASSES = (*shown_in(CARD, "classification"), "auroc_malignant", "recall_malignant", "specificity_malignant")
Rows = list[dict[str, Any]]


def find_numbers(team: Team, bundle: Bundle, opened: Mapping[str, RebuiltRun]) -> dict[str, Rows]:
    """Compute the test results of a bundle: `mask` and `class`, as far as it answers them -> `interval_rows`."""
    numbers = {}
    if team.outliners:
        cases = pd.concat(_mask_cases(team, bundle, opened), ignore_index=True)
        numbers[MASK] = interval_rows(cases_of_task("segmentation", cases), OUTLINES)
    if team.classifiers:
        numbers[CLASS] = interval_rows(held_out_cases(by_test_images(team.classifiers)), CLASSES)
    return numbers


def interval_rows(cases: pd.DataFrame, names: Collection[str]) -> Rows:
    """Compute metrics of the cases of a part with their 95% intervals, by the bootstrap over groups of near-duplicates.

    Undefined metrics are left out.

    Returns:
        `metric`, `value`, `low`, `high` (None if undefined) and `n`, the number of images.
    """
    values, draws = metrics_of(cases, names), draws_of(cases.assign(replicate=0), only=names)
    rows = []
    for name in names:
        if values.get(name) is not None:
            low, high = (None if np.isnan(end) else round(end, 4) for end in percentile_interval(draws[name]))
            number = _count_images(name, cases)
            rows.append({"metric": name, "value": round(values[name], 4), "low": low, "high": high, "n": number})
    return rows


def _count_images(metric: str, cases: pd.DataFrame) -> int:
    """Count the images that a metric covers: all, or those with or without a lesion or some class."""
    if "tp" in cases:
        lesions = int((cases["tp"] + cases["fn"] > 0).sum())
        return len(cases) - lesions if metric == "false_alarm_rate" else lesions
    malignant, benign = (int((cases["label"] == name).sum()) for name in (MALIGNANT, BENIGN))
    counted = {"recall_malignant": malignant, "specificity_malignant": len(cases) - malignant,
               "malignant_vs_benign_auroc": malignant + benign}  # fmt: skip
    return counted.get(metric, len(cases))


def _mask_cases(team: Team, bundle: Bundle, opened: Mapping[str, RebuiltRun]) -> Iterable[pd.DataFrame]:
    """Yield the test cases of the runs that outline; masks of several are averaged by the bundle itself, in fp32."""
    names = {run.folder.path: name for name, run in team.runs.items()}
    for runs in by_test_images(team.outliners):
        if len(runs) == 1:
            yield cases_of_test(runs[0])
            continue
        networks = {(name := names[run.folder.path]): bundle.networks[name] for run in runs}
        classes = bundle.classes if any(stage.classifies for stage in networks.values()) else []
        few = replace(bundle, networks=networks, classes=classes, least_score=least_score_of(runs))
        reader = opened[names[runs[0].folder.path]]
        what = "averaging masks of test images"
        cases, _ = diagnose_images([Diagnoser(few, "fp32")], reader.prepared, runs[0].split.test, what)["fp32"]
        yield cases.assign(group=cases["id"].map(runs[0].split.groups))
