"""Titles of metrics, the same in tables, figures, the dashboard and the model card."""

# Keys are the names in metrics.json. A "mean of lesions" covers only images that have a lesion.
TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision_macro": "macro precision",
    "recall_macro": "macro recall",
    "f1_macro": "macro F1",
    "specificity_macro": "macro specificity",
    "npv_macro": "macro NPV",
    "auroc_macro": "macro AUC",
    "average_precision_macro": "macro average precision",
    "log_loss": "log-loss",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "malignant_vs_benign_accuracy": "accuracy, malignant against benign",
    "malignant_vs_benign_sensitivity": "sensitivity, malignant against benign",
    "malignant_vs_benign_specificity": "specificity, malignant against benign",
    "malignant_vs_benign_auroc": "AUC, malignant against benign",
    "tp": "true positive pixels",
    "fp": "false positive pixels",
    "fn": "false negative pixels",
    "tn": "true negative pixels",
    "accuracy_pooled": "accuracy, pooled",
    "precision": "precision, pooled",
    "recall": "recall, pooled",
    "specificity": "specificity, pooled",
    "iou_pooled": "IoU, pooled",
    "dice_pooled": "Dice, pooled",
    "accuracy_image": "accuracy, mean of images",
    "specificity_image": "specificity, mean of images",
    "precision_image": "precision, mean of lesions",
    "recall_image": "recall, mean of lesions",
    "iou_image": "IoU, mean of lesions",
    "dice_image": "Dice, mean of lesions",
    "hd95": "HD95, % of the diagonal",
    "surface_dice": "surface Dice",
    "missed_rate": "missed lesions",
    "false_alarm_rate": "false alarms on normals",
    "false_alarm_area": "area of false alarms, share of the image",
}
_BY_CLASS = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "specificity": "specificity",
    "npv": "NPV",
    "auroc": "AUC",
    "average_precision": "average precision",
}


def title_of(metric: str) -> str:
    """Return the title of a metric, for example "AUC of malignant" for `auroc_malignant`.

    Args:
        metric: A name of `bus_lightning.metrics.per_case`; any other is returned as it is.
    """
    if metric in TITLES:
        return TITLES[metric]
    for name, title in _BY_CLASS.items():
        if metric.startswith(f"{name}_"):
            return f"{title} of {metric.removeprefix(f'{name}_')}"
    return metric


def heading_of(metric: str) -> str:
    """Return the title of a metric with a capital first letter."""
    title = title_of(metric)
    return title[0].upper() + title[1:]
