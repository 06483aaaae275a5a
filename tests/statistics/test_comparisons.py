"""Comparisons against values worked out by hand, a published example, and simulated data whose truth is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from bus_lightning.statistics import paired_bootstrap
from bus_lightning.statistics.comparisons import compare, compare_all
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.delong import delong

CLASSES = ["benign", "malignant", "normal"]
# 113 patients after aneurysmal subarachnoid haemorrhage (Turck et al., Intensive Care Med. 36 (2010) 107-115; the data
# set aSAH of pROC), 41 with a poor outcome and 72 with a good one: the WFNS grade, and the order of the S100B values.
WFNS_POOR = "32455552521254425552525245441442255225555"
WFNS_GOOD = "111151221221112121134141551124112212122111121211324214115422111312244111"
S100B_POOR = (
    "8 5 11 7 25 30 28 2 19 4 2 23 21 27 30 15 30 30 30 2 30 17 0 4 13 30 15 30 3 15 8 5 6 13 30 9 30 18 30 30 25"
)
S100B_GOOD = (
    "8 9 5 1 26 12 5 5 1 3 1 4 6 2 12 2 6 8 12 1 11 9 20 4 29 26 11 2 24 26 6 3 4 3 1 8 "
    "5 9 10 1 1 4 1 4 3 11 4 3 19 6 16 2 5 18 2 1 14 22 5 10 3 9 5 2 1 12 10 26 12 10 29 27"
)


def condition(name, *replicates, labels=None, groups=None, ids=None, task="classification"):
    """A condition of replicates, each whether an image is answered right (certainly), or a table of columns."""
    tables = []
    for number, answers in enumerate(replicates):
        size = len(answers)
        truth = np.array(labels if labels is not None else ["benign"] * size)
        if isinstance(answers, pd.DataFrame):
            columns = dict(answers)
        else:
            wrong = np.roll(np.eye(3), 1, axis=1)
            places = [CLASSES.index(label) for label in truth]
            answered = np.where(np.array(answers, bool)[:, None], np.eye(3)[places], wrong[places])
            columns = {f"prob_{label}": answered[:, k] for k, label in enumerate(CLASSES)}
        head = {
            "run": f"{name}__seed-{number}",
            "replicate": number,
            "id": ids[number] if ids else [f"{i:03}" for i in range(size)],
            "split": "test",
            "group": np.arange(size) if groups is None else groups,
            "label": truth,
        }
        tables.append(pd.DataFrame(head | columns))
    return Condition(name, name, task, CLASSES, OmegaConf.create({}), [], pd.concat(tables, ignore_index=True))


def right(share, size=40):
    return np.arange(size) < round(share * size)


def pixels(tp, fp, fn):
    return pd.DataFrame({"tp": tp, "fp": fp, "fn": fn, "tn": 1000})


def test_delong_gives_what_proc_publishes_for_its_example():
    # What the tests of pROC expect of roc.test (https://github.com/xrobin/pROC, tests/testthat/test-roc.test.R).
    grades = [int(grade) for grade in WFNS_POOR + WFNS_GOOD]
    levels = [int(level) for level in f"{S100B_POOR} {S100B_GOOD}".split()]
    result = delong([1] * 41 + [0] * 72, grades, levels)
    assert result.auc_a == pytest.approx(0.823678861788618)
    assert result.auc_b == pytest.approx(0.731368563685637)
    assert result.z == pytest.approx(2.20898359144091)
    assert result.p == pytest.approx(0.0271757822291882)
    assert (result.low, result.high) == pytest.approx((0.0104061769564846, 0.174214419249478))


def test_delong_follows_from_the_shares_that_each_case_beats():
    # a: positives 3 and 1 beat 1 and 1/2 of the negatives 2 and 0; b orders all. Per class the differences 0 and -1/2
    # have variance 1/8 and their mean 1/16, so that z = -1/4 / sqrt(1/16 + 1/16).
    result = delong([1, 1, 0, 0], [3, 1, 2, 0], [9, 8, 1, 1])
    assert (result.auc_a, result.auc_b, result.difference) == pytest.approx((0.75, 1, -0.25))
    assert result.z == pytest.approx(-(0.5**0.5))
    assert result.p == pytest.approx(0.4795, abs=1e-4)


def test_delong_counts_a_tie_as_half():
    assert delong([1, 1, 0, 0], [1, 1, 1, 1], [1, 2, 1, 0]).auc_a == 0.5
    assert delong([1, 1, 0, 0], [1, 1, 1, 1], [1, 2, 1, 0]).auc_b == 3.5 / 4


def test_delong_says_why_it_is_undefined():
    one_class = delong([1, 1, 1], [1, 2, 3], [1, 2, 3])
    assert np.isnan(one_class.p)
    assert "each class" in one_class.reason
    opposite = delong([1, 1, 0, 0], [3, 4, 1, 2], [1, 2, 3, 4])
    assert (opposite.difference, opposite.reason != "") == (1, True)
    assert np.isnan([opposite.low, opposite.high, opposite.z, opposite.p]).all()


def test_delong_finds_no_difference_between_scores_of_the_same_order():
    scores = np.array([0.1, 0.7, 0.4, 0.9, 0.2])
    result = delong([0, 1, 0, 1, 1], scores, scores**3)
    assert (result.difference, result.z, result.p, result.reason) == (0, 0, 1, "")


def test_delongs_interval_is_as_wide_as_that_of_a_bootstrap():
    generator = np.random.default_rng(0)
    labels = np.arange(200) < 80
    common = labels + generator.normal(size=200)
    a, b = common + 0.5 * generator.normal(size=200), common + generator.normal(size=200)
    differences = []
    for _ in range(1000):
        drawn = np.r_[generator.integers(0, 80, 80), generator.integers(80, 200, 120)]
        aucs = [(s[drawn[:80], None] > s[drawn[80:]]).mean() for s in (a, b)]
        differences.append(aucs[0] - aucs[1])
    result = delong(labels, a, b)
    assert result.high - result.low == pytest.approx(2 * 1.96 * np.std(differences), rel=0.1)


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


def test_only_images_that_both_have_are_compared():
    a = condition("a", right(1, 30), ids=[[f"{i:03}" for i in range(30)]])
    b = condition("b", right(0.5, 30), ids=[[f"{i:03}" for i in range(10, 40)]])
    compared = compare(a, b, "test", "accuracy")
    assert (compared.n, compared.left_out) == (20, 20)
    # Images 10 to 29 are shared, and b is right on 10 to 24.
    assert (compared.value_a, compared.value_b) == pytest.approx((1, 15 / 20))


def test_splits_of_several_seeds_are_matched_by_their_images():
    first, second = [f"{i:03}" for i in range(20)], [f"{i:03}" for i in range(15, 35)]
    a = condition("a", right(1, 20), right(0.5, 20), right(0.8, 20), ids=[first, second, first])
    compared = compare(a, condition("b", right(0.4, 20), ids=[first]), "test", "accuracy")
    assert (compared.n, compared.left_out, compared.replicates_a) == (20, 15, 2)
    assert compared.value_a == pytest.approx((1 + 0.8) / 2)
    # Both have both: one replicate of each, so that the second split weighs no less in a than in b.
    b = condition("b", right(0.4, 20), right(0.6, 20), ids=[second, first])
    compared = compare(a, b, "test", "accuracy")
    assert (compared.n, compared.left_out, compared.replicates_a, compared.replicates_b) == (35, 0, 2, 2)
    assert (compared.value_a, compared.value_b) == pytest.approx(((1 + 0.5) / 2, (0.4 + 0.6) / 2))


@pytest.mark.parametrize(
    ("other", "metric", "reason"),
    [
        (condition("b", right(1, 9)), "accuracy", "they share 9 test images, fewer than 10"),
        (
            condition("b", right(1), labels=["benign"] * 38 + ["normal"] * 2),
            "accuracy",
            "2 shared images differ in class",
        ),
        (
            condition("b", right(1), groups=[0, 0, *range(2, 40)]),
            "accuracy",
            "39 shared images differ in group",
        ),
        (condition("b", right(1), task="segmentation"), "accuracy", "a is classification and b is segmentation"),
        (condition("b", right(1)), "f1_macro", "f1_macro of a is undefined: no image of class malignant, normal"),
        (
            condition("b", right(1)),
            "dice_image",
            "dice_image of a is undefined: it cannot be computed from these cases",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(other, metric, reason):
    compared = compare(condition("a", right(1)), other, "test", metric)
    assert compared.reason == reason
    assert np.isnan([compared.difference, compared.low, compared.high, compared.p]).all()


def test_networks_of_different_classes_are_not_compared():
    two, three = condition("two", right(1)), condition("three", right(0.5))
    two = replace(two, classes=CLASSES[:2], cases=two.cases.drop(columns="prob_normal"))
    compared = compare(two, three, "test", "accuracy")
    assert compared.reason == "two has the classes benign, malignant, and three has benign, malignant, normal"
    assert np.isnan(compared.difference)
    assert compared.tests == {}
    assert compare(three, two, "test", "accuracy").reason.startswith("three has the classes benign, malignant, normal")


def test_equal_ids_of_other_data_are_other_images():
    first, second = condition("a", right(0.9)), condition("b", right(0.5))
    assert not compare(replace(first, files="x"), replace(second, files="x"), "test", "accuracy").reason
    result = compare(replace(first, files="x"), replace(second, files="y"), "test", "accuracy")
    assert result.reason == "their images come from different data"
    assert np.isnan(result.difference)


def test_the_order_of_the_classes_changes_no_comparison():
    labels = ["benign"] * 15 + ["malignant"] * 15
    a, b = condition("a", right(0.9, 30), labels=labels), condition("b", right(0.4, 30), labels=labels)
    expected = compare(a, b, "test", "accuracy")
    columns = [name for name in b.cases if not name.startswith("prob_")]
    turned = b.cases[[*columns, "prob_normal", "prob_malignant", "prob_benign"]]
    compared = compare(a, replace(b, classes=CLASSES[::-1], cases=turned), "test", "accuracy")
    assert compared.tests == expected.tests
    assert compared.difference == expected.difference


def test_a_part_without_images_is_refused():
    compared = compare(condition("a", right(1)), condition("b", right(1)), "val", "accuracy")
    assert compared.reason == "they share 0 val images, fewer than 10"


def test_groups_may_be_numbered_in_another_way():
    a, b = condition("a", right(1)), condition("b", right(0.5), groups=np.arange(40)[::-1] + 7)
    assert compare(a, b, "test", "accuracy").reason == ""


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
