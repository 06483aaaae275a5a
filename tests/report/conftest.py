"""Runs on one data set and on two, for the tests of the report."""

import pandas as pd
import pytest
from across_runs import TWO, count, describe, draw_cases, with_validation, write_sets


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
