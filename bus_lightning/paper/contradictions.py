"""Where the paper contradicts itself: what it says, what contradicts it, and what our data say."""

import math
from collections.abc import Callable
from statistics import harmonic_mean

import numpy as np
import pandas as pd

from bus_lightning.core.class_names import BENIGN
from bus_lightning.paper import arithmetic
from bus_lightning.paper import numbers as paper
from bus_lightning.paper.measured import Measured, joined, or_missing
from bus_lightning.report.estimates import estimate
from bus_lightning.report.sections import TableItem
from bus_lightning.statistics.intervals import wilson
from bus_lightning.statistics.paired_tests import mcnemar

REAL_TIME_MS = 40.0  # of 25 images a second
_DEEP, _R50, _R34, _R34P, _ALEX = "deepcardinal50", "resnet50", "resnet34", "resnet34_pretrained", "alexnet"
_MACRO = ("precision_macro", "recall_macro", "f1_macro")

Finding = tuple[str, str, str]
"""What the paper says, what contradicts it, what our data say."""


def contradictions(results: Measured) -> TableItem:
    """List the paper's contradictions, recomputed from its numbers, next to our results."""
    frame = pd.DataFrame([check(results) for check in CHECKS])
    frame.columns = ["the paper says", "what contradicts it", "our data"]
    frame.insert(0, "no.", [str(number) for number in range(1, len(frame) + 1)])
    caption = (
        f"Where the paper contradicts itself or omits what its numbers need: {len(frame)} findings. Each report "
        "computes them again from the numbers that the paper prints."
    )
    return TableItem("contradictions", caption, frame)


def _or_none(matrices: np.ndarray) -> str:
    return str(len(matrices)) if len(matrices) else "none"


def _accuracy(where: str, model: str) -> str:
    """Write an accuracy of the paper as a count with Wilson's interval."""
    correct, n = paper.correct_images(where, model)
    return f"{correct} of {n}, {estimate(correct / n, *wilson(correct, n))}"


def validation_size(results: Measured) -> Finding:
    """Compare the split with the counts that the accuracies are made of."""
    images = sum(paper.IMAGES.values())
    sizes = arithmetic.split_sizes(images, paper.CLASS_RATIO)
    counts = {}
    for where, n in ((paper.VALIDATION, paper.VALIDATION_IMAGES), (paper.TEST, paper.TEST_IMAGES)):
        correct = ", ".join(str(round(value * n)) for value in paper.accuracies(where))
        fitting = arithmetic.denominators(paper.accuracies(where))
        others = " and ".join(map(str, fitting)) + (" fit" if len(fitting) > 1 else " fits")
        counts[where] = f"{correct} of {n} correct (of all counts up to 200 only {others})"
    own = [
        f"{name} validation {results.images('val', model) or 0}, test {test}"
        for model, name in paper.CLASSIFIERS.items()
        if (test := results.images("test", model))
    ]
    return (
        f"{images} images are split 11:1:3 into training, validation and test.",
        f"That is {sizes[0]}, {sizes[1]} and {sizes[2]} images. The test accuracies fit: {counts[paper.TEST]}. The "
        f"validation accuracies do not: {counts[paper.VALIDATION]}, so there were not {sizes[1]}.",
        or_missing(joined(*own), "a classifier"),
    )


def three_classes(results: Measured) -> Finding:
    """Show that the validation rows are means over three classes."""
    rows = []
    for model, matrix in arithmetic.CONFUSIONS.items():
        scores = arithmetic.macro_scores(np.array([matrix]))
        rows.append(f"{matrix} gives {paper.NAMES[model]}'s " + ", ".join(f"{scores[name][0]:.4f}" for name in _MACRO))
    return (
        "The network ends in a binary classification head.",
        "Precision, recall and F1 of the validation are means over three classes. On 46 benign, 20 malignant and 13 "
        f"normal images (rows: ground truth) {'; '.join(rows)}, as printed.",
        or_missing(results.text("val", "f1_macro", _R50, _ALEX), "a ResNet-50 or an AlexNet"),
    )


