"""Runs that do not belong together are found and named, and the rest is reported."""

import pandas as pd
import pytest
from omegaconf import OmegaConf

from bus_lightning.report.making import make_report
from bus_lightning.statistics.checks import CHECKS, find_problems, passed_checks
from bus_lightning.statistics.conditions import read_group

FOLDED = ("group=grid", "model=resnet34", "data.split.folds=3")


@pytest.fixture
def folds(finished):
    """Write the runs of three folds with two seeds; every image is tested once with each seed."""
    cases = pd.read_csv(finished("group=whole", "model=resnet34").cases)
    tested = cases.index[cases["split"] == "test"]
    runs = {}
    for seed in (0, 1):
        for fold in range(3):
            own = cases.drop(index=[row for k, row in enumerate(tested) if k // 14 != fold])
            runs[seed, fold] = finished(*FOLDED, f"seed={seed}", f"data.split.fold={fold}", cases=own)
    return runs


def problems_of(runs):
    group = read_group(next(iter(runs.values())).path.parent)
    return [(problem.kind, problem.about, problem.text) for problem in find_problems(group.conditions)]


def test_whole_folds_of_the_same_code_are_no_problem(folds):
    assert problems_of(folds) == []


def test_checks_that_have_nothing_to_check_are_not_called_passed(folds, finished):
    kinds = ("folds", "code")
    passed = passed_checks([], read_group(folds[0, 0].path.parent).conditions)
    assert {CHECKS[kind] for kind in kinds} <= set(passed)
    single = read_group(finished("group=single", "model=resnet34").path.parent).conditions
    assert not {CHECKS[kind] for kind in kinds} & set(passed_checks([], single))


def stop(run):
    run.metrics_file.unlink()
    run.update_status(state="interrupted")
    return run


@pytest.mark.slow
def test_a_seed_that_lacks_a_fold_is_left_out_if_another_seed_is_complete(folds):
    stopped = stop(folds[1, 2])
    assert problems_of(folds) == []
    group = read_group(stopped.path.parent)
    (condition,) = group.conditions
    assert [run.path for run in condition.runs] == [folds[0, fold].path for fold in range(3)]
    reasons = dict(zip(group.left_out["run"], group.left_out["reason"], strict=True))
    assert reasons == {
        folds[1, 0].path.name: "its seed has 2 of 3 folds so far, and another seed has all",
        folds[1, 1].path.name: "its seed has 2 of 3 folds so far, and another seed has all",
        stopped.path.name: "is not complete: interrupted",
    }
    report = make_report([stopped.path.parent]).with_name("report.md").read_text()
    assert "3 runs are not in this report; all numbers are of the others." in report


@pytest.mark.slow
def test_a_missing_fold_of_every_seed_is_named_with_its_seed_and_the_rest_is_reported(folds):
    stop(folds[0, 1])
    stopped = stop(folds[1, 2])
    ((kind, about, text),) = problems_of(folds)
    assert (kind, about) == ("folds", "resnet34__data.split.folds-3")
    assert text == (
        "seed 0 lacks fold 1 of 3 and has tested 26 images; seed 1 lacks fold 2 of 3 and has tested 28 images; "
        "its numbers cover the other folds only"
    )
    report = make_report([stopped.path.parent]).with_name("report.md").read_text()
    assert text in report
    assert "2 runs are not in this report; all numbers are of the others." in report
    assert f"{stopped.path.name} | resnet34 | interrupted" in report
    assert "Classification" in report


def test_other_code_among_the_runs_of_a_condition_is_named(folds):
    for number, run in enumerate(folds.values()):
        run.update_status(commit=("a" if number else "b") * 40, dirty=number == 0)
    assert problems_of(folds) == [
        ("code", "resnet34__data.split.folds-3",
         "its runs were trained with different code: aaaaaaa (5 runs), bbbbbbb+ (1 run)"),
    ]  # fmt: skip


@pytest.mark.slow
def test_other_files_among_the_runs_of_a_group_are_named_and_are_no_part_of_the_condition(folds):
    folds[1, 2].update_status(data="e-1")
    problems = problems_of(folds)
    (other,) = (text for kind, _, text in problems if kind == "data")
    assert other == (
        "1 run has the same options as 3 runs of resnet34__data.split.folds-3, but other files (data e-1 instead of "
        "d): they are not one condition"
    )
    assert {kind for kind, _, _ in problems} == {"data", "folds"}
    report = make_report([folds[1, 2].path.parent]).with_name("report.md").read_text()
    assert "but other files (data e-1 instead of d)" in report
    for run in folds.values():
        run.update_status(data="d-1")
    folds[1, 2].update_status(data="d-2")
    assert "other images of the same files" in next(text for kind, _, text in problems_of(folds) if kind == "data")


def test_other_classes_among_the_conditions_are_named(finished):
    for model in ("resnet34", "resnet50"):
        finished("group=grid", f"model={model}")
    run = finished("group=grid", "model=alexnet")
    config = OmegaConf.load(run.config)
    config.data.classes, config.data.num_classes = ["benign", "malignant"], 2
    OmegaConf.save(config, run.config)
    cases = pd.read_csv(run.cases)
    cases["prob_benign"] = 1 - cases["prob_malignant"]
    run.write_cases(cases[cases["label"] != "normal"].drop(columns="prob_normal"))
    problems = find_problems(read_group(run.path.parent).conditions)
    assert [(problem.kind, problem.about) for problem in problems if problem.kind == "scope"] == [("scope", "alexnet")]
    assert "it predicts benign, malignant, and 2 other conditions predict benign, malignant, normal" in next(
        problem.text for problem in problems if problem.kind == "scope"
    )
