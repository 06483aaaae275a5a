"""The no-lesion rule is chosen on lesions of the validation images, so that it costs little of their Dice."""

import pandas as pd
import pytest

from bus_lightning.metrics.no_lesion import choose_rule, without_rule


def cases_of(*images):
    """Make cases from (score, Dice); a Dice of None is an image without a lesion, whose mask is a false alarm."""
    rows = []
    for score, dice in images:
        tp = 0 if dice is None else round(100 * dice)  # of 100 pixels, with 100 predicted: the Dice is tp / 100
        lesion = 0 if dice is None else 100
        rows.append({"lesion_score": score, "tp": 0, "fp": 0, "fn": lesion, "tn": 1000 - lesion, "hd95": 1.0,
                     "lesions": min(lesion, 1), "lesions_found": 0, "lesions_well_found": 0, "false_lesions": 0,
                     "tp_before_rule": tp, "fp_before_rule": 100 - tp, "fn_before_rule": lesion - tp,
                     "tn_before_rule": 900 - lesion + tp})  # fmt: skip
    return pd.DataFrame(rows)


GOOD = [(0.9 + k / 1000, 0.8) for k in range(20)]


def emptied(rule, *scores):
    return [score < rule.least_score for score in scores]


def test_the_rule_empties_as_much_as_the_given_loss_of_dice_allows():
    lesions = [(0.3, 0.0), (0.5, 0.04), (0.7, 0.5), *GOOD]  # the first two cost 0.04 / 23 = 0.0017
    normals = [(0.2, None), (0.4, None), (0.6, None)]
    assert emptied(choose_rule(cases_of(*lesions, *normals), 0.001), 0.2, 0.29, 0.31, 0.4) == [
        True,
        False,
        False,
        False,
    ]
    rule = choose_rule(cases_of(*lesions, *normals), 0.002)
    assert emptied(rule, 0.2, 0.3, 0.4, 0.5, 0.6) == [True, True, True, False, False]
    assert (rule.lesions, rule.normals) == (23, 3)
    everything = choose_rule(cases_of(*lesions, *normals), 1)
    assert emptied(everything, 0.6, 0.918, 0.919) == [True, True, False]


def test_a_lesion_at_the_least_score_stays_but_counts_as_lost():
    lesions = [(0.5, 0.04), *GOOD]
    assert emptied(choose_rule(cases_of((0.4, None), *lesions), 0.04 / 21), 0.4, 0.5) == [True, False]
    assert choose_rule(cases_of((0.4, None), *lesions), 0.04 / 22).least_score == 0.0


def test_lesions_with_one_score_are_lost_together():
    lesions = [(0.4, 0.0), (0.5, 0.02), (0.5, 0.9), *GOOD]
    rule = choose_rule(cases_of((0.45, None), *lesions), 0.002)  # 0.02 / 23 alone would be allowed
    assert emptied(rule, 0.39, 0.45) == [True, False]


def test_the_least_score_lies_between_two_images_so_that_rounding_does_not_decide():
    rule = choose_rule(cases_of((0.42, None), (0.6, 0.0), *GOOD), 0.001)
    assert rule.least_score == pytest.approx(0.51)
    assert choose_rule(cases_of((0.6, 0.0), *GOOD), 0.001).least_score == 0.6  # nothing is lower


def test_normal_images_do_not_decide_and_may_be_missing():
    lesions = [(0.3, 0.0), (0.7, 0.5), *GOOD]
    assert choose_rule(cases_of(*lesions), 0.005).least_score == 0.3
    assert choose_rule(cases_of((0.99, None), *lesions), 0.005).least_score == 0.3
    assert choose_rule(cases_of((0.5, None)), 0.005) == choose_rule(cases_of((0.9, None)), 0.005)
    assert choose_rule(cases_of((0.5, None)), 0.005).least_score == 0.0


def test_cases_without_the_rule_have_the_counts_of_before_and_no_distances_or_lesions_of_after():
    before = without_rule(cases_of((0.5, 0.25)))
    assert before.to_dict("records") == [{"tp": 25, "fp": 75, "fn": 75, "tn": 825}]
