"""Where the paper contradicts itself: what it says, what speaks against it, and what our data say."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from bus_lightning.metrics.catalogue import title_of
from bus_lightning.paper import arithmetic
from bus_lightning.paper import numbers as paper
from bus_lightning.paper.measured import Measured, joined, or_missing
from bus_lightning.paper.tables import Summaries, estimate
from bus_lightning.report.sections import TableItem
from bus_lightning.statistics.intervals import wilson
from bus_lightning.statistics.paired_tests import mcnemar

REAL_TIME_MS = 40.0  # of 25 images a second
_DEEP, _R50, _R34, _R34P, _ALEX = "deepcardinal50", "resnet50", "resnet34", "resnet34_pretrained", "alexnet"
_MACRO = ("precision_macro", "recall_macro", "f1_macro")

Finding = tuple[str, str, str]


def contradictions(
    validation: Summaries,
    test: Summaries,
    comparisons: pd.DataFrame | None = None,
    costs: pd.DataFrame | None = None,
) -> TableItem:
    """List the paper's contradictions, recomputed from its numbers, beside what was measured here.

    Args:
        validation: Model -> summary of the validation images.
        test: Model -> summary of the test images.
        comparisons: From `comparisons.compare_all`.
        costs: From `costs.cost_frame`.
    """
    ours = Measured(validation, test, comparisons, costs)
    rows = [check(ours) for check in CHECKS]
    frame = pd.DataFrame(rows, columns=["the paper says", "what contradicts it", "our data"])
    frame.insert(0, "no.", [str(number) for number in range(1, len(rows) + 1)])
    caption = (
        f"Where the paper contradicts itself or leaves open what its numbers need: {len(rows)} findings. The "
        "arithmetic is done anew for each report, from the numbers that the paper prints."
    )
    return TableItem("contradictions", caption, frame)


def _number(found: np.ndarray) -> str:
    return str(len(found)) if len(found) else "none"


def validation_size(ours: Measured) -> Finding:
    """Compare the split with the counts that the accuracies are made of."""
    images = sum(paper.IMAGES.values())
    sizes = arithmetic.split_sizes(images, paper.CLASS_RATIO)
    written = {}
    for where, n in ((paper.VALIDATION, paper.VALIDATION_IMAGES), (paper.TEST, paper.TEST_IMAGES)):
        right = ", ".join(str(round(value * n)) for value in paper.accuracies(where))
        fitting = arithmetic.denominators(paper.accuracies(where))
        others = " and ".join(str(fit) for fit in fitting) + (" fit" if len(fitting) > 1 else " fits")
        written[where] = f"{right} of {n} right (of all counts up to 200 only {others})"
    counts = [(model, ours.images("val", model), ours.images("test", model)) for model in paper.CLASSIFIERS]
    found = [f"{paper.NAMES[model]} validation {val or 0}, test {test or 0}" for model, val, test in counts if test]
    return (
        f"{images} images are split 11:1:3 into training, validation and test.",
        f"That is {sizes[0]}, {sizes[1]} and {sizes[2]} images. The test accuracies fit: {written[paper.TEST]}. The "
        f"validation accuracies do not: {written[paper.VALIDATION]}, so there were not {sizes[1]}.",
        or_missing(joined(*found), "a classifier"),
    )


def three_classes(ours: Measured) -> Finding:
    """Show that the validation rows are means over three classes."""
    shown = []
    for model, matrix in arithmetic.CONFUSIONS.items():
        scores = arithmetic.macro_scores(np.array([matrix]))
        shown.append(f"{matrix} gives {paper.NAMES[model]}'s " + ", ".join(f"{scores[name][0]:.4f}" for name in _MACRO))
    return (
        "The network ends in a binary classification head.",
        "Precision, recall and F1 of the validation are means over three classes. On 46 benign, 20 malignant and 13 "
        f"normal images (rows: truth) {'; '.join(shown)}, as printed.",
        or_missing(ours.said("val", "f1_macro", _R50, _ALEX, title="macro F1"), "a ResNet-50 or an AlexNet"),
    )


def impossible_row(ours: Measured) -> Finding:
    """Search every confusion matrix for DeepCardinal-50's validation row."""
    n = paper.VALIDATION_IMAGES
    row = {name: paper.value_of(paper.VALIDATION, _DEEP, name) for name in _MACRO}
    right = round(paper.value_of(paper.VALIDATION, _DEEP, "accuracy") * n)
    every = arithmetic.confusion_matrices(right, n - right)
    here = arithmetic.with_counts(every, arithmetic.VALIDATION_COUNTS)
    least = arithmetic.macro_scores(here)["recall_macro"].min()
    mean = arithmetic.harmonic_mean(row["precision_macro"], row["recall_macro"])
    own = arithmetic.harmonic_mean(*(ours.value("val", name, _DEEP) for name in _MACRO[:2]))
    harmonic = "" if math.isnan(own) else f"the harmonic mean of macro precision and recall would be {own:.3f}"
    return (
        f"DeepCardinal-50 on validation: {right} of {n} right, precision {row['precision_macro']}, recall "
        f"{row['recall_macro']}, F1 {row['f1_macro']}.",
        f"Of the {len(here)} confusion matrices with {n - right} errors on 46 benign, 20 malignant and 13 normal "
        f"images {_number(arithmetic.matching(here, row))} gives this row: their macro recall is {least:.4f} or more. "
        f"Of the {len(every):,} with any counts of three classes {_number(arithmetic.matching(every, row))} does. The "
        f"F1 is the harmonic mean of that precision and recall ({mean:.4f}), where those of ResNet-50 and AlexNet are "
        "means of the classes' F1: at least the F1 was computed in another way.",
        or_missing(
            joined(*(ours.said("val", name, _DEEP, title=title_of(name)) for name in _MACRO), harmonic),
            "a DeepCardinal-50",
        ),
    )


