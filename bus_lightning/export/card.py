"""The model card: what a bundle was trained on, how well it did on whom, and what it must not be used for."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bus_lightning.data.prepare import PreparedData
from bus_lightning.diagnosis.bundle import Bundle
from bus_lightning.diagnosis.trained_on import Trained, sentence
from bus_lightning.export.calibration import Calibration
from bus_lightning.export.runs import FinishedRun
from bus_lightning.metrics.catalogue import CARD, heading_of, shown_in, title_of
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.statistics.intervals import percentile_interval
from bus_lightning.statistics.summary import draws_of

NOT_CALIBRATED = "not calibrated"
OUTLINES = shown_in(CARD, "segmentation")
CLASSES = (*shown_in(CARD, "classification"), "auroc_malignant", "recall_malignant", "specificity_malignant")
_METHODS = {
    "grouped": "near-duplicates kept in one part",
    "stratified": "by class; near-duplicates may stand in two parts, which flatters",
    "random": "at random; near-duplicates may stand in two parts, which flatters",
    "file": "lists of the user",
}


def write_card(
    segmenter: FinishedRun,
    classifier: FinishedRun,
    images: PreparedData,
    numbers: dict[str, list[dict[str, Any]]],
    calibration: Calibration | None,
    bundle: Bundle,
) -> str:
    """Write the card, Markdown.

    Args:
        segmenter: One run.
        classifier: The other.
        images: What the classifier was trained and tested on.
        numbers: Rows of `interval_rows`, for `segmenter` and `classifier`.
        calibration: None where there is none.
        bundle: What is described, but for the card.
    """
    sections = [
        "# Model card: breast ultrasound, outline and class",
        "**NOT A MEDICAL DEVICE.** For research and teaching. No answer may be used for the care of a patient.",
        _networks(segmenter, classifier, bundle.head is not None),
        _data(segmenter, classifier, images, bundle.trained_on),
        _results(numbers),
        _calibration(calibration),
        _precisions(bundle.variants, bundle.default_precision),
        _USE,
    ]
    return "\n\n".join(sections) + "\n"


def interval_rows(cases: pd.DataFrame, names: Iterable[str]) -> list[dict[str, Any]]:
    """Compute metrics with their 95% intervals, by the bootstrap over near-duplicate groups.

    Args:
        cases: Of one part, with `label` and `group`.
        names: Metrics; those that are undefined are left out.

    Returns:
        `metric`, `value`, `low`, `high` (None where undefined) and `n`, images.
    """
    found, draws = metrics_of(cases), draws_of(cases.assign(replicate=0))
    rows = []
    for name in names:
        if found.get(name) is not None:
            low, high = (None if np.isnan(end) else round(end, 4) for end in percentile_interval(draws[name]))
            number = _counted(name, cases)
            rows.append({"metric": name, "value": round(found[name], 4), "low": low, "high": high, "n": number})
    return rows


def _counted(name: str, cases: pd.DataFrame) -> int:
    """Count the images that a metric is about: all, those with a lesion or of a class, or those without."""
    if "tp" in cases:
        lesions = int((cases["tp"] + cases["fn"] > 0).sum())
        return len(cases) - lesions if name == "false_alarm_rate" else lesions
    malignant = int((cases["label"] == "malignant").sum())
    return {"recall_malignant": malignant, "specificity_malignant": len(cases) - malignant}.get(name, len(cases))


def _networks(segmenter: FinishedRun, classifier: FinishedRun, has_head: bool) -> str:
    overlay = classifier.overlay
    seen = f"the segmenter's mask (overlay={overlay.style})" if overlay else "the image alone, without the mask"
    rows = [
        ["Segmenter", segmenter.config.model.name, _pixels(segmenter), "the lesion's outline"],
        ["Classifier", classifier.config.model.name, _pixels(classifier), ", ".join(classifier.classes)],
    ]
    heat = (
        "The heat map is the class activation map: the last feature map, weighted by the last layer."
        if has_head
        else "**No heat map**: this classifier does not end in an average and one linear layer."
    )
    return "\n\n".join(
        ["## Networks", _table(["", "model", "input", "answers"], rows), f"The classifier sees {seen}. {heat}"]
    )


def _pixels(run: FinishedRun) -> str:
    data, clean = run.config.data, run.config.preprocess
    steps = [f"denoise={clean.denoise}"] * (clean.denoise != "none")
    steps += [f"contrast={clean.contrast}"] * (clean.contrast != "none")
    return ", ".join([f"{data.size}x{data.size}, {data.resize}, {data.channels} channels", *steps])


def _data(segmenter: FinishedRun, classifier: FinishedRun, images: PreparedData, trained: Trained) -> str:
    rows = []
    for name, run in (("Segmenter", segmenter), ("Classifier", classifier)):
        split, status = run.split, run.folder.status
        sizes = "/".join(str(len(split.part(part))) for part in ("train", "val", "test"))
        rows.append([name, f"{split.method}: {_METHODS[split.method]}", sizes, split.seed, run.config.seed,
                     split.hash, status.get("epochs"), str(status.get("commit"))[:12]])  # fmt: skip
    counts = ", ".join(f"{number} {name}" for name, number in images.frame["class"].value_counts(sort=False).items())
    origin = f"**{_plain(sentence(trained))}**"
    if any(data.name == "BUSI" for data in trained.values()):
        origin += " BUSI: Al-Dhabyani et al., Data in Brief 28 (2020) 104863."
    origin += f" Images of all parts: {counts}. Hash of the files: `{classifier.content}`."
    names = ["", "split", "train/val/test images", "seed of the split", "seed", "hash of the split", "epochs", "commit"]
    return "\n\n".join(["## Data", origin, _table(names, rows)])


def _results(numbers: dict[str, list[dict[str, Any]]]) -> str:
    rows = [
        [heading_of(row["metric"]), f"{row['value']:.3f}", _interval(row), row["n"]]
        for name in ("segmenter", "classifier")
        for row in numbers[name]
    ]
    note = (
        "On the test images, as evaluated in PyTorch after training, in the precision of the training. The bundle "
        "computes in another one, and single answers differ: see Precisions. Intervals: bootstrap over groups of "
        "near-duplicates, 2,000 draws; they do not know what another seed would give. The classifier's probabilities "
        "are counted before calibration, which changes no AUC of two classes and no likeliest class. The recall of "
        "malignant is the sensitivity of taking the likeliest class, without the threshold."
    )
    return "\n\n".join(["## Numbers", note, _table(["metric", "value", "95% interval", "images"], rows)])


def _interval(row: dict[str, Any]) -> str:
    return "undefined" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"


def _calibration(calibration: Calibration | None) -> str:
    if calibration is None:
        return (
            f"## Calibration\n\nThe probabilities are **{NOT_CALIBRATED}**, and there is no threshold for malignant: "
            "no out-of-fold predictions were given."
        )
    tested = calibration.tested
    lines = [
        f"Temperature {calibration.temperature:.3f}, found on {calibration.n} training images that {calibration.runs} "
        "classifiers of the same recipe predicted without having seen them. No test image was used to choose it.",
        _table(
            ["images", f"{title_of('log_loss')} before", "after", f"{title_of('calibration_error')} before", "after"],
            [
                [f"{number} {kind}", *(_number(when[name]) for name in ("log_loss", "calibration_error")
                                       for when in (before, after))]
                for number, kind, before, after in (
                    (calibration.n, "out of fold", calibration.before, calibration.after),
                    (tested["n"], "test", tested["before"], tested["after"]),
                )
            ],
        ),
    ]  # fmt: skip
    for name, found in (calibration.thresholds or {}).items():
        lines.append(
            f"Threshold for {name}: {found['threshold']:.4f}, chosen for a sensitivity of at least {found['asked']:.0%}"
            f" out of fold. There its sensitivity is {found['sensitivity']:.3f} (of "
            f"{found['positives']} images), its specificity {found['specificity']:.3f} (of {found['negatives']}); on "
            f"the test images {_number(tested[name]['sensitivity'])} and {_number(tested[name]['specificity'])}."
        )
    return "\n\n".join(["## Calibration", *lines])


def _precisions(variants: dict[str, dict[str, Any]], default: str) -> str:
    rows = [
        [
            f"**{name}** (default)" if name == default else name,
            _number(one["iou"]), _number(one["iou_difference"], "+.4f"),
            _number(one["auc"]), _number(one["auc_difference"], "+.4f"), one["answers_changed"],
            *(f"{one[key]:.3f}" for key in one if key.startswith(("sensitivity_", "specificity_"))), f"{one['ms']:.1f}",
        ]
        for name, one in variants.items()
    ]  # fmt: skip
    first = next(iter(variants.values()))
    thresholds = [key.replace("_", ", ") for key in first if key.startswith(("sensitivity_", "specificity_"))]
    note = (
        f"On the {first['images']} images that both runs held out (validation and test), each against fp32: "
        f"{title_of('iou_image')}, {title_of('auroc_macro')}, and how many likeliest classes differ, from the image "
        "file to the answer; sensitivity and specificity are those of the threshold. Time: the median of a whole "
        "diagnosis without heat map, on the machine of the export."
    )
    names = ["", "IoU", "difference", "AUC", "difference", "answers changed", *thresholds, "ms"]
    return "\n\n".join(["## Precisions", note, _table(names, rows)])


def _plain(text: str) -> str:
    """Escape what Markdown or HTML would read as markup."""
    return re.sub(r"([\\`*_<>\[\]|~$&#])", r"\\\1", text)


def _number(value: float | None, form: str = ".4f") -> str:
    return "undefined" if value is None else format(value, form).replace("-0.0000", "0.0000")


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


_USE = """## Intended use

To show, check and compare what such networks do, by people who know their limits. Not for diagnosis, screening, triage
or any other use in the care of patients.

## Limits

- Trained on few images of few devices. Other devices, settings, populations and organs were not tested.
- If the data have no patient ids, as in BUSI, frames of one patient may be in two parts of the split, and the numbers
  may be too good.
- The check for images of another kind rests on simple statistics and misses some.
- A heat map shows what weighed in the answer, not where the disease is.
- Lesions that touch the border, several lesions and very small ones are measured less well.

## Licences

The code is under Apache-2.0. The licence of the training images is not known here: ask their source before passing the
networks on."""
