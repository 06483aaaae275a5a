"""Measure what each precision loses on held-out images, from the image file to the answer, and how long it takes."""

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
from bus_lightning.diagnosis.diagnosing import Diagnoser
from bus_lightning.diagnosis.frames import Frame
from bus_lightning.diagnosis.networks import Network
from bus_lightning.export.runs import OpenedRun
from bus_lightning.export.to_onnx import torch_answers
from bus_lightning.metrics.columns import PROBABILITY, cases_of_task
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.tasks.segmentation import count_pixels

AGREEMENT = 1e-4  # between the probabilities of OpenVINO and PyTorch
ALLOWED_LOSS = 0.01  # of IoU and AUC, for the default precision
IOU, AUC = "iou_image", "auroc_macro"
_COMPARED = 24  # held-out images, which are enough to find another computation


def check_agreement(opened: OpenedRun, stage: Stage) -> float:
    """Compare the probabilities of OpenVINO, in fp32, with those of PyTorch, on held-out images.

    Returns:
        The largest difference.

    Raises:
        UserError: When it is above 1e-4.
    """
    to_probabilities = expit if opened.run.config.task.name == "segmentation" else softmax_of_rows
    network, largest = Network(stage, "fp32"), 0.0
    for images in _held_out(opened):
        ours, theirs = (to_probabilities(logits) for logits in (network(images)[0], torch_answers(opened.net, images)))
        largest = max(largest, float(np.abs(ours - theirs).max()))
    if not largest <= AGREEMENT:
        raise UserError(
            f"{opened.run.folder.path}: the exported network differs from PyTorch by {largest:.2g} in its "
            f"probabilities, more than {AGREEMENT}: this network cannot be exported."
        )
    return largest


def softmax_of_rows(logits: np.ndarray) -> np.ndarray:
    """Turn the logits of each image, (B, K), into probabilities."""
    found: np.ndarray = softmax(logits, axis=1)
    return found


def compare_variants(bundle: Bundle, segmenter: OpenedRun, classifier: OpenedRun) -> dict[str, dict[str, Any]]:
    """Diagnose all images that both runs held out, with every precision.

    Args:
        bundle: The networks and what belongs to them.
        segmenter: The run of its segmenter.
        classifier: That of its classifier.

    Returns:
        Precision -> `iou` (mean over lesions), `auc` (macro), `iou_difference` and `auc_difference` to fp32, None where
        undefined; `images`; `ms`, the median of a whole diagnosis without heat map; `answers_changed`, likeliest
        classes that differ from those of fp32; `sensitivity_<class>` and `specificity_<class>` of each threshold.
    """
    held_out = set(segmenter.run.split.val + segmenter.run.split.test)
    rows = classifier.prepared.frame
    rows = list(rows[rows["id"].isin(held_out.intersection(classifier.run.split.val + classifier.run.split.test))]
                .rename(columns={"class": "label_name"}).itertuples(index=False))  # fmt: skip
    diagnosers = [Diagnoser(bundle, precision) for precision in bundle.segmenter.files]
    found: dict[str, dict[str, Any]] = {}
    answers: list[str] = []
    for precision, (cases, milliseconds) in _diagnose(diagnosers, classifier, rows).items():
        iou, auc = _scores(cases)
        answers = answers or _answers(bundle, cases)  # fp32 comes first
        fp32 = found.get("fp32", {"iou": iou, "auc": auc})
        found[precision] = {
            "iou": iou, "iou_difference": _difference(iou, fp32["iou"]),
            "auc": auc, "auc_difference": _difference(auc, fp32["auc"]),
            "images": len(cases), "ms": round(milliseconds, 2), **_decisions(bundle, cases, answers),
        }  # fmt: skip
    return found


def choose_precision(variants: Mapping[str, Mapping[str, Any]]) -> str:
    """Choose the fastest precision whose IoU and AUC lie within 0.01 of those of fp32.

    Args:
        variants: What `compare_variants` returned.
    """

    def is_close(one: Mapping[str, Any]) -> bool:
        differences = (one["iou_difference"], one["auc_difference"])
        return all(value is not None and abs(value) <= ALLOWED_LOSS for value in differences)

    close = {name: one["ms"] for name, one in variants.items() if name == "fp32" or is_close(one)}
    return min(close, key=close.__getitem__)


def _diagnose(
    diagnosers: Sequence[Diagnoser], opened: OpenedRun, rows: Sequence[Any]
) -> dict[str, tuple[pd.DataFrame, float]]:
    """Diagnose images one by one, in every precision in turn: the cases, and the median of the milliseconds."""
    cases: dict[str, list[dict[str, Any]]] = {one.precision: [] for one in diagnosers}
    taken: dict[str, list[float]] = {one.precision: [] for one in diagnosers}
    for row in tqdm(rows, desc="comparing precisions", unit="image", disable=None, leave=False):
        image = read_image(opened.prepared.root / row.image, opened.prepared.scale)
        truth = read_mask(opened.prepared.root, row.masks, image.shape[:2])
        for one in diagnosers:
            start = time.perf_counter()
            (diagnosis,) = one.diagnose([Frame(image)], heat_map=False)
            taken[one.precision].append(time.perf_counter() - start)
            counts = count_pixels(torch.from_numpy(diagnosis.mask), torch.from_numpy(truth))
            probabilities = {f"{PROBABILITY}{name}": value for name, value in diagnosis.probabilities.items()}
            cases[one.precision].append({"label": row.label_name, **counts, **probabilities})
    return {
        name: (pd.DataFrame(cases[name]), statistics.median(seconds) * 1000 if seconds else float("nan"))
        for name, seconds in taken.items()
    }


def _answers(bundle: Bundle, cases: pd.DataFrame) -> list[str]:
    """Name the likeliest class of each case."""
    rows = cases[[f"{PROBABILITY}{name}" for name in bundle.classes]].to_numpy() if len(cases) else []
    return [bundle.classes[int(row.argmax())] for row in rows]


def _decisions(bundle: Bundle, cases: pd.DataFrame, fp32: list[str]) -> dict[str, Any]:
    """Tell how many likeliest classes differ from those of fp32, and how well each threshold does."""
    changed = sum(one != other for one, other in zip(_answers(bundle, cases), fp32, strict=True))
    found: dict[str, Any] = {"answers_changed": changed}
    for name, chosen in (bundle.thresholds or {}).items() if len(cases) else ():
        flagged, positive = cases[f"{PROBABILITY}{name}"] >= chosen["threshold"], cases["label"] == name
        found[f"sensitivity_{name}"] = _rounded(float(flagged[positive].mean()))
        found[f"specificity_{name}"] = _rounded(float((~flagged[~positive]).mean()))
    return found


def _scores(cases: pd.DataFrame) -> tuple[float | None, float | None]:
    """Compute IoU and AUC of cases; None where undefined."""
    if cases.empty:
        return None, None
    iou = metrics_of(cases_of_task("segmentation", cases))[IOU]
    auc = metrics_of(cases_of_task("classification", cases))[AUC]
    return _rounded(iou), _rounded(auc)


def _held_out(opened: OpenedRun) -> Iterator[np.ndarray]:
    """Serve some test images as the network takes them, (B, C, S, S) float32."""
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
