"""A report says what a network trained on one data set does on another, and what differs between the sets."""

import json

import pandas as pd
import pytest
from across_runs import describe, draw_cases, evaluate, with_validation, write_sets
from across_runs import count as counted

from bus_lightning.report.across_section import across_section
from bus_lightning.report.making import make_report
from bus_lightning.statistics.conditions import read_group

TWO = "data.classes=[benign,malignant]"
THREE = ("prob_benign", "prob_malignant", "prob_normal")


@pytest.fixture
def trained_on(finished):
    """Write a run that was trained on one data set, and tested on 60 of its images of 30 patients."""

    def make(name, *more, cases=None, sets=True, model="resnet34", **options):
        test = draw_cases(name, **options) if cases is None else cases
        names = options.get("names", ("prob_benign", "prob_malignant"))
        whole = with_validation(test, name, names=names)
        groups = {id_: k // 2 for k, id_ in enumerate(whole["id"])}
        run = finished("group=across", f"data={name}", TWO, f"model={model}", *more, cases=whole, groups=groups)
        run.update_status(data=f"hash of {name}")
        if sets:
            write_sets(run, {name: describe(name)}, {name: counted(len(test), 30)}, train=[name])
        return run

    return make


def section_of(run, **options):
    return across_section(read_group(run.path.parent).conditions, None, **options)


def table_of(section, slug):
    (item,) = (item for item in section.items if getattr(item, "slug", "") == slug)
    return item.frame.set_index(item.frame.columns[0])


def test_look(trained_on, tmp_path):
    import os, shutil
    names = ["busi", "bus_bra", "breast"]
    for seed in (0, 1):
        for k, name in enumerate(names):
            run = trained_on(name, f"seed={seed}", sure=1.5)
            for j, other in enumerate(names):
                if other != name and not (name == "breast" and other == "busi"):
                    evaluate(run, other, draw_cases(other, 160, sure=0.6), described=describe(other, 300 + 100 * j, median_lesion_mm=14.0 if other == "breast" else None, share_tinted=0.4 * j, devices={} if j == 0 else {"GE Logiq 7": 10, "Toshiba": 3}), patients=None if other == "busi" else 120)
    for k, name in enumerate(names):
        run = trained_on(name, model="unet", names=())
        for j, other in enumerate(names):
            if other != name:
                evaluate(run, other, draw_cases(other, 160, names=(), sure=0.8))
    page = make_report([run.path.parent])
    shutil.copytree(page.parent, "/tmp/h/mat15_look", dirs_exist_ok=True)
