"""Our metrics per case are those of torchmetrics, and differ exactly where a class or a lesion is missing.

* A class without an image: we leave macro F1 and macro AUROC undefined. torchmetrics averages F1 over the other classes
  if nobody predicts the missing one, counts it as 0 if someone does, and counts its AUROC as 0.
* An image without a lesion: we leave it out of the mean Dice and count false positives in `false_alarm_rate`.
  torchmetrics' F1 per image is 0 for it, whether the prediction is empty (correct) or not; its `dice_score` is NaN for
  an empty prediction.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torchmetrics.functional.classification import (
    binary_f1_score,
    binary_jaccard_index,
    multiclass_accuracy,
    multiclass_auroc,
    multiclass_average_precision,
    multiclass_f1_score,
    multiclass_precision,
)
from torchmetrics.functional.segmentation import dice_score

from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.tasks.classification import ClassificationTask
from bus_lightning.tasks.segmentation import SegmentationTask, count_pixels

CLASSES = ("benign", "malignant", "normal")
SEEDS = range(5)


def drawn_classes(seed, present=(0, 1, 2), predicted=(0, 1, 2)):
    """Draw 40 labels among the present classes, and probabilities whose largest is one of the predicted classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor(present)[torch.randint(len(present), (40,), generator=generator)]
    logits = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    logits[:, [k for k in range(3) if k not in predicted]] -= 20
    return labels, logits.softmax(dim=1)


def class_metrics(labels, probabilities):
    cases = pd.DataFrame(probabilities.numpy(), columns=[f"prob_{name}" for name in CLASSES])
    return metrics_of(cases.assign(id=range(len(cases)), label=[CLASSES[k] for k in labels]))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("predicted", [(0, 1, 2), (0, 2)])
def test_metrics_of_classes_are_those_of_torchmetrics_if_every_class_has_images(seed, predicted):
    labels, probabilities = drawn_classes(seed, predicted=predicted)
    metrics, options = class_metrics(labels, probabilities), {"num_classes": 3, "average": "macro"}
    assert metrics["f1_macro"] == pytest.approx(float(multiclass_f1_score(probabilities, labels, **options)))
    assert metrics["precision_macro"] == pytest.approx(float(multiclass_precision(probabilities, labels, **options)))
    assert metrics["balanced_accuracy"] == pytest.approx(float(multiclass_accuracy(probabilities, labels, **options)))
    assert metrics["auroc_macro"] == pytest.approx(float(multiclass_auroc(probabilities, labels, **options)))
    precision = float(multiclass_average_precision(probabilities, labels, **options))
    assert metrics["average_precision_macro"] == pytest.approx(precision)
    micro = float(multiclass_accuracy(probabilities, labels, num_classes=3, average="micro"))
    assert metrics["accuracy"] == pytest.approx(micro)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_macro_f1_without_a_class_is_undefined_and_torchmetrics_averages_the_others(seed):
    labels, probabilities = drawn_classes(seed, present=(0, 2), predicted=(0, 2))
    metrics = class_metrics(labels, probabilities)
    assert metrics["f1_macro"] is None
    assert metrics["undefined"]["f1_macro"] == "no image of class malignant"
    reference = float(multiclass_f1_score(probabilities, labels, num_classes=3, average="macro"))
    assert reference == pytest.approx((metrics["f1_benign"] + metrics["f1_normal"]) / 2)
    labels, probabilities = drawn_classes(seed, present=(0, 2))
    metrics = class_metrics(labels, probabilities)
    assert metrics["f1_macro"] is None
    reference = float(multiclass_f1_score(probabilities, labels, num_classes=3, average="macro"))
    assert reference == pytest.approx((metrics["f1_benign"] + metrics["f1_normal"]) / 3)  # once predicted, it counts 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_macro_auroc_without_a_class_is_undefined_and_torchmetrics_counts_0(seed):
    labels, probabilities = drawn_classes(seed, present=(0, 2))
    metrics = class_metrics(labels, probabilities)
    assert metrics["auroc_macro"] is None
    with pytest.warns(UserWarning, match="No positive samples in targets"):
        reference = float(multiclass_auroc(probabilities, labels, num_classes=3, average="macro"))
    assert reference == pytest.approx((metrics["auroc_benign"] + metrics["auroc_normal"]) / 3)


