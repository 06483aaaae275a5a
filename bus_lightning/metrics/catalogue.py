"""Every metric once: its key in metrics.json, its title, direction and unit, its formula, and where it is shown.

To add a metric, write its function in `classification.py` or `segmentation.py` and add one entry here. Tables, figures,
the dashboard and the model card read the rest from this list.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bus_lightning.core.class_names import BENIGN, MALIGNANT
from bus_lightning.metrics import classification as of_classes
from bus_lightning.metrics import segmentation as of_pixels
from bus_lightning.metrics.columns import LESIONS, MILLIMETRES, Floats

# Where metrics are shown: logged in each epoch, the table after a grid, the report's tables and comparisons of
# conditions, the dashboard, the model card, the report's tables in millimetres and of single lesions.
EPOCH, RUNS, REPORT, COMPARED, DASHBOARD, CARD = "epoch", "runs", "report", "compared", "dashboard", "card"
IN_MILLIMETRES, BY_LESION = "millimetres", "by lesion"
_NO_LESION, _LESION = "no image without a lesion", "no image with a lesion"
_NONE, _BACKGROUND = "no images", "no image with background"
_LESION_MM = "no lesion with a known pixel size"
_CLASS = "no image of a class"
_SEPARATED = "the probabilities of malignant are all the same, or separate it from the rest"


@dataclass(frozen=True)
class Metric:
    """A metric with everything that other modules need to know about it.

    Args:
        key: Name in metrics.json; a metric of each class is `<key>_<class>`, and its mean `<key>_macro`.
        title: Words for a table or a figure.
        compute: Function of `Classified` or `Segmented`, (D,) or (D, K); its docstring states the formula.
        undefined: When it is undefined.
        better: higher, lower, or an empty string if neither is better.
        unit: fraction, pixels, nats, per cent of the diagonal, mm, mm², lesions, lesions per image, or the ideal
            value.
        shown: Places where it is shown.
        per_class: Whether it is computed for each class against the rest.
        needs: Classes without which it is left out.
        leads: Whether it comes before the other metrics of its task.
        columns: Columns of the cases without which it is left out.
    """

    key: str
    title: str
    compute: Callable[[Any], Floats]
    undefined: str
    better: str = "higher"
    unit: str = "fraction"
    shown: tuple[str, ...] = ()
    per_class: bool = False
    needs: tuple[str, ...] = ()
    leads: bool = False
    columns: tuple[str, ...] = ()


def _per_class(key: str, title: str, compute: Callable[[Any], Floats], *shown: str) -> Metric:
    """Describe a metric of each class; `shown` are the places of its macro mean."""
    return Metric(key, title, compute, _CLASS, shown=shown, per_class=True)


def _in_mm(
    key: str,
    title: str,
    compute: Callable[[Any], Floats],
    better: str = "",
    unit: str = "mm",
    shown: tuple[str, ...] = (),
) -> Metric:
    """Describe a metric over the lesions whose pixel size is known."""
    return Metric(key, title, compute, _LESION_MM, better, unit, shown, columns=MILLIMETRES)


CLASSIFICATION = (
    Metric("accuracy", "accuracy", of_classes.accuracy, _NONE,
           shown=(EPOCH, RUNS, REPORT, COMPARED, DASHBOARD, CARD)),
    Metric("balanced_accuracy", "balanced accuracy", of_classes.balanced_accuracy, _CLASS, shown=(EPOCH, REPORT, CARD)),
    _per_class("precision", "precision", of_classes.precision, EPOCH),
    _per_class("recall", "recall", of_classes.recall, EPOCH),
    _per_class("f1", "F1", of_classes.f1, EPOCH, RUNS, REPORT, DASHBOARD),
    _per_class("specificity", "specificity", of_classes.specificity),
    _per_class("npv", "NPV", of_classes.npv),
    _per_class("auroc", "AUC", of_classes.area, EPOCH, RUNS, REPORT, COMPARED, DASHBOARD, CARD),
    _per_class("average_precision", "average precision", of_classes.average_precision, REPORT),
    Metric("log_loss", "log-loss", of_classes.log_loss, _NONE, "lower", "nats", (REPORT,)),
    Metric("brier", "Brier score", of_classes.brier, _NONE, "lower", "in [0, 2]", (REPORT,)),
    Metric("calibration_error", "calibration error", of_classes.calibration_error, _NONE, "lower",
           shown=(REPORT,)),
    Metric("calibration_error_adaptive", "calibration error, equal bins", of_classes.calibration_error_adaptive,
           _NONE, "lower"),
    Metric("aurc", "area under the risk-coverage curve", of_classes.aurc, _NONE, "lower"),
    Metric("excess_aurc", "excess area under the risk-coverage curve", of_classes.excess_aurc, _NONE, "lower"),
    Metric("malignant_calibration_slope", "calibration slope of malignant", of_classes.malignant_slope, _SEPARATED, "",
           "1 is ideal", needs=(MALIGNANT,)),
    Metric("malignant_calibration_intercept", "calibration intercept of malignant", of_classes.malignant_intercept,
           _CLASS, "", "logits, 0 is ideal", needs=(MALIGNANT,)),
    *(
        Metric(f"malignant_vs_benign_{name}", f"{title}, malignant against benign", compute, _CLASS, shown=shown,
               needs=(BENIGN, MALIGNANT))
        for name, title, compute, shown in (
            ("accuracy", "accuracy", of_classes.lesion_accuracy, ()),
            ("sensitivity", "sensitivity", of_classes.lesion_sensitivity, ()),
            ("specificity", "specificity", of_classes.lesion_specificity, ()),
            ("auroc", "AUC", of_classes.lesion_auroc, (REPORT,)),
        )
    ),
)  # fmt: skip
# For a joint network, `accuracy` is that of the classes; that of the pixels has this key.
POOLED_ACCURACY = "accuracy_pooled"
SEGMENTATION = (
    Metric("tp", "true positive pixels", lambda of: of.pooled("tp"), "", "higher", "pixels", (EPOCH,)),
    Metric("fp", "false positive pixels", lambda of: of.pooled("fp"), "", "lower", "pixels", (EPOCH,)),
    Metric("fn", "false negative pixels", lambda of: of.pooled("fn"), "", "lower", "pixels", (EPOCH,)),
    Metric("tn", "true negative pixels", lambda of: of.pooled("tn"), "", "higher", "pixels", (EPOCH,)),
    Metric("accuracy", "accuracy", of_pixels.accuracy_pooled, _NONE, shown=(EPOCH,)),
    Metric("precision", "precision, pooled", of_pixels.precision_pooled, "no lesion was predicted", shown=(EPOCH,)),
    Metric("recall", "recall, pooled", of_pixels.recall_pooled, _LESION, shown=(EPOCH,)),
    Metric("specificity", "specificity, pooled", of_pixels.specificity_pooled, _BACKGROUND),
    Metric("iou_pooled", "IoU, pooled", of_pixels.iou_pooled, _LESION, shown=(EPOCH, REPORT, COMPARED)),
    Metric("dice_pooled", "Dice, pooled", of_pixels.dice_pooled, _LESION, shown=(EPOCH, REPORT)),
    Metric("accuracy_image", "accuracy, mean of images", of_pixels.accuracy_image, _NONE),
    Metric("specificity_image", "specificity, mean of images", of_pixels.specificity_image, _BACKGROUND),
    Metric("precision_image", "precision, mean of lesions", of_pixels.precision_image, _LESION),
    Metric("recall_image", "recall, mean of lesions", of_pixels.recall_image, _LESION),
    Metric("iou_image", "IoU, mean of lesions", of_pixels.iou_image, _LESION,
           shown=(EPOCH, RUNS, REPORT, DASHBOARD, CARD), leads=True),
    Metric("dice_image", "Dice, mean of lesions", of_pixels.dice_image, _LESION,
           shown=(EPOCH, RUNS, REPORT, COMPARED, DASHBOARD, CARD), leads=True),
    Metric("hd95", "HD95, % of the diagonal", lambda of: of.measured("hd95"), _LESION, "lower",
           "per cent of the diagonal", (REPORT,), columns=("hd95",)),
    Metric("surface_dice", "surface Dice", lambda of: of.measured("surface_dice"), _LESION, shown=(REPORT,),
           columns=("surface_dice",)),
    Metric("missed_rate", "missed lesions", of_pixels.missed_rate, _LESION, "lower", shown=(REPORT, CARD)),
    Metric("false_alarm_rate", "false positives on normal images", of_pixels.false_alarm_rate, _NO_LESION, "lower",
           shown=(EPOCH, REPORT, CARD)),
    Metric("false_alarm_area", "area of false positives, share of the image", of_pixels.false_alarm_area, _NO_LESION,
           "lower", shown=(REPORT,)),
    Metric("lesion_sensitivity", "lesions found (IoU at least 0.1)", of_pixels.lesion_sensitivity, _LESION,
           shown=(BY_LESION,), columns=LESIONS),
    Metric("lesion_sensitivity_well", "lesions found (IoU at least 0.5)", of_pixels.lesion_sensitivity_well, _LESION,
           shown=(BY_LESION,), columns=LESIONS),
    Metric("false_lesions_per_image", "false lesions per image", of_pixels.false_lesions_per_image, _NONE,
           "lower", "lesions per image", (BY_LESION,), columns=LESIONS),
    _in_mm("lesions_in_mm", "lesions with a known pixel size", of_pixels.lesions_in_mm, unit="lesions"),
    _in_mm("area_mm2", "area of the lesion, mm²", lambda of: of.measured_in_mm("area_mm2"), unit="mm²"),
    _in_mm("predicted_area_mm2", "predicted area, mm²", lambda of: of.measured_in_mm("predicted_area_mm2"), unit="mm²"),
    _in_mm("long_axis_mm", "long axis of the lesion, mm", lambda of: of.measured_in_mm("long_axis_mm"),
           shown=(IN_MILLIMETRES,)),
    _in_mm("predicted_long_axis_mm", "predicted long axis, mm", lambda of: of.measured_in_mm("predicted_long_axis_mm"),
           shown=(IN_MILLIMETRES,)),
    _in_mm("long_axis_error_mm", "absolute error of the long axis, mm", of_pixels.long_axis_error_mm, "lower",
           shown=(IN_MILLIMETRES,)),
    _in_mm("hd95_mm", "HD95, mm", lambda of: of.measured_in_mm("hd95_mm"), "lower", shown=(IN_MILLIMETRES,)),
    _in_mm("surface_dice_1mm", "surface Dice within 1 mm", lambda of: of.measured_in_mm("surface_dice_1mm"), "higher",
           "fraction", (IN_MILLIMETRES,)),
)  # fmt: skip
BY_TASK = {"classification": CLASSIFICATION, "segmentation": SEGMENTATION}


def shown_in(place: str, task: str | None = None) -> tuple[str, ...]:
    """Return the keys of the metrics that are shown in a place, those that lead first.

    Args:
        place: One of EPOCH, RUNS, REPORT, COMPARED, DASHBOARD, CARD, IN_MILLIMETRES and BY_LESION.
        task: classification or segmentation; None takes both, classification first.
    """
    keys = []
    for name, metrics in BY_TASK.items():
        renamed = {"accuracy": POOLED_ACCURACY} if task is None and name == "segmentation" else {}
        for metric in sorted(metrics, key=lambda metric: not metric.leads):
            if task in (None, name) and place in metric.shown:
                keys.append(f"{metric.key}_macro" if metric.per_class else renamed.get(metric.key, metric.key))
    return tuple(keys)


def _titles() -> dict[str, str]:
    titles = {metric.key: metric.title for metric in SEGMENTATION} | {POOLED_ACCURACY: "accuracy, pooled"}
    for metric in CLASSIFICATION:
        titles |= {f"{metric.key}_macro": f"macro {metric.title}"} if metric.per_class else {metric.key: metric.title}
    return titles


TITLES = _titles()
LOWER_IS_BETTER = frozenset(
    metric.key for metrics in BY_TASK.values() for metric in metrics if metric.better == "lower"
)


def title_of(key: str) -> str:
    """Return the title of a metric, for example "AUC of malignant" for `auroc_malignant`.

    Args:
        key: A key in metrics.json; an unknown key is returned unchanged.
    """
    if key in TITLES:
        return TITLES[key]
    for metric in CLASSIFICATION:
        if metric.per_class and key.startswith(f"{metric.key}_"):
            return f"{metric.title} of {key.removeprefix(f'{metric.key}_')}"
    return key


def heading_of(key: str) -> str:
    """Return the title of a metric with a capital first letter."""
    title = title_of(key)
    return title[0].upper() + title[1:]
