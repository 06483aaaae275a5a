"""A metric is known in one place: the catalogue."""

import numpy as np
import pandas as pd
import pytest

from bus_lightning.metrics import catalogue
from bus_lightning.metrics.catalogue import BY_TASK, CLASSIFICATION, SEGMENTATION, Metric, shown_in, title_of
from bus_lightning.metrics.columns import LESIONS, MILLIMETRES
from bus_lightning.metrics.per_case import metrics_of

CLASSES = ("benign", "malignant", "normal")


def cases(task: str) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    if task == "segmentation":
        counts = pd.DataFrame(rng.integers(1, 50, (12, 4)), columns=["tp", "fp", "fn", "tn"])
        others = dict.fromkeys(LESIONS, 1) | dict.fromkeys(MILLIMETRES, 0.5)
        return counts.assign(label="benign", hd95=2.0, surface_dice=0.5, **others)
    probabilities = pd.DataFrame(rng.dirichlet(np.ones(3), 12), columns=[f"prob_{name}" for name in CLASSES])
    return probabilities.assign(label=[*CLASSES] * 4)


@pytest.mark.parametrize("task", BY_TASK)
def test_every_number_in_metrics_json_has_an_entry_with_a_title_a_formula_and_a_direction(task):
    keys = set(metrics_of(cases(task))) - {"n", "undefined"}
    expected = set()
    for metric in BY_TASK[task]:
        expected |= {f"{metric.key}_{name}" for name in (*CLASSES, "macro")} if metric.per_class else {metric.key}
        assert metric.title
        assert metric.unit
        neutral = metric.unit in ("mm", "mm²", "lesions") or metric.unit.endswith(" is ideal")
        assert metric.better in ("higher", "lower") or (metric.better == "" and neutral)
        assert metric.compute.__doc__ or metric.compute.__name__ == "<lambda>"  # a count, or a column of cases
        assert metric.undefined or metric.unit == "pixels"
    assert keys == expected
    assert all(title_of(key) != key or key in ("accuracy", "brier") for key in keys)


def test_places_show_only_metrics_that_are_computed():
    known = {*metrics_of(cases("classification")), *metrics_of(cases("segmentation")), catalogue.POOLED_ACCURACY}
    for place in ("epoch", "runs", "report", "compared", "dashboard", "card"):
        assert set(shown_in(place)) <= known
        assert len(shown_in(place, "classification")) > 0 < len(shown_in(place, "segmentation"))
    assert not shown_in("nowhere")


@pytest.mark.parametrize("task", BY_TASK)
def test_a_new_metric_is_one_entry_and_one_function(task, monkeypatch):
    def share_of_images(of) -> np.ndarray:
        """Compute a constant."""
        return np.full(len(of.weights), 0.25)

    entry = Metric("new", "a new metric", share_of_images, "never", shown=("report",))
    name = "CLASSIFICATION" if task == "classification" else "SEGMENTATION"
    known = CLASSIFICATION if task == "classification" else SEGMENTATION
    monkeypatch.setattr(f"bus_lightning.metrics.per_case.{name}", (*known, entry))
    monkeypatch.setitem(BY_TASK, task, (*known, entry))
    assert metrics_of(cases(task))["new"] == 0.25
    assert shown_in("report", task)[-1] == "new"


def test_what_is_shown_of_masks_begins_with_the_lesions_iou_and_dice():
    for place in ("epoch", "runs", "report", "dashboard", "card"):
        assert shown_in(place, "segmentation")[:2] == ("iou_image", "dice_image")
    assert shown_in("compared", "segmentation")[0] == "dice_image"
