"""Write the model card of a bundle: training data, test results, calibration, limits."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bus_lightning.core.class_names import MALIGNANT
from bus_lightning.data.prepare import PreparedData
from bus_lightning.data.published import describe_divided
from bus_lightning.diagnosis.bundle import Bundle
from bus_lightning.diagnosis.trained_on import Trained, sentence
from bus_lightning.export.calibration import Calibration
from bus_lightning.export.runs import left_out_of_bundles
from bus_lightning.metrics.catalogue import CARD, heading_of, shown_in, title_of
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.runs.code import codes_of
from bus_lightning.runs.finished import FinishedRun
from bus_lightning.statistics.intervals import percentile_interval
from bus_lightning.statistics.summary import draws_of

NOT_CALIBRATED = "not calibrated"
OUTLINES = shown_in(CARD, "segmentation")
CLASSES = (*shown_in(CARD, "classification"), "auroc_malignant", "recall_malignant", "specificity_malignant")
_METHODS = {
    "grouped": "near-duplicates kept in one part, and the images of a patient",
    "stratified": "by class; near-duplicates or patients can be in two parts, so results may look too good",
    "random": "at random; near-duplicates or patients can be in two parts, so results may look too good",
    "file": "lists of the user",
    "published": "by the authors of the data set",
}


def write_card(
    segmenter: FinishedRun,
    classifier: FinishedRun,
    images: PreparedData,
    numbers: dict[str, list[dict[str, Any]]],
    calibration: Calibration | None,
    bundle: Bundle,
) -> str:
    """Write the card of a bundle in Markdown.

    `images` are the classifier's; `numbers` are rows of `interval_rows` for `segmenter` and `classifier`.
    """
    sections = [
        "# Model card: breast ultrasound, outline and class",
        "**NOT A MEDICAL DEVICE.** For research and teaching. Do not use any answer for the care of a patient.",
        _networks(segmenter, classifier, bundle.head is not None),
        _data(segmenter, classifier, images, bundle.trained_on),
        _results(numbers, {"segmenter": left_out_of_bundles(segmenter), "classifier": left_out_of_bundles(classifier)}),
        _calibration(calibration),
        _precisions(bundle.variants, bundle.default_precision),
        _USE,
    ]
    return "\n\n".join(sections) + "\n"


def interval_rows(cases: pd.DataFrame, names: Iterable[str]) -> list[dict[str, Any]]:
    """Compute metrics of the cases of a part with their 95% intervals, by the bootstrap over groups of near-duplicates.

    Undefined metrics are left out.

    Returns:
        `metric`, `value`, `low`, `high` (None if undefined) and `n`, the number of images.
    """
    values, draws = metrics_of(cases), draws_of(cases.assign(replicate=0))
    rows = []
    for name in names:
        if values.get(name) is not None:
            low, high = (None if np.isnan(end) else round(end, 4) for end in percentile_interval(draws[name]))
            number = _count_images(name, cases)
            rows.append({"metric": name, "value": round(values[name], 4), "low": low, "high": high, "n": number})
    return rows


def _count_images(metric: str, cases: pd.DataFrame) -> int:
    """Count the images that a metric covers: all, or those with or without a lesion or the class malignant."""
    if "tp" in cases:
        lesions = int((cases["tp"] + cases["fn"] > 0).sum())
        return len(cases) - lesions if metric == "false_alarm_rate" else lesions
    malignant = int((cases["label"] == MALIGNANT).sum())
    return {"recall_malignant": malignant, "specificity_malignant": len(cases) - malignant}.get(metric, len(cases))


def _networks(segmenter: FinishedRun, classifier: FinishedRun, has_head: bool) -> str:
    overlay = classifier.overlay
    seen = f"the segmenter's mask (overlay={overlay.style})" if overlay else "only the image, without the mask"
    rows = [
        ["Segmenter", segmenter.config.model.name, _pixels(segmenter), "outline of the lesion"],
        ["Classifier", classifier.config.model.name, _pixels(classifier), ", ".join(classifier.classes)],
    ]
    heat = (
        "The heat map is the class activation map: the last feature map, weighted by the last layer."
        if has_head
        else "**No heat map**: this classifier does not end in an average and one linear layer."
    )
    return "\n\n".join(
        ["## Networks", _table(["", "model", "input", "output"], rows), f"The classifier sees {seen}. {heat}"]
    )


def _pixels(run: FinishedRun) -> str:
    data, clean = run.config.data, run.config.preprocess
    steps = [f"{step}={clean[step]}" for step in ("denoise", "contrast") if clean[step] != "none"]
    return ", ".join([f"{data.size}x{data.size}, {data.resize}, {data.channels} channels", *steps])


def _data(segmenter: FinishedRun, classifier: FinishedRun, images: PreparedData, trained: Trained) -> str:
    rows = []
    for name, run in (("Segmenter", segmenter), ("Classifier", classifier)):
        split, status = run.split, run.folder.status
        sizes = "/".join(str(len(split.part(part))) for part in ("train", "val", "test"))
        divides = f"; divides {text}, so results may look too good" if (text := describe_divided(split.divided)) else ""
        commits = ", ".join(dict.fromkeys(str(code.get("commit"))[:12] for code in codes_of(status)))
        rows.append([name, f"{split.method}: {_METHODS[split.method]}{divides}", sizes, split.seed, run.config.seed,
                     split.hash, status.get("epochs"), commits])  # fmt: skip
    counts = ", ".join(f"{number} {name}" for name, number in images.frame["class"].value_counts(sort=False).items())
    origin = f"**{_plain(sentence(trained))}**"
    if any(data.name == "BUSI" for data in trained.values()):
        origin += " BUSI: Al-Dhabyani et al., Data in Brief 28 (2020) 104863."
    origin += f" Images of all parts: {counts}. Hash of the files: `{classifier.files_hash}`."
    names = ["", "split", "train/val/test images", "split seed", "seed", "split hash", "epochs", "commit"]
    return "\n\n".join(["## Data", origin, _table(names, rows)])


def _results(numbers: dict[str, list[dict[str, Any]]], left_out: dict[str, str]) -> str:
    rows = [
        [heading_of(row["metric"]), f"{row['value']:.3f}", _interval(row), row["n"]]
        for name in ("segmenter", "classifier")
        for row in numbers[name]
    ]
    note = (
        "Results on the test images, computed in PyTorch after training, in the precision of the training. The bundle "
        "computes in another precision, so single answers can differ: see Precisions. Intervals: bootstrap over groups "
        "of near-duplicates, 2,000 draws; they do not include the variation between seeds. The classifier's "
        "probabilities are those before calibration, which does not change the most likely class. The recall of "
        "malignant is the sensitivity of the most likely class, without the threshold."
    )
    differ = [
        f"**The results of the {name} are those with {options}, which the bundle does not have.**"
        for name, options in left_out.items()
        if options
    ]
    table = _table(["metric", "value", "95% interval", "images"], rows)
    return "\n\n".join(["## Test results", note, *differ, table])


def _interval(row: dict[str, Any]) -> str:
    return "undefined" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"


def _calibration(calibration: Calibration | None) -> str:
    if calibration is None:
        return (
            f"## Calibration\n\nThe probabilities are **{NOT_CALIBRATED}**, and there is no threshold for malignant: "
            "no out-of-fold predictions were given."
        )
    tested, names = calibration.tested, ("log_loss", "calibration_error")
    rows = [
        [f"{number} {kind}", *(_number(scores[name]) for name in names for scores in (before, after))]
        for number, kind, before, after in (
            (calibration.n, "out of fold", calibration.before, calibration.after),
            (tested["n"], "test", tested["before"], tested["after"]),
        )
    ]
    lines = [
        "## Calibration",
        f"Temperature {calibration.temperature:.3f}, fitted on {calibration.n} training images that "
        f"{calibration.runs} classifiers of the same recipe predicted out of fold. No test image was used.",
        _table(["images", *(f"{title_of(name)} {when}" for name in names for when in ("before", "after"))], rows),
    ]
    for name, chosen in (calibration.thresholds or {}).items():
        lines.append(
            f"Threshold for {name}: {chosen['threshold']:.4f}, chosen for an out-of-fold sensitivity of at least "
            f"{chosen['asked']:.0%}. Out of fold, its sensitivity is {chosen['sensitivity']:.3f} "
            f"({chosen['positives']} images) and its specificity {chosen['specificity']:.3f} ({chosen['negatives']} "
            f"images); on the test images, {_number(tested[name]['sensitivity'])} and "
            f"{_number(tested[name]['specificity'])}."
        )
    return "\n\n".join(lines)


def _precisions(variants: dict[str, dict[str, Any]], default: str) -> str:
    first = next(iter(variants.values()))
    scores = [key for key in first if key.startswith(("sensitivity_", "specificity_"))]
    rows = [
        [
            f"**{name}** (default)" if name == default else name,
            _number(variant["iou"]), _number(variant["iou_difference"], "+.4f"),
            _number(variant["auc"]), _number(variant["auc_difference"], "+.4f"), variant["answers_changed"],
            *(f"{variant[key]:.3f}" for key in scores), f"{variant['ms']:.1f}",
        ]
        for name, variant in variants.items()
    ]  # fmt: skip
    note = (
        f"On the {first['images']} images that both runs held out (validation and test), from the image file to the "
        f"answer, each precision against fp32: {title_of('iou_image')}; {title_of('auroc_macro')}; the number of most "
        "likely classes that differ; sensitivity and specificity of the threshold. Time: median of a whole diagnosis "
        "without heat map, on the machine of the export."
    )
    names = ["", "IoU", "difference", "AUC", "difference", "answers changed",
             *(key.replace("_", ", ") for key in scores), "ms"]  # fmt: skip
    return "\n\n".join(["## Precisions", note, _table(names, rows)])


def _plain(text: str) -> str:
    """Escape the markup of Markdown and HTML."""
    return re.sub(r"([\\`*_<>\[\]|~$&#])", r"\\\1", text)


def _number(value: float | None, form: str = ".4f") -> str:
    return "undefined" if value is None else format(value, form).replace("-0.0000", "0.0000")


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


_USE = """## Intended use

For people who know the limits of such networks: to demonstrate, check and compare them. Not for diagnosis, screening,
triage or any other use in the care of patients.

## Limits

- Trained on few images of few devices. Other devices, settings, populations and organs were not tested.
- If the data have no patient ids, as in BUSI, frames of one patient may be in two parts of the split, and the results
  may look too good.
- The check for other kinds of images uses simple statistics and misses some.
- A heat map shows which places the answer comes from, not where the disease is.
- Lesions that touch the border, several lesions and very small ones are measured less accurately.

## Licences

The code is under Apache-2.0. The licence of the training images is not recorded: ask their source before you pass the
networks on."""
