"""Measure what each precision loses on held-out images, from the image file to the answer, and its time."""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import expit, softmax
from tqdm import tqdm

from bus_lightning.core.errors import UserError
from bus_lightning.data.index import read_image, read_mask
from bus_lightning.diagnosis.bundle import Bundle, Stage
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame
from bus_lightning.diagnosis.networks import Network
from bus_lightning.export.runs import RebuiltRun
from bus_lightning.metrics.columns import PROBABILITY, cases_of_task, probabilities_of
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.tasks.segmentation import count_pixels

AGREEMENT = 1e-4  # between the probabilities of OpenVINO and PyTorch
ALLOWED_LOSS = 0.01  # of IoU and AUC, for the default precision
_COMPARED = 24  # held-out images, enough to notice another computation


def check_agreement(opened: RebuiltRun, stage: Stage) -> float:
    """Compare the probabilities of OpenVINO in fp32 and PyTorch on held-out images, and return the largest difference.

    Raises:
        UserError: When it is above 1e-4.
    """
    network, largest = Network(stage, "fp32"), 0.0
    for images in _test_batches(opened):
        with torch.inference_mode():
            logits = network(images)[0], opened.net(torch.from_numpy(images)).numpy()
        if opened.run.config.task.name == "segmentation":
            exported, original = map(expit, logits)
        else:
            exported, original = (softmax(values, axis=1) for values in logits)
        largest = max(largest, float(np.abs(exported - original).max()))
    if not largest <= AGREEMENT:
        raise UserError(
            f"{opened.run.folder.path}: the exported network differs from PyTorch by {largest:.2g} in its "
            f"probabilities, more than {AGREEMENT}: this network cannot be exported."
        )
    return largest


def compare_variants(bundle: Bundle, segmenter: RebuiltRun, classifier: RebuiltRun) -> dict[str, dict[str, Any]]:
    """Diagnose all images that both runs held out, with every precision.

    Returns:
        Precision -> `iou` (mean of lesions), `auc` (macro), `iou_difference` and `auc_difference` to fp32, None if
        undefined; `images`; `ms`, the median of a whole diagnosis without heat map; `answers_changed`, number of most
        likely classes that differ from fp32; `sensitivity_<class>` and `specificity_<class>` of each threshold.
    """
    held_out = set(segmenter.run.split.val + segmenter.run.split.test)
    held_out &= set(classifier.run.split.val + classifier.run.split.test)
    frame = classifier.prepared.frame
    rows = list(frame[frame["id"].isin(held_out)].rename(columns={"class": "label_name"}).itertuples(index=False))
    diagnosers = [Diagnoser(bundle, precision) for precision in bundle.segmenter.files]
    variants: dict[str, dict[str, Any]] = {}
    diagnosed = _diagnose(diagnosers, classifier, rows)
    for precision, (cases, milliseconds) in diagnosed.items():
        iou, auc = _scores(cases)
        fp32 = variants.get("fp32", {"iou": iou, "auc": auc})  # fp32 comes first
        variants[precision] = {
            "iou": iou, "iou_difference": _difference(iou, fp32["iou"]),
            "auc": auc, "auc_difference": _difference(auc, fp32["auc"]),
            "images": len(cases), "ms": round(milliseconds, 2), **_decisions(bundle, cases, diagnosed["fp32"][0]),
        }  # fmt: skip
    return variants


def choose_precision(variants: Mapping[str, Mapping[str, Any]]) -> str:
    """Choose from `compare_variants` the fastest precision whose IoU and AUC are within 0.01 of those of fp32."""

    def is_close(variant: Mapping[str, Any]) -> bool:
        differences = (variant["iou_difference"], variant["auc_difference"])
        return all(value is not None and abs(value) <= ALLOWED_LOSS for value in differences)

    close = {name: variant["ms"] for name, variant in variants.items() if name == "fp32" or is_close(variant)}
    return min(close, key=close.__getitem__)


def _diagnose(
    diagnosers: Sequence[Diagnoser], opened: RebuiltRun, rows: Sequence[Any]
) -> dict[str, tuple[pd.DataFrame, float]]:
    """Diagnose images one by one, in every precision in turn: the cases, and the median time in milliseconds."""
    cases: dict[str, list[dict[str, Any]]] = {diagnoser.precision: [] for diagnoser in diagnosers}
    seconds: dict[str, list[float]] = {diagnoser.precision: [] for diagnoser in diagnosers}
    for row in tqdm(rows, desc="comparing precisions", unit="image", disable=None, leave=False):
        image = read_image(opened.prepared.root / row.image, opened.prepared.scale)
        mask = torch.from_numpy(read_mask(opened.prepared.root, row.masks, image.shape[:2]))
        for diagnoser in diagnosers:
            start = time.perf_counter()
            (diagnosis,) = diagnoser.diagnose([Frame(image)], heat_map=False)
            seconds[diagnoser.precision].append(time.perf_counter() - start)
            counts = count_pixels(torch.from_numpy(diagnosis.mask), mask)
            probabilities = {f"{PROBABILITY}{name}": value for name, value in diagnosis.probabilities.items()}
            cases[diagnoser.precision].append({"label": row.label_name, **counts, **probabilities})
    return {
        name: (pd.DataFrame(cases[name]), statistics.median(times) * 1000 if times else float("nan"))
        for name, times in seconds.items()
    }


def _decisions(bundle: Bundle, cases: pd.DataFrame, fp32: pd.DataFrame) -> dict[str, Any]:
    """Count the most likely classes that differ from those of fp32, and score each threshold."""
    if cases.empty:
        return {"answers_changed": 0}
    answers, expected = (probabilities_of(table).argmax(axis=1) for table in (cases, fp32))
    scores: dict[str, Any] = {"answers_changed": int((answers != expected).sum())}
    for name, chosen in (bundle.thresholds or {}).items():
        flagged, positive = cases[f"{PROBABILITY}{name}"] >= chosen["threshold"], cases["label"] == name
        scores[f"sensitivity_{name}"] = _rounded(float(flagged[positive].mean()))
        scores[f"specificity_{name}"] = _rounded(float((~flagged[~positive]).mean()))
    return scores


def _scores(cases: pd.DataFrame) -> tuple[float | None, float | None]:
    """Compute IoU and AUC of cases; None if undefined."""
    if cases.empty:
        return None, None
    iou = metrics_of(cases_of_task("segmentation", cases))["iou_image"]
    auc = metrics_of(cases_of_task("classification", cases))["auroc_macro"]
    return _rounded(iou), _rounded(auc)


def _test_batches(opened: RebuiltRun) -> Iterator[np.ndarray]:
    """Yield batches of the first test images as the network takes them, (B, C, S, S) float32."""
    left = _COMPARED
    for batch in opened.data.test_dataloader():
        yield batch["image"].numpy()[:left]
        left -= len(batch["image"])
        if left <= 0:
            return


def _difference(value: float | None, reference: float | None) -> float | None:
    return None if value is None or reference is None else _rounded(value - reference)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