def impossible_row(results: Measured) -> Finding:
    """Search every confusion matrix for DeepCardinal-50's validation row."""
    row = {name: paper.value_of(paper.VALIDATION, _DEEP, name) for name in _MACRO}
    correct, n = paper.correct_images(paper.VALIDATION, _DEEP)
    every = arithmetic.confusion_matrices(correct, n - correct)
    same_counts = arithmetic.with_counts(every, arithmetic.VALIDATION_COUNTS)
    least = arithmetic.macro_scores(same_counts)["recall_macro"].min()
    mean = harmonic_mean((row["precision_macro"], row["recall_macro"]))
    own = harmonic_mean([results.value("val", name, _DEEP) for name in _MACRO[:2]])
    harmonic = "" if math.isnan(own) else f"the harmonic mean of macro precision and recall would be {own:.3f}"
    return (
        f"DeepCardinal-50 on validation: {correct} of {n} correct, precision {row['precision_macro']}, recall "
        f"{row['recall_macro']}, F1 {row['f1_macro']}.",
        f"Of the {len(same_counts)} confusion matrices with {n - correct} errors on 46 benign, 20 malignant and 13 "
        f"normal images {_or_none(arithmetic.matching(same_counts, row))} gives this row: their macro recall is "
        f"{least:.4f} or more. Of the {len(every):,} with any counts of three classes "
        f"{_or_none(arithmetic.matching(every, row))} does. The F1 is the harmonic mean of that precision and recall "
        f"({mean:.4f}), but the F1 of ResNet-50 and AlexNet are means of the classes' F1. So at least the F1 was "
        "computed in another way.",
        or_missing(joined(*(results.text("val", name, _DEEP) for name in _MACRO), harmonic), "a DeepCardinal-50"),
    )


def per_class_numbers(results: Measured) -> Finding:
    """Rule out what the abstract's numbers per class cannot be."""
    reasons: dict[str, dict[str, str]] = {paper.VALIDATION: {}, paper.TEST: {}}
    for where in reasons:
        for model in (_DEEP, _R50):
            printed = [paper.value_of(paper.ABSTRACT, model, name) for name in paper.IMAGES]
            impossible = arithmetic.impossible_readings(printed, paper.value_of(where, model, "accuracy"))
            reasons[where] |= {key: f"for {paper.NAMES[model]} {reason}" for key, reason in impossible.items()}
    neither = [reading for reading in reasons[paper.TEST] if reading in reasons[paper.VALIDATION]]
    readings_by_reason: dict[str, list[str]] = {}
    for reading in neither:
        readings_by_reason.setdefault(reasons[paper.TEST][reading], []).append(reading)
    on_test = "; ".join(f"{', '.join(readings)}: {reason}" for reason, readings in readings_by_reason.items())
    own = [results.text("test", f"auroc_{name}", _R50, _DEEP) for name in paper.IMAGES]
    return (
        "Abstract, per class benign / malignant / normal: ResNet-50 0.78 / 0.67 / 0.73, DeepCardinal-50 0.76 / 0.63 / "
        "0.90, without saying what they are.",
        f"The accuracies rule out {', '.join(neither)}, for validation and for test images. On test, {on_test}. "
        "Areas under the ROC curve remain (a guess).",
        or_missing(joined(*own), "a ResNet-50 or a DeepCardinal-50"),
    )


