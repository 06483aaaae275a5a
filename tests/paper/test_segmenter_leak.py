"""The leak study says whether a random split makes a segmenter look too good."""

import numpy as np
import pandas as pd
import pytest

from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.paper.segmenter_leak import segmenter_leak_section
from bus_lightning.statistics.conditions import read_group


@pytest.fixture
def group(finished):
    """Segmenters on two splits of each kind; half of the test images of a random split have a copy in training."""

    def make(gain, methods=("random", "grouped")):
        for method in methods:
            for seed in (0, 1):
                rng = np.random.default_rng(seed)
                ids = [f"benign/benign ({k})" for k in range(100 * seed + 1, 100 * seed + 61)]
                groups = {f"benign/benign ({1000 + k})": k for k in range(30, 40)} if method == "random" else {}
                tp = rng.integers(40, 60, 60)
                tp[30:40] += gain if method == "random" else 0
                cases = pd.DataFrame({"id": ids, "split": ["val"] * 20 + ["test"] * 40, "label": "benign", "tp": tp,
                                      "fp": 100 - tp, "fn": 100 - tp, "tn": 800 + tp})  # fmt: skip
                run = finished("model=unet", "group=g", f"name={method}-{seed}", f"data.split.method={method}",
                               f"data.split.seed={seed}", cases=cases, method=method, train=[*groups],
                               groups=groups)  # fmt: skip
        return read_group(run.path.parent)

    return make


def test_the_difference_is_that_of_the_means_over_the_splits(group):
    contents = group(gain=30)
    (table, note) = segmenter_leak_section(contents.conditions).items
    random, grouped = table.frame.to_dict("records")
    assert (random["split"], grouped["split"]) == ("random", "grouped")
    assert random["runs"] == grouped["runs"] == 2
    means = {
        condition.config.data.split.method: np.mean(
            [metrics_of(cases)["dice_image"] for _, cases in condition.part("test").groupby("run")]
        )
        for condition in contents.conditions
    }
    expected = means["random"] - means["grouped"]
    value, low, high = (float(text.strip("()")) for text in random["Dice, mean of lesions, random minus grouped"]
                        .replace(" to ", " ").split())  # fmt: skip
    assert value == pytest.approx(expected, abs=0.0006)
    assert expected == pytest.approx(0.075)
    assert 0 < low < value < high < 0.15
    assert grouped["Dice, mean of lesions, random minus grouped"] == "-"
    assert "(n = 20)" in random["Dice, mean of lesions, with a near-duplicate in training"]
    assert "(n = 60)" in random["Dice, mean of lesions, without a near-duplicate in training"]
    assert grouped["Dice, mean of lesions, with a near-duplicate in training"] == "none"
    assert note.kind == "warning"
    assert "the segmenter looks better" in note.text


def test_near_duplicates_are_not_called_the_only_reason_for_a_higher_dice(group):
    (_, note) = segmenter_leak_section(group(gain=30).conditions).items
    assert "other training and test images can be another" in note.text
    assert "too good" not in note.text


def test_the_same_dice_does_not_show_a_leak(group):
    (_, note) = segmenter_leak_section(group(gain=0).conditions).items
    assert "do not show" in note.text


def test_a_segmenter_on_one_kind_of_split_has_no_such_section(group):
    assert segmenter_leak_section(group(gain=0, methods=["grouped"]).conditions) is None
