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
from bus_lightning.core.randomness import shuffled
from bus_lightning.data.index import read_image, read_mask
from bus_lightning.data.prepare import PreparedData
from bus_lightning.diagnosis.bundle import Bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame
from bus_lightning.diagnosis.networks import Network, computed_precision
from bus_lightning.diagnosis.stage import CLASS, MASK, OUTPUTS, Stage
from bus_lightning.export.runs import RebuiltRun
from bus_lightning.metrics.columns import PROBABILITY, cases_of_task, probabilities_of
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.tasks.segmentation import count_pixels

AGREEMENT = 1e-4  # between the probabilities of OpenVINO and PyTorch
HALVED = {MASK: 0.2, CLASS: 0.02}  # the same with weights that are stored in 16 bits, of single pixels and of classes
ALLOWED_LOSS = 0.01  # of IoU and AUC, for the default precision
ALLOWED_SHIFT = 0.02  # of sensitivity and specificity at a threshold
COMPARED = 24  # test images, if there are so many: enough to notice another computation
_SEEN_IMAGES = 150  # that compare the precisions if no image is held out from all networks


def check_agreement(opened: RebuiltRun, stage: Stage, allowed: Mapping[str, float] | None = None) -> float:
    """Compare the probabilities of OpenVINO in fp32 and PyTorch on held-out images, and return the largest difference.

    Raises:
        UserError: When it is above what is allowed, or a probability is not a number.
    """
    allowed = allowed or dict.fromkeys(OUTPUTS, AGREEMENT)
    network, largest = Network(stage, "fp32"), dict.fromkeys(stage.outputs, 0.0)
    for images in _test_batches(opened):
        with torch.inference_mode():
            output = opened.net(torch.from_numpy(images))
        outputs = [output] if isinstance(output, torch.Tensor) else list(output)
        for kind, exported, original in zip(stage.outputs, network(images), outputs, strict=False):
            both = (exported, original.numpy())
            shares = [expit(logits) if kind == MASK else softmax(logits, axis=1) for logits in both]
            largest[kind] = float(np.maximum(largest[kind], np.abs(shares[0] - shares[1]).max()))  # NaN stays NaN
    for kind, difference in largest.items():
        if not difference <= allowed[kind]:
            raise UserError(
                f"{opened.run.folder.path}: the exported network differs from PyTorch by {difference:.2g} in its "
                f"probabilities, more than {allowed[kind]}: this network cannot be exported."
            )
    return max(largest.values())


def choose_compared(runs: Sequence[RebuiltRun]) -> tuple[list[str], bool]:
    """Choose the images that compare the precisions.

    Returns:
        The validation and test images that all runs held out; some test images, if the runs have none in common, as
        folds. And whether they are held out.
    """
    tested = [set(each.run.split.test) for each in runs]
    if len(runs) == 1 or set.intersection(*tested):
        return sorted(set.intersection(*({*each.run.split.val, *each.run.split.test} for each in runs))), True
    return sorted(shuffled(sorted(set.union(*tested)), "compared")[:_SEEN_IMAGES]), False


def refuse_unmeasurable(precision: str) -> None:
    """Raise UserError for a precision that this CPU does not compute, so that its loss cannot be measured."""
    if computed_precision(precision) != precision:
        raise UserError(
            f"--precision {precision}: this CPU has no bfloat16 (AVX512-BF16 or AMX), so that the loss of {precision} "
            "cannot be measured: export on one that has it, or leave the option out."
        )