def validation_against_test(results: Measured) -> Finding:
    """Compare the test results with the validation results, chance and the most frequent class."""
    majority = paper.IMAGES[BENIGN] / sum(paper.IMAGES.values())
    losses = {n.value for n in paper.NUMBERS if n.where == paper.TEST and n.metric == "log_loss"}
    above = sum(loss > math.log(3) for loss in losses)
    intervals = [
        estimate(paper.value_of(where, _DEEP, "accuracy"), *wilson(*paper.correct_images(where, _DEEP)), digits=4)
        for where in (paper.VALIDATION, paper.TEST)
    ]
    own = [
        results.text(part, name, *paper.CLASSIFIERS, prefix=prefix)
        for name in ("accuracy", "log_loss")
        for part, prefix in (("val", "validation "), ("test", "test "))
    ]
    return (
        "DeepCardinal-50 detects tumours accurately: validation accuracy 0.9747, test accuracy 0.5641.",
        f"Always predicting benign scores {majority:.4f}. {above} of {len(losses)} test losses are above ln 3 = "
        f"{math.log(3):.4f}, worse than a probability of one third for each class. Validation {intervals[0]} and test "
        f"{intervals[1]} (Wilson's 95%, images independent) are too far apart for two random parts of one data set: "
        "something in the training and validation images is not in the test images. The label overlay would have this "
        "effect, and so would validation images that are also training images (guesses).",
        or_missing(joined(*own), "a classifier"),
    )


def surpassed(results: Measured) -> Finding:
    """List where ResNet-50 is at least as good as DeepCardinal-50, and ask whether 156 images can show a difference."""
    both, at_least_as_good = 0, []
    for where, part in ((paper.VALIDATION, "validation"), (paper.TEST, "test")):
        for name in ("accuracy", *_MACRO, "log_loss"):
            first, second = (paper.published(where, model, name) for model in (_R50, _DEEP))
            if first is None or second is None:
                continue
            both += 1
            if (first.value <= second.value) if name == "log_loss" else (first.value >= second.value):
                title = name.removesuffix("_macro").replace("log_", "")
                at_least_as_good.append(f"{part} {title} {first.value} against {second.value}")
    texts = [_accuracy(paper.TEST, model) for model in (_R50, _DEEP)]
    (resnet, n), (deep, _) = (paper.correct_images(paper.TEST, model) for model in (_R50, _DEEP))
    most = arithmetic.most_disagreements(resnet - deep, n)
    return (
        "DeepCardinal-50 surpasses ResNet-50.",
        f"ResNet-50 is equal or better in {len(at_least_as_good)} of the {both} numbers that the tables give of both: "
        f"{', '.join(at_least_as_good)}. The test set cannot distinguish them either: {texts[0]}, against {texts[1]} "
        f"(Wilson's 95%, images independent) overlap, and McNemar's test calls {resnet - deep} images significant "
        f"(p < 0.05) only if at most {most} were classified correctly by just one of the two, which is not given.",
        or_missing(
            results.compared("test", "accuracy", _DEEP, _R50) or results.text("test", "accuracy", _R50, _DEEP),
            "both networks on the same test images",
        ),
    )


def significantly_lower(results: Measured) -> Finding:
    """Ask what a difference of one validation image means."""
    correct = {model: paper.correct_images(paper.VALIDATION, model)[0] for model in (_DEEP, _R34)}
    wrong = paper.VALIDATION_IMAGES - correct[_DEEP]
    p = min(mcnemar(1 + both, both) for both in range(wrong + 1))
    compared = [results.compared("val", "accuracy", _DEEP, model) for model in (_R34, _R34P)]
    return (
        "ResNet-34 is significantly lower than DeepCardinal-50 on validation.",
        f"DeepCardinal-50 {_accuracy(paper.VALIDATION, _DEEP)}; ResNet-34, with and without pre-training, "
        f"{_accuracy(paper.VALIDATION, _R34)} (Wilson's 95%, images independent). The difference is "
        f"{correct[_DEEP] - correct[_R34]} image; McNemar's p is {p:.0f}, whichever images they are. That pre-training "
        "changes nothing is odd by itself.",
        or_missing(
            joined(*compared) or results.text("val", "accuracy", _DEEP, _R34, _R34P), "DeepCardinal-50 and a ResNet-34"
        ),
    )


def which_network(results: Measured) -> Finding:
    """Compare the two descriptions of DeepCardinal-50."""
    counts = {model: results.cost(model, "parameters") for model in (_DEEP, _R34)}
    own = [f"{paper.NAMES[model]} {count:,.0f} parameters" for model, count in counts.items() if count]
    return (
        "DeepCardinal-50 is a residual network with 32 groups of 4 channels (section 2.4.1).",
        'It is a "pre-trained ResNet34" (section 3.2.1). Those are two networks. Whether it was pre-trained is open.',
        or_missing(joined(*own), "the costs of DeepCardinal-50 and ResNet-34"),
    )


