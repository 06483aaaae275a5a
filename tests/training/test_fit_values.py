"""What a training says and writes where there is little to say: no images, no overlay, no validation."""

import pandas as pd
import pytest
from omegaconf import OmegaConf

from bus_lightning.data.splits import make_named_split
from bus_lightning.training.evaluated_parts import metrics_of_nothing
from bus_lightning.training.label_in_input import announce_label_in_input
from bus_lightning.training.prepared_run import PreparedRun


def test_a_part_without_images_has_no_images_and_no_scores():
    cases = pd.DataFrame({"id": ["a", "b"], "label": ["x", "y"], "prob_x": [0.9, 0.2], "prob_y": [0.1, 0.8]})
    metrics = metrics_of_nothing(cases)
    reasons = metrics.pop("undefined")
    assert metrics.pop("n") == 0
    assert {"loss", "accuracy", "auroc_macro", "recall_x"} <= metrics.keys()
    assert set(metrics.values()) == {None}
    assert set(reasons.values()) == {"no images"}


@pytest.mark.parametrize(
    ("style", "source", "parts", "words"),
    [
        ("none", "ground_truth", ["train", "val", "test"], None),
        ("fill", "predicted", ["train", "val", "test"], None),
        ("fill", "ground_truth", ["train"], None),
        ("fill", "ground_truth", ["test"], "overlay=fill is drawn into test images."),
        ("contour", "ground_truth", ["train", "val", "test"], "overlay=contour is drawn into val and test images."),
    ],
)
def test_a_label_in_the_input_is_announced_where_it_is_scored_and_nowhere_else(style, source, parts, words, caplog):
    overlay = OmegaConf.create({"style": style, "source": source, "parts": parts})
    announce_label_in_input(overlay, ["val", "test"])
    assert bool(caplog.records) is bool(words)
    assert (words or "") in caplog.text


def test_a_run_is_validated_where_it_has_images_and_does_not_turn_it_off():
    with_images = make_named_split({"train": ["a"], "val": ["b"], "test": ["c"]}, "file", {"a": 0, "b": 1, "c": 2})
    without = make_named_split({"train": ["a"], "val": [], "test": ["c"]}, "file", {"a": 0, "c": 2})
    for limit, validated in ((None, True), (0.5, True), (1, True), (0, False), (0.0, False)):
        cfg = OmegaConf.create({"trainer": {"limit_val_batches": limit}})
        assert PreparedRun(cfg, None, with_images).is_validated is validated
        assert PreparedRun(cfg, None, without).is_validated is False
