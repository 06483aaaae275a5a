"""The numbers that the paper prints, each with the place where it is printed.

References:
    Li et al., An efficient deep learning strategy for accurate and automated detection of breast tumors in ultrasound
    image datasets, Frontiers in Oncology 14, 2025, DOI 10.3389/fonc.2024.1461542.
"""

import csv
from importlib.resources import files
from typing import NamedTuple

from bus_lightning.core.class_names import COUNTS_IN_BUSI

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

IMAGES = COUNTS_IN_BUSI
CLASS_RATIO = (11, 1, 3)  # train, validation, test of the classifiers
SEGMENTATION_RATIO = (12, 3)  # train, test
WEIGHTS_MB = {"u2net_lite": 4.7, "u2net": 176.3}

# Not printed: the smallest counts of images that all accuracies are multiples of (`arithmetic.denominators`).
VALIDATION_IMAGES = 79
TEST_IMAGES = 156


class Published(NamedTuple):
    """A row of numbers.csv, a number of the paper.

    Attributes:
        where: Table or section.
        model: Name of the model in this project.
        metric: Name of the metric in this project; `iou` for an IoU of which the paper does not say how it is averaged.
        printed: The number as printed: four decimals, two in the abstract.
        remark: What is unclear about it.
    """

    where: str
    model: str
    metric: str
    printed: str
    remark: str

    @property
    def value(self) -> float:
        """The number."""
        return float(self.printed)


with files(__package__).joinpath("numbers.csv").open(encoding="utf-8") as file:
    NUMBERS = [Published(*row) for row in list(csv.reader(file))[1:]]
_BY_PLACE = {(number.where, number.model, number.metric): number for number in NUMBERS}


def published(where: str, model: str, metric: str) -> Published | None:
    """Return a number; None if the paper has a dash or nothing."""
    return _BY_PLACE.get((where, model, metric))


def value_of(where: str, model: str, metric: str) -> float:
    """Return the value of a number.

    Raises:
        KeyError: The paper does not give it.
    """
    return _BY_PLACE[where, model, metric].value


def correct_images(where: str, model: str) -> tuple[int, int]:
    """Return the number of correctly classified images behind an accuracy, and the number of images."""
    images = VALIDATION_IMAGES if where == VALIDATION else TEST_IMAGES
    return round(value_of(where, model, "accuracy") * images), images


def accuracies(where: str) -> list[float]:
    """List the different accuracies of a table, in its order."""
    return list(dict.fromkeys(n.value for n in NUMBERS if n.where == where and n.metric == "accuracy"))