def per_class_numbers(ours: Measured) -> Finding:
    """Rule out what the abstract's numbers per class cannot be."""
    ruled_out: dict[str, dict[str, str]] = {paper.VALIDATION: {}, paper.TEST: {}}
    for where, found in ruled_out.items():
        for model in (_DEEP, _R50):
            printed = [paper.value_of(paper.ABSTRACT, model, name) for name in paper.IMAGES]
            reasons = arithmetic.impossible_readings(printed, paper.value_of(where, model, "accuracy"))
            found |= {reading: f"for {paper.NAMES[model]} {why}" for reading, why in reasons.items()}
    neither = [reading for reading in ruled_out[paper.TEST] if reading in ruled_out[paper.VALIDATION]]
    on_test: dict[str, list[str]] = {}
    for reading in neither:
        on_test.setdefault(ruled_out[paper.TEST][reading], []).append(reading)
    because = "; ".join(f"{', '.join(readings)}: {why}" for why, readings in on_test.items())
    own = [ours.said("test", f"auroc_{name}", _R50, _DEEP, title=title_of(f"auroc_{name}")) for name in paper.IMAGES]
    return (
        "Abstract, per class benign / malignant / normal: ResNet-50 0.78 / 0.67 / 0.73, DeepCardinal-50 0.76 / 0.63 / "
        "0.90, without saying of what.",
        f"The accuracies forbid {', '.join(neither)}, of the validation and of the test images. On test, {because}. "
        "Areas under the ROC curve are left (a guess).",
        or_missing(joined(*own), "a ResNet-50 or a DeepCardinal-50"),
    )


def validation_against_test(ours: Measured) -> Finding:
    """Hold the test results against the validation results, chance and the most frequent class."""
    majority = paper.IMAGES["benign"] / sum(paper.IMAGES.values())
    losses = {n.value for n in paper.NUMBERS if n.where == paper.TEST and n.metric == "log_loss"}
    above = sum(loss > math.log(3) for loss in losses)
    intervals = []
    for where, n in ((paper.VALIDATION, paper.VALIDATION_IMAGES), (paper.TEST, paper.TEST_IMAGES)):
        accuracy = paper.value_of(where, _DEEP, "accuracy")
        intervals.append(f"{estimate(accuracy, *wilson(round(accuracy * n), n), digits=4)}")
    own = [
        ours.said(part, name, *paper.CLASSIFIERS, title=f"{written} {title_of(name)}")
        for name in ("accuracy", "log_loss")
        for part, written in (("val", "validation"), ("test", "test"))
    ]
    return (
        "DeepCardinal-50 detects tumours accurately: validation accuracy 0.9747, test accuracy 0.5641.",
        f"Always answering benign scores {majority:.4f}. {above} of {len(losses)} test losses are above ln 3 = "
        f"{math.log(3):.4f}, worse than giving each class a third. Validation {intervals[0]} and test {intervals[1]} "
        "(Wilson's 95%, images independent) are too far apart for two random parts of one data set: something in the "
        "training and validation images is not in the test images. The label overlay would do it, and so would "
        "validation images that were trained on (guesses).",
        or_missing(joined(*own), "a classifier"),
    )


