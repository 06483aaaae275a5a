"""The predictions behind the card of one network, a row per image, and the numbers that follow from them alone."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from bus_lightning.core.class_names import BENIGN, MALIGNANT
from bus_lightning.core.errors import UserError
from bus_lightning.core.files import is_there
from bus_lightning.diagnosis.stage import CLASS, MASK
from bus_lightning.export.calibration import tempered
from bus_lightning.export.numbers import CLASSES, OUTLINES, Rows, interval_rows
from bus_lightning.export.predictions import cases_of_test
from bus_lightning.export.team import Team
from bus_lightning.metrics.columns import (
    COUNTS,
    PROBABILITY,
    Bools,
    Floats,
    cases_of_task,
    classes_of,
    has_lesion,
    ratio,
)
from bus_lightning.runs.evaluations import read_evaluations
from bus_lightning.runs.finished import FinishedRun
from bus_lightning.runs.images import find_recorded_images, read_images
from bus_lightning.runs.sets import sets_of, sets_of_ids
from bus_lightning.statistics.intervals import in_draws, with_interval
from bus_lightning.statistics.strata import metrics_in_strata, score_strata
from bus_lightning.statistics.summary import DRAWS
from bus_lightning.statistics.thresholds import choose_threshold

TEST, OUT_OF_FOLD, OTHER_DATA = "test", "out_of_fold", "other_data"  # who predicted an image: see `collect_cases`
ALL = "all"  # the test and the out-of-fold images together
AUC, ERROR = "malignant_vs_benign_auroc", "calibration_error"
_SENSITIVITIES = (0.9, 0.98)  # of the operating points, in addition to that of the bundle
_SIZES = {"up to 2% of the image": (0, 0.02), "2% to 10%": (0.02, 0.1), "above 10%": (0.1, 1.01)}
_KNOWN = ("marked", "device")  # columns of what is known of an image
Evidence = dict[str, Any]


def collect_cases(team: Team, folds: Sequence[Sequence[FinishedRun]]) -> pd.DataFrame:
    """Collect what was predicted for images that the network of a run, or of its folds, was not trained on.

    Args:
        team: The run that is exported.
        folds: The runs that predicted its training images, as `read_folds` returns them.

    Returns:
        A row per image: `set`, the data set; `part`: "test" if the exported network predicted it, and it is one of its
        own test images, "out_of_fold" if a fold did, "other_data" if the exported network did, and the image belongs to
        another data set; `fold`, the number of the fold; `id`, `group`, `label`; `prob_<class>` before calibration;
        `tp`, `fp`, `fn`, `tn`, pixels; `marked` and `device`, if they are known.

    Raises:
        UserError: If the bundle has several networks, whose predictions are in no table.
    """
    if len(team.runs) != 1:
        raise UserError("--cases describes one network: give one run, or leave it out.")
    (run,) = team.runs.values()
    tables = [_own(each, run, TEST if each is run else OUT_OF_FOLD) for each in (run, *(folds[0] if folds else ()))]
    tables += _of_other_data(run)
    cases = pd.concat(tables, ignore_index=True)
    chosen = ("set", "part", "fold", "id", "group", "label", *(f"{PROBABILITY}{name}" for name in classes_of(cases)))
    return cases[[name for name in (*chosen, *COUNTS, *_KNOWN) if name in cases]]


def _own(run: FinishedRun, exported: FinishedRun, part: str) -> pd.DataFrame:
    """Read the test cases of a run of the exported recipe."""
    cases, split = cases_of_test(run), run.config.data.split
    names = list(sets_of(run.folder, run.config, run.split).described)
    fold = next((split.get(key) for key in ("cross_fold", "fold") if split.get(key) is not None), "")
    cases = cases.assign(set=sets_of_ids(cases["id"], names), part=part, fold=fold)
    cases["group"] = cases["id"].map(exported.split.groups)
    images = find_recorded_images(run.folder, run.split)
    return cases if images is None else _with_facts(cases, images)


def _of_other_data(run: FinishedRun) -> Iterator[pd.DataFrame]:
    """Read the newest evaluation of a run on each other data set."""
    known = set(sets_of(run.folder, run.config, run.split).described)
    for evaluation in read_evaluations(run.folder, None if run.task == "segmentation" else run.classes):
        names = sets_of_ids(evaluation.cases["id"], list(evaluation.sets.described))
        if evaluation.sets.seen or known & set(names):
            continue
        known |= set(names)
        cases = evaluation.cases.assign(set=names, part=OTHER_DATA, fold="")
        has_facts = is_there(evaluation.folder.images)
        yield _with_facts(cases, read_images(evaluation.folder.images)) if has_facts else cases


def _with_facts(cases: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Add what is known of the images."""
    table = images.set_index("id")
    return cases.assign(**{name: cases["id"].map(table[name]) for name in _KNOWN if name in table})


def find_evidence(cases: pd.DataFrame, temperature: float | None, sensitivity: float) -> Evidence:
    """Compute the numbers of the card's sections that rest on the cases alone.

    Args:
        cases: As `collect_cases` returns them.
        temperature: Divisor of the logits; None without a calibration.
        sensitivity: That of the bundle's threshold for malignant.

    Returns:
        `folds`: number of runs that predicted images out of fold; `results`: "all" or the name of another data set ->
        "mask" and "class" -> rows of `interval_rows`; `operating_points`: a row per threshold and kind of images;
        `subgroups`: a row per stratum and metric.
    """
    own = cases[cases["part"] != OTHER_DATA]
    kinds = {ALL: own} | {str(name): table for name, table in cases[cases["part"] == OTHER_DATA].groupby("set")}
    results = {
        name: _results(table.reset_index(drop=True), temperature, is_own=name == ALL) for name, table in kinds.items()
    }
    points: Rows = []
    if temperature and MALIGNANT in classes_of(cases):
        points = _operating_points(cases, temperature, sensitivity)
    folds = int(cases["fold"][cases["part"] == OUT_OF_FOLD].nunique())
    return {"folds": folds, "results": results, "operating_points": points, "subgroups": list(_subgroups(kinds))}


