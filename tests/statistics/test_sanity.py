"""The checks of a report find each problem, and find none in a sound run."""

import pandas as pd
import pytest

from bus_lightning.statistics.checks import CHECKS, find_problems, passed_checks
from bus_lightning.statistics.conditions import read_group


def problems_in(run):
    return find_problems(read_group(run.path.parent).conditions)


def test_a_sound_run_passes_every_check(finished):
    conditions = read_group(finished("model=resnet34").path.parent).conditions
    assert find_problems(conditions) == []
    without = ("ensembles", "folds", "code")  # one run on one split has nothing of these to check
    assert passed_checks([], conditions) == [text for kind, text in CHECKS.items() if kind not in without]


def test_a_network_that_is_no_better_than_the_majority_or_than_chance_is_found(finished):
    texts = [finding.text for finding in problems_in(finished("model=resnet34", sure=-3))]
    assert sum("always predicting" in text for text in texts) == 2  # validation and test
    assert sum("ln K = 1.099" in text for text in texts) == 2


def test_a_label_in_the_input_is_found_with_the_scores_that_it_affects(finished):
    (seen,) = problems_in(finished("group=a", "model=resnet34", "overlay=contour", "overlay.parts=[train]"))
    assert (seen.kind, "its scores are biased" in seen.text) == ("label", True)
    (scored,) = problems_in(finished("group=b", "model=resnet34", "overlay=contour"))
    assert "its val and test scores measure the drawing" in scored.text


def test_near_duplicates_across_the_split_are_counted(finished):
    groups = {"benign/benign (9999)": 7777, "benign/benign (30)": 7777}
    (finding,) = problems_in(finished("model=resnet34", method="random", groups=groups))
    assert finding.text == (
        "1 of 40 test images have a near-duplicate in training, or an image of their patient; the scores are too "
        "optimistic"
    )


def test_cases_that_are_not_all_of_the_split_are_found(finished):
    run = finished("model=resnet34")
    run.write_cases(pd.read_csv(run.cases).drop(index=59))
    (finding,) = problems_in(run)
    assert (finding.about, finding.kind) == (run.path.name, "counts")
    assert finding.text == "39 test cases, but its split has 40 test images"


@pytest.mark.parametrize("missing", ["normal", "benign"])
def test_a_class_without_test_images_is_found(finished, missing):
    cases = pd.read_csv(finished("group=whole", "model=resnet34").cases)
    left = cases[(cases["label"] != missing) | (cases["split"] == "val")]
    findings = problems_in(finished("group=part", "model=resnet34", cases=left))
    assert f"no test image of class {missing}" in [finding.text for finding in findings]
