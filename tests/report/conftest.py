"""Runs on one data set and on two, and a page of results, for the tests of the report."""

import pandas as pd
import pytest
from across_runs import TWO, count, describe, draw_cases, evaluate, with_validation, write_sets
from planned_runs import cases_of_fold
from results_pages import PAGE, PLAN


@pytest.fixture
def trained_on(finished):
    """Write a run that was trained on one data set, and tested on 60 of its images of 30 patients."""

    def make(
        name, *more, sets=True, model="resnet34", classes=TWO, classes_of_cases=("benign", "malignant"), **options
    ):
        options |= {"classes": classes_of_cases}
        names = options.get("names", ("prob_benign", "prob_malignant"))
        test = draw_cases(name, **options)
        whole = with_validation(test, name, names=names)
        groups = {id_: k // 2 for k, id_ in enumerate(whole["id"])}
        run = finished("group=across", f"data={name}", classes, f"model={model}", *more, cases=whole, groups=groups)
        run.update_status(data=f"hash of {name}")
        if sets:
            write_sets(run, {name: describe(name)}, {name: count(len(test), 30)}, train=[name])
        return run

    return make


@pytest.fixture
def trained_on_two(finished):
    """Write a run that was trained on BUSI and BUS-BRA; `test` are the cases of its test part by data set."""

    def make(test, *more):
        cases = with_validation(pd.concat(test.values(), ignore_index=True), "v", prefix="busi/")
        run = finished("group=across", "data=[busi,bus_bra]", "data.root=null", TWO, *more, cases=cases)
        parts = {name: count(len(own), len(own)) for name, own in test.items()}
        sets = {name: describe(name) for name in ("busi", "bus_bra", *test)}
        write_sets(run, sets, parts, train=["busi", "bus_bra"])
        return run

    return make


@pytest.fixture
def page_and_plan(tmp_path):
    """The page and its plan."""
    page, plan = tmp_path / "docs" / "results.md", tmp_path / "docs" / "results.yaml"
    page.parent.mkdir()
    page.write_text(PAGE)
    plan.write_text(PLAN)
    return page, plan


@pytest.fixture
def folded_runs(finished, tmp_path):
    """Two seeds of two folds in one group, and a run with an evaluation in another."""
    cases = pd.read_csv(finished("group=whole", "model=resnet34").cases)
    folds = {}
    for seed in (0, 1):
        for fold in (0, 1):
            own = cases_of_fold(cases, fold)
            options = ("group=folded", "model=resnet34", "data.split.folds=2")
            run = finished(*options, f"seed={seed}", f"data.split.fold={fold}", cases=own)
            command = (
                f"train.py -m model=resnet34 seed=0,1 runs_dir=/home/me/runs data.root=/data/x group=folded {fold}"
            )
            run.update_status(commit="a" * 40, dirty=False, command=command.removesuffix(f" {fold}"), versions={})
            folds[seed, fold] = run
    classes = "data.classes=[benign,malignant]"
    outside = finished("group=outside", "model=resnet34", classes, cases=with_validation(draw_cases("busi"), "busi"))
    evaluate(outside, "other", draw_cases("other", sure=1.5))
    return folds