def segmentation_split(results: Measured) -> Finding:
    """Ask which images chose the epoch of U2NET-Lite."""
    train, test = arithmetic.split_sizes(sum(paper.IMAGES.values()), paper.SEGMENTATION_RATIO)
    validation, images = (results.images(part, "u2net_lite") for part in ("val", "test"))
    return (
        "Segmentation: 12:3 into training and test.",
        f"{train} and {test} images, and no validation set: only the test images remain to choose an epoch.",
        or_missing(f"U2NET-Lite: validation {validation or 0}, test {images} images" if images else "", "a U2NET-Lite"),
    )


def segmentation_pixels(results: Measured) -> Finding:
    """Derive what the segmentation numbers leave out."""
    printed = [paper.value_of(paper.SEGMENTATION_TEST, "u2net_lite", name) for name in ("accuracy", "recall", "iou")]
    pooled = arithmetic.pooled_pixels(*printed)
    measured = [results.value("test", name, "u2net_lite") for name in ("accuracy", "recall", "iou_pooled")]
    lesion = ""
    if all(0 < value < 1 for value in measured):
        lesion = f"by the same arithmetic {arithmetic.pooled_pixels(*measured).lesion:.1%} of the pixels are lesion"
    own = [results.text("test", name, "u2net_lite") for name in ("iou_pooled", "iou_image", "precision")]
    return (
        f"U2NET-Lite segments with an accuracy of {printed[0]}, recall {printed[1]}, IoU {printed[2]}.",
        f"If they are pooled over pixels, {pooled.lesion:.1%} of the pixels are lesion, and a prediction without any "
        f"lesion has accuracy {1 - pooled.lesion:.3f}; precision is {pooled.precision:.3f}, Dice {pooled.dice:.3f}, "
        f"specificity {pooled.specificity:.3f}. The paper does not say whether they are pooled.",
        or_missing(joined(lesion, *own), "a U2NET-Lite"),
    )


def independent_test(results: Measured) -> Finding:
    """Say where the independent test set comes from."""
    return (
        "An independent test set.",
        f"{paper.TEST_IMAGES} images are {paper.CLASS_RATIO[2]}/{sum(paper.CLASS_RATIO)} of the same "
        f"{sum(paper.IMAGES.values())}: another part of the same data set, whose near-duplicate images a random split "
        "puts on both sides.",
        "not measured here: needs images of another source",
    )


def unstated(results: Measured) -> Finding:
    """List what a reproduction has to choose itself."""
    every_size = [row["size"] for row in results.costs.to_dict("records")]  # none of an ensemble of several sizes
    sizes = sorted({int(size) for size in every_size if pd.notna(size)})
    return (
        "Enough to train the networks again.",
        "Never stated: the input size, whether DeepCardinal-50 was pre-trained, which epoch is kept, the seeds, any "
        "interval, how often a network was trained.",
        or_missing(joined(*(f"input {size} x {size} pixels" for size in sizes)), "the costs"),
    )


def real_time(results: Measured) -> Finding:
    """Check the claim about U2NET-Lite's speed."""
    weights, full = paper.WEIGHTS_MB["u2net_lite"], paper.WEIGHTS_MB["u2net"]
    macs = {model: results.cost(model, "macs") for model in ("u2net_lite", "u2net")}
    counted = [f"{paper.NAMES[model]} {count / 1e9:.1f} x 10^9 MACs" for model, count in macs.items() if count]
    if all(macs.values()):
        counted.append(f"{(macs['u2net'] or 0) / (macs['u2net_lite'] or 1):.1f} times fewer")
    speed = ""
    if latency := results.cost("u2net_lite", "latency_ms"):
        verdict = "within" if latency <= REAL_TIME_MS else "above"
        speed = f"{latency:.1f} ms per image, {verdict} the {REAL_TIME_MS:.0f} ms of 25 images a second"
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
