"""Comparisons against values worked out by hand, and simulated data whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from compared_conditions import CLASSES, condition, pixels, right

from bus_lightning.statistics import paired_bootstrap
from bus_lightning.statistics.comparisons import compare, compare_all
from bus_lightning.statistics.delong import delong


def test_p_is_how_rarely_the_draws_contradict_the_difference():
    # Of 12 images of a class, A has two more right: a draw has neither with probability (10/12)^12.
    compared = compare(condition("a", right(1, 12)), condition("b", right(10 / 12, 12)), "test", "accuracy", draws=5000)
    assert (compared.value_a, compared.value_b) == pytest.approx((1, 10 / 12))
    assert compared.difference == pytest.approx(2 / 12)
    assert compared.p == pytest.approx(2 * (10 / 12) ** 12, abs=0.03)
    assert (compared.low, compared.high) == pytest.approx((0, 5 / 12), abs=1e-6)


def test_images_that_are_hard_for_both_cancel_out():
    # Both miss half of the images; one more for B. Unpaired, the interval would be some 0.6 wide.
    compared = compare(condition("a", right(20 / 40)), condition("b", right(19 / 40)), "test", "accuracy")
    assert compared.high - compared.low < 0.11
    same = compare(condition("a", right(0.5)), condition("b", right(0.5)), "test", "accuracy")
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)
    assert same.tests["mcnemar"] == 1


def test_swapping_two_conditions_changes_only_the_sign():
    a, b = condition("a", right(0.9)), condition("b", right(0.7))
    forward, backward = compare(a, b, "test", "accuracy"), compare(b, a, "test", "accuracy")
    turned = (-backward.difference, -backward.high, -backward.low, backward.p)
    assert (forward.difference, forward.low, forward.high, forward.p) == turned


def test_copies_of_images_make_no_difference_more_certain():
    a, b = right(0.9), right(0.75)
    once = compare(condition("a", a), condition("b", b), "test", "accuracy")
    groups = np.repeat(np.arange(40), 4)
    copied = [condition(name, np.repeat(x, 4), groups=groups) for name, x in (("a", a), ("b", b))]
    four = compare(*copied, "test", "accuracy")
    assert (four.n, four.groups) == (160, 40)
    assert (four.low, four.high, four.p) == pytest.approx((once.low, once.high, once.p))
    assert (four.n_independent, four.tests["mcnemar"]) == (once.n_independent, once.tests["mcnemar"])


def test_replicates_are_averaged():
    a, b = condition("a", right(1), right(0.5)), condition("b", right(0.7))
    compared = compare(a, b, "test", "accuracy")
    assert (compared.value_a, compared.value_b, compared.difference) == pytest.approx((0.75, 0.7, 0.05))
    assert (compared.replicates_a, compared.replicates_b) == (2, 1)


def test_the_order_of_replicates_makes_no_difference():
    # Three answers whose errors add up to something else in another order, by a rounding that is the same in all draws.
    first, second, third = (
        pd.DataFrame({"prob_benign": [p] * 20, "prob_malignant": 0.0, "prob_normal": 1 - p}) for p in (0.1, 0.7, 0.36)
    )
    compared = compare(
        condition("a", first, second, third), condition("b", third, first, second), "test", "brier", draws=200
    )
    assert (compared.low, compared.high, compared.p) == (0, 0, 1)


def test_mcnemar_weighs_the_images_that_one_alone_has_right():
    a, b = np.arange(30) < 18, (np.arange(30) < 10) | (np.arange(30) >= 28)  # 8 by a alone, 2 by b alone
    compared = compare(condition("a", a, right(0, 30)), condition("b", b), "test", "accuracy")
    assert compared.n_independent == 30
    assert compared.tests["mcnemar"] == pytest.approx(2 * (1 + 10 + 45) / 2**10)


def test_of_near_duplicates_the_smallest_id_is_tested():
    ids = [[f"{i:03}" for i in range(24)][::-1]]  # the second image of each group has the smaller id
    a, b = right(1, 24), np.arange(24) % 2 == 0  # b misses exactly these
    groups = np.repeat(np.arange(12), 2)
    compared = compare(
        condition("a", a, groups=groups, ids=ids), condition("b", b, groups=groups, ids=ids), "test", "accuracy"
    )
    assert compared.n_independent == 12
    assert compared.tests["mcnemar"] == pytest.approx(2 / 2**12)  # a alone is right on all 12


def test_delong_compares_the_aucs_of_malignant_against_the_rest():
    generator = np.random.default_rng(0)
    labels = np.repeat(CLASSES, [20, 15, 10])
    tables = [
        pd.DataFrame(generator.dirichlet([1, 1, 1], 45), columns=[f"prob_{k}" for k in CLASSES]) for _ in range(3)
    ]
    tables[0]["prob_malignant"] += labels == "malignant"
    a = condition("a", tables[0], tables[2], labels=labels)
    compared = compare(a, condition("b", tables[1], labels=labels), "test", "auroc_macro")
    expected = delong(labels == "malignant", tables[0]["prob_malignant"], tables[1]["prob_malignant"])
    assert compared.tests["delong"] == expected.p < 0.01


def test_wilcoxon_ranks_the_dice_of_each_image():
    # Ten lesions, A better on all, by ten amounts: of the 2^10 signs, two are so extreme. Healthy images do not count.
    missed = np.r_[1:11, 0, 0]
    seen = np.r_[[100] * 10, 0, 0]
    a = condition("a", pixels(seen, 0, 0), task="segmentation")
    b = condition("b", pixels(seen - missed, 0, missed), task="segmentation")
    compared = compare(a, b, "test", "dice_image")
    assert compared.n_independent == 10
    assert compared.tests == {"wilcoxon": pytest.approx(2 / 2**10)}
    assert compared.value_a == 1
    assert compared.difference == pytest.approx(np.mean(1 - 2 * (100 - missed[:10]) / (200 - missed[:10])))
    assert compare(a, a, "test", "dice_image").tests == {"wilcoxon": 1}


def test_holm_raises_p_by_the_number_of_comparisons():
    members = [condition("m0", right(1)), condition("m1", right(0.9)), condition("m2", right(0.9)[::-1])]
    table = compare_all(members, "test", "accuracy")
    assert list(zip(table["a"], table["b"], strict=True)) == [("m0", "m1"), ("m0", "m2"), ("m1", "m2")]
    assert (table["comparisons"] == 3).all()
    first, second, third = np.argsort(table["p"])
    expected = {first: min(1, 3 * table["p"][first])}
    expected[second] = min(1, max(expected[first], 2 * table["p"][second]))
    expected[third] = max(expected[second], table["p"][third])
    assert table["p_holm"].to_dict() == pytest.approx(expected)


def test_a_difference_that_the_adjustment_removes_does_not_count():
    pair = [condition("a", right(1)), condition("b", right(36 / 40))]  # p is near 2 (36/40)^40 = 0.03
    crowd = [condition(f"c{i}", right(1)) for i in range(4)]
    alone = compare_all(pair, "test", "accuracy").iloc[0]
    assert (alone["p"] == alone["p_holm"] < 0.05, alone["verdict"]) == (True, "A better")
    among = compare_all(pair + crowd, "test", "accuracy").iloc[0]
    assert (among["b"], among["p"] < 0.05 < among["p_holm"]) == ("b", True)
    assert among["verdict"] == "cannot be told apart"


def test_more_than_eight_conditions_are_compared_with_the_first():
    members = [condition(f"m{i}", right(0.9)) for i in range(9)]
    assert len(compare_all(members[:8], "test", "accuracy", draws=50)) == 28
    table = compare_all(members, "test", "accuracy", draws=50)
    assert (len(table), set(table["b"])) == (8, {"m0"})
    table = compare_all(members, "test", "accuracy", draws=50, reference="m4")
    assert (len(table), set(table["b"]), "m4" in set(table["a"])) == (8, {"m4"}, False)


def test_tasks_and_metrics_are_adjusted_each_by_itself():
    many = [condition(f"m{i}", right(0.9)) for i in range(3)]
    few = [condition(f"s{i}", pixels(np.full(20, 50), 5 * i, 0), task="segmentation") for i in range(2)]
    table = compare_all(many + few, "test", ["accuracy", "precision"], draws=50)
    adjusted = table.groupby(["task", "metric"])["comparisons"].agg(["size", "max"])
    assert adjusted.loc[("classification", "accuracy")].tolist() == [3, 3]
    assert adjusted.loc[("classification", "precision")].tolist() == [3, 0]
    assert adjusted.loc[("segmentation", "precision")].tolist() == [1, 1]


def test_the_sentence_says_who_is_better_by_how_much_and_how_sure():
    a, b, c = condition("a", right(1)), condition("b", right(0.5)), condition("c", right(1, 9))
    table = compare_all([a, b, c], "test", "accuracy")
    assert table["verdict"].tolist() == ["A better", "not compared", "not compared"]
    low, high = table["low"][0], table["high"][0]
    text = (
        "a is better than b on 40 test images: accuracy 1.000 against 0.500, difference 0.500 (95% interval "
        f"{low:.3f} to {high:.3f}), p < 0.001 adjusted for 1 comparison."
    )
    assert table["text"][0] == text
    assert table["text"][1] == "a and c were not compared: they share 9 test images, fewer than 10."
    turned = compare_all([b, a], "test", "accuracy")
    assert (turned["verdict"][0], turned["text"][0]) == ("B better", text)
    assert compare_all([a, a], "test", "accuracy")["text"][0] == (
        "a and a cannot be told apart on 40 test images: accuracy 1.000 against 1.000, difference 0.000 (95% interval "
        "0.000 to 0.000), p = 1.000 adjusted for 1 comparison."
    )


def test_less_is_better_where_the_metric_is_an_error():
    lesions = pixels(np.full(20, 50), 0, 50)
    near, far = (condition(n, lesions.assign(hd95=d), task="segmentation") for n, d in (("near", 5.0), ("far", 50.0)))
    table = compare_all([near, far], "test", "hd95")
    assert (table["difference"][0], table["verdict"][0]) == (-45, "A better")
    assert "near is better than far on 20 test images: hd95 5.000 against 50.0, difference -45.0" in table["text"][0]


def test_nothing_to_compare_is_an_empty_table():
    table = compare_all([condition("a", right(1))], "test", "accuracy")
    assert table.empty
    assert {"a", "b", "p_holm", "verdict", "text"} <= set(table)


def test_each_metric_of_each_condition_is_drawn_once(monkeypatch):
    drawn = []
    real = paired_bootstrap.draws_of
    monkeypatch.setattr(
        paired_bootstrap, "draws_of",
        lambda cases, draws, only: drawn.append((id(cases), only)) or real(cases, draws, only=only),
    )  # fmt: skip
    compare_all([condition(f"m{i}", right(0.9)) for i in range(6)], "test", ["accuracy", "log_loss"], draws=20)
    assert len(drawn) == len(set(drawn)) == 12


def test_equal_conditions_are_rarely_called_different_though_images_come_in_copies():
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), generator.integers(1, 5, 60))
    p_values = []
    for _ in range(80):
        a, b = (condition(name, (generator.random(60) < 0.75)[groups], groups=groups) for name in "ab")
        p_values.append(compare(a, b, "test", "accuracy", draws=200).p)
    assert np.mean(np.array(p_values) < 0.05) <= 0.09