def drawn_masks(seed):
    """Draw 12 predictions and masks of 9 x 7 pixels: images 0 to 3 have no lesion, and every other prediction is empty
    among the first eight."""
    generator = torch.Generator().manual_seed(seed)
    predicted, masks = (torch.rand(12, 9, 7, generator=generator) > 0.6 for _ in range(2))
    masks[:4] = False
    predicted[:8:2] = False
    return predicted, masks


@pytest.mark.parametrize("seed", SEEDS)
def test_overlap_is_that_of_torchmetrics_but_for_images_without_a_lesion(seed):
    predicted, masks = drawn_masks(seed)
    pairs = list(zip(predicted, masks, strict=True))
    metrics = metrics_of(pd.DataFrame([count_pixels(prediction, mask.to(torch.uint8)) for prediction, mask in pairs]))
    assert metrics["dice_pooled"] == pytest.approx(float(binary_f1_score(predicted.int(), masks.int())))
    assert metrics["iou_pooled"] == pytest.approx(float(binary_jaccard_index(predicted.int(), masks.int())))
    dice = binary_f1_score(predicted.int(), masks.int(), multidim_average="samplewise").numpy()
    assert metrics["dice_image"] == pytest.approx(dice[4:].mean())
    assert dice[4:8:2].tolist() == [0, 0]  # an empty prediction for a lesion counts 0 in both
    assert dice[:4].tolist() == [0] * 4  # also where the empty prediction is correct
    assert metrics["dice_image"] > dice.mean()
    assert metrics["false_alarm_rate"] == 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_the_dice_score_of_torchmetrics_is_nan_for_two_empty_masks_only(seed):
    predicted, masks = drawn_masks(seed)
    with pytest.warns(UserWarning, match="average=micro"):
        dice = dice_score(predicted[:, None].int(), masks[:, None].int(), num_classes=1, average="micro").numpy()
    assert np.isnan(dice).tolist() == [True, False, True, False, *[False] * 8]
    rows = [count_pixels(prediction, mask.to(torch.uint8)) for prediction, mask in zip(predicted, masks, strict=True)]
    assert metrics_of(pd.DataFrame(rows))["dice_image"] == pytest.approx(dice[4:].mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_scores_of_training_batches_are_exactly_the_shares_of_images_and_pixels(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(7, 3, generator=generator)
    labels = torch.randint(3, (7,), generator=generator)
    classifier = ClassificationTask(nn.Identity(), nn.CrossEntropyLoss(), list(CLASSES), torch.optim.SGD)
    scores = classifier.training_scores(logits, {"label": labels})
    assert torch.equal(scores["accuracy"], (logits.argmax(dim=1) == labels).float().mean())
    logits = torch.randn(7, 1, 33, 29, generator=generator)
    mask = (torch.rand(7, 1, 33, 29, generator=generator) > 0.7).float()
    segmenter = SegmentationTask(net=nn.Identity(), loss=nn.BCELoss(), classes=list(CLASSES), optimizer=torch.optim.SGD)
    scores = segmenter.training_scores(logits, {"mask": mask})
    predicted, lesion = logits >= 0, mask > 0
    kinds = {"tp": predicted & lesion, "fp": predicted & ~lesion, "fn": ~predicted & lesion, "tn": ~predicted & ~lesion}
    assert list(scores) == [f"{kind}_share" for kind in kinds]
    for kind, pixels in kinds.items():
        assert torch.equal(scores[f"{kind}_share"], pixels.float().mean())
