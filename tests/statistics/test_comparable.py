"""Two conditions are compared on the images that both have, and refused with the reason where that makes no sense."""

from dataclasses import replace

import numpy as np
import pytest
from compared_conditions import CLASSES, condition, right

from bus_lightning.statistics.comparisons import compare


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