def _results(cases: pd.DataFrame, temperature: float | None, is_own: bool) -> dict[str, Rows]:
    """Compute metrics with their intervals; on other data those that need no normal image."""
    rows = {}
    if "tp" in cases:
        rows[MASK] = interval_rows(cases_of_task("segmentation", cases), OUTLINES)
    if classes_of(cases):
        classes = cases_of_task("classification", cases)
        rows[CLASS] = interval_rows(classes, (*CLASSES, AUC) if is_own else ("accuracy", AUC))
        if temperature and not is_own:  # the temperature was fitted on the others
            rows[CLASS] += interval_rows(tempered(classes, temperature), (ERROR,))
    return rows


def _operating_points(cases: pd.DataFrame, temperature: float, sensitivity: float) -> Rows:
    """Choose thresholds for malignant out of fold, and test them on the other images."""
    calibrated = tempered(cases_of_task("classification", cases), temperature)
    kinds = {part: calibrated[calibrated["part"] == part] for part in (OUT_OF_FOLD, TEST)}
    kinds |= {str(name): table for name, table in calibrated[calibrated["part"] == OTHER_DATA].groupby("set")}
    chosen_on, column = kinds[OUT_OF_FOLD], f"{PROBABILITY}{MALIGNANT}"
    is_malignant = (chosen_on["label"] == MALIGNANT).to_numpy()
    if not is_malignant.any():
        return []
    rows = []
    for required in sorted({*_SENSITIVITIES, sensitivity}):
        chosen = choose_threshold(chosen_on[column].to_numpy("float64"), is_malignant, required)["threshold"]
        for name, table in kinds.items():
            flagged, positive = (table[column] >= chosen).to_numpy(), (table["label"] == MALIGNANT).to_numpy()
            drawn = in_draws(table, DRAWS, partial(_rates, flagged, positive), np.float64)
            shares = {"sensitivity": drawn[:, 0], "specificity": drawn[:, 1]}
            counts = {"positives": int(positive.sum()), "negatives": int((~positive).sum())}
            row = {"asked": required, "threshold": float(chosen), "tested_on": name, **counts}
            rows.append(row | {key: _rounded(with_interval(values)) for key, values in shares.items()})
    return rows


def _rates(flagged: Bools, positive: Bools, weights: Floats) -> Floats:
    """Compute sensitivity and specificity under each row of weights, (D, 2)."""
    sensitivity = ratio(weights @ (flagged & positive), weights @ positive)
    return np.stack([sensitivity, ratio(weights @ (~flagged & ~positive), weights @ ~positive)], axis=1)


def _subgroups(kinds: Mapping[str, pd.DataFrame]) -> Iterator[dict[str, Any]]:
    """Score strata of the images: by class, burned-in marks, size of the lesion, and device."""
    for name, table in kinds.items():
        tasks = [*(["classification"] if classes_of(table) else ()), *(["segmentation"] if "tp" in table else ())]
        strata = {(by, stratum): ids for by, groups in _strata(table).items() for stratum, ids in groups.items()}
        for task in tasks:
            own = cases_of_task(task, table).assign(replicate=0)
            metrics = [metric for metric in metrics_in_strata(task, classes_of(table)) if metric != AUC]
            metrics += [AUC] if task == "classification" and {BENIGN, MALIGNANT} <= set(table["label"]) else []
            scores = score_strata(own, {" ".join(key): ids for key, ids in strata.items()}, metrics)
            for (by, stratum), metric in ((key, metric) for key in strata for metric in metrics):
                score = scores[f"{by} {stratum}", metric]
                if np.isfinite(score.value):
                    value, low, high = _rounded((score.value, *score.interval))
                    yield {"tested_on": name, "by": by, "stratum": stratum, "metric": metric, "value": value,
                           "low": low, "high": high, "n": score.n}  # fmt: skip


def _strata(cases: pd.DataFrame) -> dict[str, dict[str, set[str]]]:
    """Divide images: kind of subgroup -> name -> ids; kinds with a single group are left out."""
    strata = {"class": {str(name): set(table["id"]) for name, table in cases.groupby("label")}}
    if "marked" in cases:
        strata["burned-in marks"] = {name: set(cases["id"][cases["marked"] == value])
                                    for name, value in (("without", 0), ("with", 1))}  # fmt: skip
    if "tp" in cases:
        lesions = cases[has_lesion(cases)]
        shares = (lesions["tp"] + lesions["fn"]) / lesions[[*COUNTS]].sum(axis=1)
        strata["lesion"] = {name: set(lesions["id"][(shares > low) & (shares <= high)])
                           for name, (low, high) in _SIZES.items()}  # fmt: skip
    if "device" in cases:
        known = cases[cases["device"].notna() & (cases["device"] != "unknown")]
        strata["device"] = {str(name): set(table["id"]) for name, table in known.groupby("device")}
    groups = {by: {name: ids for name, ids in own.items() if ids} for by, own in strata.items()}
    return {by: own for by, own in groups.items() if len(own) > 1}


def _rounded(values: Sequence[float]) -> list[float | None]:
    return [round(value, 4) if np.isfinite(value) else None for value in values]
