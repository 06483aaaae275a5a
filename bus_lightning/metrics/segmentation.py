"""Metrics of masks from counts of pixels, per image at its own resolution, for all draws of a bootstrap at once.

Each function takes `Segmented` and returns one value per draw, (D,), NaN where undefined. "Pooled" counts the pixels of
all images together; a mean over images gives each image the same weight.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bus_lightning.metrics.columns import COUNTS, Bools, Floats, ratio


@dataclass(frozen=True, eq=False)
class Segmented:
    """Counts of pixels of n images, and how often each image counts in each of D draws.

    Args:
        tp: (n,) float64, pixels of the lesion that were predicted; `fp`, `fn` and `tn` likewise.
        cases: Perhaps with columns `hd95` and `surface_dice`, those of `LESIONS`, and those in millimetres.
        weights: (D, n) float.
    """

    tp: Floats
    fp: Floats
    fn: Floats
    tn: Floats
    cases: pd.DataFrame
    weights: Floats

    @property
    def has_lesion(self) -> Bools:
        """Whether each image has a lesion, (n,)."""
        return self.tp + self.fn > 0

    def pooled(self, count: str) -> Floats:
        """Return the pixels of all images together, (D,); `count` is tp, fp, fn or tn."""
        return np.asarray(self.weights @ getattr(self, count))

    def mean(self, values: Floats, among: Bools) -> Floats:
        """Average values, (n,), over some of the images; NaN counts 0."""
        return ratio(self.weights[:, among] @ np.nan_to_num(values[among]), self.weights[:, among].sum(axis=1))

    def measured(self, column: str) -> Floats:
        """Average a column over the images with a lesion; a missing value leaves the mean undefined."""
        lesion = self.has_lesion
        values = self.cases[column].to_numpy("float64")[lesion]
        return ratio(self.weights[:, lesion] @ values, self.weights[:, lesion].sum(axis=1))

    def in_total(self, column: str, whole: str) -> Floats:
        """Divide the sum of a column by that of another, each over all images."""
        part, total = (self.weights @ self.cases[name].to_numpy("float64") for name in (column, whole))
        return ratio(part, total)

    @property
    def is_in_mm(self) -> Bools:
        """Whether each image has a lesion and a known pixel size, (n,)."""
        return self.has_lesion & self.cases["area_mm2"].notna().to_numpy()

    def measured_in_mm(self, column: str) -> Floats:
        """Average a column over the lesions whose pixel size is known."""
        return self.mean(self.cases[column].to_numpy("float64"), self.is_in_mm)


def counted(cases: pd.DataFrame, weights: Floats) -> Segmented:
    """Take the counts of pixels out of cases.

    Args:
        cases: Columns `tp`, `fp`, `fn`, `tn`, and perhaps `hd95` and `surface_dice`.
        weights: (D, n) float.
    """
    tp, fp, fn, tn = (cases[name].to_numpy("float64") for name in COUNTS)
    return Segmented(tp, fp, fn, tn, cases, weights)


def accuracy_pooled(of: Segmented) -> Floats:
    """Compute (TP + TN) / all pixels."""
    tp, fp, fn, tn = map(of.pooled, COUNTS)
    return ratio(tp + tn, tp + fp + fn + tn)


def precision_pooled(of: Segmented) -> Floats:
    """Compute TP / (TP + FP) of the pixels."""
    return ratio(of.pooled("tp"), of.pooled("tp") + of.pooled("fp"))


def recall_pooled(of: Segmented) -> Floats:
    """Compute TP / (TP + FN) of the pixels."""
    return ratio(of.pooled("tp"), of.pooled("tp") + of.pooled("fn"))


def specificity_pooled(of: Segmented) -> Floats:
    """Compute TN / (TN + FP) of the pixels."""
    return ratio(of.pooled("tn"), of.pooled("tn") + of.pooled("fp"))


def iou_pooled(of: Segmented) -> Floats:
    """Compute TP / (TP + FP + FN) of the pixels."""
    return ratio(of.pooled("tp"), of.pooled("tp") + of.pooled("fp") + of.pooled("fn"))


def dice_pooled(of: Segmented) -> Floats:
    """Compute 2 TP / (2 TP + FP + FN) of the pixels."""
    return ratio(2 * of.pooled("tp"), 2 * of.pooled("tp") + of.pooled("fp") + of.pooled("fn"))


def accuracy_image(of: Segmented) -> Floats:
    """Average the accuracy of the pixels over all images."""
    return of.mean(ratio(of.tp + of.tn, of.tp + of.fp + of.fn + of.tn), np.ones(len(of.tp), bool))


def specificity_image(of: Segmented) -> Floats:
    """Average the specificity of the pixels over the images with background."""
    return of.mean(ratio(of.tn, of.tn + of.fp), of.tn + of.fp > 0)


def precision_image(of: Segmented) -> Floats:
    """Average the precision over the images with a lesion; an empty prediction counts 0."""
    return of.mean(ratio(of.tp, of.tp + of.fp), of.has_lesion)


def recall_image(of: Segmented) -> Floats:
    """Average the recall over the images with a lesion."""
    return of.mean(ratio(of.tp, of.tp + of.fn), of.has_lesion)


def iou_image(of: Segmented) -> Floats:
    """Average the IoU over the images with a lesion."""
    return of.mean(ratio(of.tp, of.tp + of.fp + of.fn), of.has_lesion)


def dice_image(of: Segmented) -> Floats:
    """Average the Dice coefficient over the images with a lesion."""
    return of.mean(ratio(2 * of.tp, 2 * of.tp + of.fp + of.fn), of.has_lesion)


def missed_rate(of: Segmented) -> Floats:
    """Compute the share of lesions without any predicted pixel."""
    return of.mean((of.tp == 0).astype(float), of.has_lesion)


def false_alarm_rate(of: Segmented) -> Floats:
    """Compute the share of images without a lesion in which some pixel was predicted."""
    return of.mean((of.fp > 0).astype(float), ~of.has_lesion)


def false_alarm_area(of: Segmented) -> Floats:
    """Average the predicted share of the image over the images without a lesion."""
    return of.mean(ratio(of.fp, of.fp + of.tn), ~of.has_lesion)


def lesion_sensitivity(of: Segmented) -> Floats:
    """Compute the share of the lesions of all images that are found."""
    return of.in_total("lesions_found", "lesions")


def lesion_sensitivity_well(of: Segmented) -> Floats:
    """Compute the share of the lesions of all images whose outline overlaps by an IoU of at least 0.5."""
    return of.in_total("lesions_well_found", "lesions")


def false_lesions_per_image(of: Segmented) -> Floats:
    """Average the number of false lesions over all images; a missing value leaves the mean undefined."""
    return ratio(of.weights @ of.cases["false_lesions"].to_numpy("float64"), of.weights.sum(axis=1))


def lesions_in_mm(of: Segmented) -> Floats:
    """Count the images that have a lesion and a known pixel size: the n of every metric in millimetres."""
    return of.weights[:, of.is_in_mm].sum(axis=1)


def long_axis_error_mm(of: Segmented) -> Floats:
    """Average the absolute difference of the predicted and the true long axis; a missed lesion has length 0."""
    predicted, true = (of.cases[name].to_numpy("float64") for name in ("predicted_long_axis_mm", "long_axis_mm"))
    return of.mean(np.abs(predicted - true), of.is_in_mm)