def compare_variants(bundle: Bundle, prepared: PreparedData, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Diagnose images with every precision that this CPU computes; bf16 needs one with bfloat16.

    Args:
        bundle: The networks.
        prepared: The index that has the images.
        ids: The images.

    Returns:
        Precision -> `iou` (mean of lesions) and `iou_difference` to fp32, if the bundle outlines; `auc` (macro),
        `auc_difference`, `answers_changed` (number of most likely classes that differ from fp32), and
        `sensitivity_<class>` and `specificity_<class>` of each threshold, if it classifies; None if undefined;
        `images`; `ms`, the median of a whole diagnosis without heat map.
    """
    computed = [precision for precision in bundle.precisions if computed_precision(precision) == precision]
    diagnosers = [Diagnoser(bundle, precision) for precision in computed]
    variants: dict[str, dict[str, Any]] = {}
    diagnosed = diagnose_images(diagnosers, prepared, ids, "comparing precisions")
    for precision, (cases, milliseconds) in diagnosed.items():
        scores = _scores(bundle, cases)
        fp32 = variants.get("fp32", scores)  # fp32 comes first
        differences = {f"{name}_difference": _difference(value, fp32[name]) for name, value in scores.items()}
        decisions = _decisions(bundle, cases, diagnosed["fp32"][0]) if bundle.classifies else {}
        variants[precision] = {
            **scores, **differences, "images": len(cases), "ms": round(milliseconds, 2), **decisions,
        }  # fmt: skip
    return variants


def choose_precision(variants: Mapping[str, Mapping[str, Any]], wanted: str | None = None) -> str:
    """Choose from `compare_variants` the fastest precision that answers like fp32, or the wanted one if it does.

    Its IoU and AUC are within 0.01 of those of fp32, and its sensitivity and specificity at each threshold within 0.02:
    probabilities that move against a threshold hardly change the AUC.

    Raises:
        UserError: If the wanted one does not answer like fp32.
    """

    def is_close(variant: Mapping[str, Any]) -> bool:
        differences = [(value, ALLOWED_LOSS) for name, value in variant.items() if name.endswith("_difference")]
        differences += [
            (_difference(value, variants["fp32"][name]), ALLOWED_SHIFT)
            for name, value in variant.items()
            if name.startswith(("sensitivity_", "specificity_"))
        ]
        return all(value is not None and abs(value) <= allowed for value, allowed in differences)

    close = {name: variant["ms"] for name, variant in variants.items() if name == "fp32" or is_close(variant)}
    if wanted and wanted not in close:
        raise UserError(f"--precision {wanted}: its answers differ too much from those of fp32: leave it out.")
    return wanted or min(close, key=close.__getitem__)


def diagnose_images(
    diagnosers: Sequence[Diagnoser], prepared: PreparedData, ids: Sequence[str], what: str
) -> dict[str, tuple[pd.DataFrame, float]]:
    """Diagnose images one by one, with each diagnoser in turn.

    Returns:
        Precision -> cases, with `id`, `label`, counts of pixels and probabilities, as far as the bundle answers them;
        and the median time in milliseconds.
    """
    frame = prepared.frame
    rows = frame[frame["id"].isin(set(ids))].rename(columns={"class": "label_name"}).itertuples(index=False)
    cases: dict[str, list[dict[str, Any]]] = {diagnoser.precision: [] for diagnoser in diagnosers}
    seconds: dict[str, list[float]] = {diagnoser.precision: [] for diagnoser in diagnosers}
    for row in tqdm(list(rows), desc=what, unit="image", disable=None, leave=False):
        image, mask = read_image(prepared.root / row.image, prepared.scale), None
        for diagnoser in diagnosers:
            start = time.perf_counter()
            (diagnosis,) = diagnoser.diagnose([Frame(image)], heat_map=False)
            seconds[diagnoser.precision].append(time.perf_counter() - start)
            case = {"id": row.id, "label": row.label_name}
            if diagnosis.mask is not None:
                if mask is None:
                    mask = torch.from_numpy(read_mask(prepared.root, row.masks, image.shape[:2]))
                case |= count_pixels(torch.from_numpy(diagnosis.mask), mask)
            case |= {f"{PROBABILITY}{name}": value for name, value in diagnosis.probabilities.items()}
            cases[diagnoser.precision].append(case)
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
        for key, right in (("sensitivity", flagged[positive]), ("specificity", ~flagged[~positive])):
            scores[f"{key}_{name}"] = _rounded(float(right.mean())) if len(right) else None
    return scores


def _scores(bundle: Bundle, cases: pd.DataFrame) -> dict[str, float | None]:
    """Compute IoU and AUC of cases, as far as the bundle answers them; None if undefined."""
    scores: dict[str, float | None] = {}
    for key, metric, task, answers in (
        ("iou", "iou_image", "segmentation", bundle.outlines),
        ("auc", "auroc_macro", "classification", bundle.classifies),
    ):
        if answers:
            scores[key] = None if cases.empty else _rounded(metrics_of(cases_of_task(task, cases))[metric])
    return scores


def _test_batches(opened: RebuiltRun) -> Iterator[np.ndarray]:
    """Yield batches of the first test images as the network takes them, (B, C, S, S) float32."""
    left = COMPARED
    for batch in opened.data.test_dataloader():
        yield batch["image"].numpy()[:left]
        left -= len(batch["image"])
        if left <= 0:
            return


def _difference(value: float | None, reference: float | None) -> float | None:
    return None if value is None or reference is None else _rounded(value - reference)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
