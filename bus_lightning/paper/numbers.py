"""The numbers that the paper prints, each with the place where it stands.

References:
    Li et al., An efficient deep learning strategy for accurate and automated detection of breast tumors in ultrasound
    image datasets, Frontiers in Oncology 14, 2025, DOI 10.3389/fonc.2024.1461542.
"""

from typing import NamedTuple

# Model -> the paper's name for it, in the order of its tables.
SEGMENTERS = {"u2net_lite": "U2NET-Lite", "u2net": "U2NET"}
CLASSIFIERS = {
    "deepcardinal50": "DeepCardinal-50",
    "resnet50": "ResNet-50",
    "resnet34_pretrained": "ResNet-34 pre-trained",
    "resnet34": "ResNet-34",
    "alexnet": "AlexNet",
}
NAMES = CLASSIFIERS | SEGMENTERS

SEGMENTATION_TEST = "Table 1"
VALIDATION = "Tables 2 and 3"
TEST = "Table 4"
ABSTRACT = "abstract"

IMAGES = {"benign": 437, "malignant": 210, "normal": 133}
CLASS_RATIO = (11, 1, 3)  # train, validation, test of the classifiers
SEGMENTATION_RATIO = (12, 3)  # train, test
WEIGHTS_MB = {"u2net_lite": 4.7, "u2net": 176.3}

# Not printed: the only counts of images that its accuracies are multiples of (`arithmetic.denominators`).
VALIDATION_IMAGES = 79
TEST_IMAGES = 156

ONE_OF_TWO = "given for one of the two ResNet-34, not said which"


class Published(NamedTuple):
    """A number of the paper."""

    where: str
    """Table or section."""
    model: str
    """The name that the model has here."""
    metric: str
    """The name that the metric has here; `iou` for an IoU of which the paper does not say how it was averaged."""
    value: float
    """As printed: four digits behind the point, two in the abstract."""
    remark: str = ""
    """What is unclear about it."""


_ROWS: list[tuple[str, str, dict[str, float]]] = [
    (SEGMENTATION_TEST, "u2net_lite", {"accuracy": 0.9702, "recall": 0.7961, "iou": 0.7063}),
    (
        VALIDATION,
        "deepcardinal50",
        {
            "accuracy": 0.9747,
            "precision_macro": 0.9548,
            "recall_macro": 0.9173,
            "f1_macro": 0.9357,
            "log_loss": 0.3052,
        },
    ),
    (
        VALIDATION,
        "resnet50",
        {
            "accuracy": 0.9747,
            "precision_macro": 0.9673,
            "recall_macro": 0.9577,
            "f1_macro": 0.9622,
            "log_loss": 0.2673,
        },
    ),
    (VALIDATION, "resnet34_pretrained", {"accuracy": 0.962}),
    (VALIDATION, "resnet34", {"accuracy": 0.962}),
    (
        VALIDATION,
        "alexnet",
        {"accuracy": 0.5823, "precision_macro": 0.3638, "recall_macro": 0.371, "f1_macro": 0.3346},
    ),
    (TEST, "deepcardinal50", {"accuracy": 0.5641, "log_loss": 2.1382}),
    (TEST, "resnet50", {"accuracy": 0.609, "log_loss": 1.3218}),
    (TEST, "alexnet", {"accuracy": 0.5385, "log_loss": 1.4921}),
    (ABSTRACT, "resnet50", {"benign": 0.78, "malignant": 0.67, "normal": 0.73}),
    (ABSTRACT, "deepcardinal50", {"benign": 0.76, "malignant": 0.63, "normal": 0.90}),
]
_EITHER_RESNET34 = [(VALIDATION, "log_loss", 0.301), (TEST, "accuracy", 0.4936), (TEST, "log_loss", 2.3055)]

NUMBERS = [
    *(Published(where, model, metric, value) for where, model, row in _ROWS for metric, value in row.items()),
    *(
        Published(where, model, metric, value, ONE_OF_TWO)
        for where, metric, value in _EITHER_RESNET34
        for model in ("resnet34_pretrained", "resnet34")
    ),
]
_BY_PLACE = {(number.where, number.model, number.metric): number for number in NUMBERS}


def published(where: str, model: str, metric: str) -> Published | None:
    """Look a number up; None where the paper has a dash or nothing."""
    return _BY_PLACE.get((where, model, metric))


def value_of(where: str, model: str, metric: str) -> float:
    """Look the value of a number up that the paper gives.

    Raises:
        KeyError: The paper does not give it.
    """
    return _BY_PLACE[where, model, metric].value


def accuracies(where: str) -> list[float]:
    """List the different accuracies of a table, in its order."""
    return list(dict.fromkeys(n.value for n in NUMBERS if n.where == where and n.metric == "accuracy"))