def surpassed(ours: Measured) -> Finding:
    """List what ResNet-50 is at least as good in as DeepCardinal-50, and ask whether 156 images can tell."""
    shown, both = [], 0
    for where, part in ((paper.VALIDATION, "validation"), (paper.TEST, "test")):
        for name in ("accuracy", *_MACRO, "log_loss"):
            numbers = [paper.published(where, model, name) for model in (_R50, _DEEP)]
            if numbers[0] is None or numbers[1] is None:
                continue
            both += 1
            first, second = numbers[0].value, numbers[1].value
            if (first <= second) if name == "log_loss" else (first >= second):
                shown.append(f"{part} {name.removesuffix('_macro').replace('log_', '')} {first} against {second}")
    n = paper.TEST_IMAGES
    right = [round(paper.value_of(paper.TEST, model, "accuracy") * n) for model in (_R50, _DEEP)]
    written = [f"{k} of {n}, {estimate(k / n, *wilson(k, n))}" for k in right]
    difference = right[0] - right[1]
    most = arithmetic.most_disagreements(difference, n)
    return (
        "DeepCardinal-50 surpasses ResNet-50.",
        f"ResNet-50 is equal or better in {len(shown)} of the {both} numbers that the tables give of both: "
        f"{', '.join(shown)}. Nor can the test set tell them apart: {written[0]}, against {written[1]} (Wilson's 95%, "
        f"images independent) overlap, and McNemar's test calls {difference} images significant (p < 0.05) only if at "
        f"most {most} were answered rightly by just one of the two, which is not given.",
        or_missing(
            ours.compared("test", "accuracy", _DEEP, _R50) or ours.said("test", "accuracy", _R50, _DEEP),
            "both networks on the same test images",
        ),
    )


def significantly_lower(ours: Measured) -> Finding:
    """Ask what a difference of one validation image says."""
    n = paper.VALIDATION_IMAGES
    right = {m: round(paper.value_of(paper.VALIDATION, m, "accuracy") * n) for m in (_DEEP, _R34, _R34P)}
    written = {m: f"{k} of {n}, {estimate(k / n, *wilson(k, n))}" for m, k in right.items()}
    p = min(mcnemar(1 + both, both) for both in range(n - right[_DEEP] + 1))
    compared = [ours.compared("val", "accuracy", _DEEP, model) for model in (_R34, _R34P)]
    said = ours.said("val", "accuracy", _DEEP, _R34, _R34P)
    return (
        "ResNet-34 is significantly lower than DeepCardinal-50 on validation.",
        f"DeepCardinal-50 {written[_DEEP]}; ResNet-34, with and without pre-training, {written[_R34]} (Wilson's 95%, "
        f"images independent). It is {right[_DEEP] - right[_R34]} image; McNemar's p is {p:.0f}, whichever images they "
        "are. That pre-training changes nothing is odd by itself.",
        or_missing(joined(*compared) or said, "DeepCardinal-50 and a ResNet-34"),
    )


def which_network(ours: Measured) -> Finding:
    """Hold the two descriptions of DeepCardinal-50 against each other."""
    counts = {model: ours.cost(model, "parameters") for model in (_DEEP, _R34)}
    found = [f"{paper.NAMES[model]} {count:,.0f} parameters" for model, count in counts.items() if count]
    return (
        "DeepCardinal-50 is a residual network with 32 groups of 4 channels (section 2.4.1).",
        'It is a "pre-trained ResNet34" (section 3.2.1). Those are two networks. Whether it was pre-trained is open.',
        or_missing(joined(*found), "the costs of DeepCardinal-50 and ResNet-34"),
    )


def segmentation_split(ours: Measured) -> Finding:
    """Ask by what images the epoch of U2NET-Lite was chosen."""
    images = sum(paper.IMAGES.values())
    train, test = arithmetic.split_sizes(images, paper.SEGMENTATION_RATIO)
    count = ours.images("test", "u2net_lite")
    found = f"U2NET-Lite: validation {ours.images('val', 'u2net_lite') or 0}, test {count} images" if count else ""
    return (
        "Segmentation: 12:3 into training and test.",
        f"{train} and {test} images, and no validation set: nothing but the test images was left to choose an epoch "
        "by.",
        or_missing(found, "a U2NET-Lite"),
    )


def segmentation_pixels(ours: Measured) -> Finding:
    """Derive what the segmentation numbers leave out."""
    printed = [paper.value_of(paper.SEGMENTATION_TEST, "u2net_lite", name) for name in ("accuracy", "recall", "iou")]
    pooled = arithmetic.pooled_pixels(*printed)
    measured = [ours.value("test", name, "u2net_lite") for name in ("accuracy", "recall", "iou_pooled")]
    lesion = ""
    if all(0 < value < 1 for value in measured):
        lesion = f"by the same arithmetic {arithmetic.pooled_pixels(*measured).lesion:.1%} of the pixels are lesion"
    names = ("iou_pooled", "iou_image", "precision")
    own = [ours.said("test", name, "u2net_lite", title=title_of(name)) for name in names]
    return (
        f"U2NET-Lite segments with an accuracy of {printed[0]}, recall {printed[1]}, IoU {printed[2]}.",
        f"If they are pooled over pixels, {pooled.lesion:.1%} of the pixels are lesion, so that an answer without any "
        f"lesion has accuracy {1 - pooled.lesion:.3f}; precision is {pooled.precision:.3f}, Dice {pooled.dice:.3f}, "
        f"specificity {pooled.specificity:.3f}. Whether they are pooled is not said.",
        or_missing(joined(lesion, *own), "a U2NET-Lite"),
    )


def independent_test(ours: Measured) -> Finding:
    """Say where the independent test set comes from."""
    images = sum(paper.IMAGES.values())
    return (
        "An independent test set.",
        f"{paper.TEST_IMAGES} images are {paper.CLASS_RATIO[2]}/{sum(paper.CLASS_RATIO)} of the same {images}: another "
        "part of the same data set, whose near-duplicate images a random split puts on both sides.",
        "not measured here: needs images of another source",
    )


def unstated(ours: Measured) -> Finding:
    """List what a reproduction has to choose itself."""
    sizes = [] if ours.costs is None or ours.costs.empty else sorted(set(ours.costs["size"]))
    return (
        "Enough to train the networks again.",
        "Never stated: the input size, whether DeepCardinal-50 was pre-trained, which epoch is kept, the seeds, any "
        "interval, how often a network was trained.",
        or_missing(joined(*(f"input {size} x {size} pixels" for size in sizes)), "the costs"),
    )


def real_time(ours: Measured) -> Finding:
    """Judge the claim about U2NET-Lite's speed."""
    weights, full = paper.WEIGHTS_MB["u2net_lite"], paper.WEIGHTS_MB["u2net"]
    macs = {model: ours.cost(model, "macs") for model in ("u2net_lite", "u2net")}
    counted = [f"{paper.NAMES[model]} {count / 1e9:.1f} x 10^9 MACs" for model, count in macs.items() if count]
    if all(macs.values()):
        counted.append(f"{(macs['u2net'] or 0) / (macs['u2net_lite'] or 1):.1f} times fewer")
    latency = ours.cost("u2net_lite", "latency_ms")
    speed = f"{latency:.1f} ms per image" if latency else ""
    if latency:
        speed += f", {'within' if latency <= REAL_TIME_MS else 'above'} the {REAL_TIME_MS:.0f} ms of 25 images a second"
    return (
        f"U2NET-Lite, {weights} MB against U2NET's {full} MB, works in real time on limited hardware.",
        f"No time is given. {full / weights:.1f} times fewer bytes need not be as many times less arithmetic.",
        or_missing(joined(*counted, speed), "the costs of U2NET-Lite"),
    )


CHECKS: tuple[Callable[[Measured], Finding], ...] = (
    validation_against_test,
    impossible_row,
    validation_size,
    three_classes,
    per_class_numbers,
    surpassed,
    significantly_lower,
    which_network,
    independent_test,
    segmentation_split,
    segmentation_pixels,
    unstated,
    real_time,
)
