"""`make demo` shows a newcomer networks that learn."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from bus_lightning.report.making import make_report
from bus_lightning.runs.folder import RunDir

ROOT = Path(__file__).parents[2]
USERS = {"resnet50", "alexnet", "deepcardinal50"}


def demo_overrides():
    """Read what `make demo` passes to train.py."""
    (line,) = re.findall(r"^\t\S+ train\.py (-m .*experiment=demo.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return dict(word.split("=", 1) for word in shlex.split(line.removeprefix("-m ")))


def test_the_demo_trains_the_three_classifiers_a_pretrained_one_and_a_segmenter():
    assert set(demo_overrides()["model"].split(",")) == USERS | {"efficientnet_lite0", "u2net_lite"}


@pytest.mark.nightly
def test_the_recipe_of_the_demo_trains_a_classifier_that_is_clearly_above_chance(tmp_path):
    options = demo_overrides() | {"model": "efficientnet_lite0", "logger": "none"}
    command = [sys.executable, str(ROOT / "train.py"), *(f"{key}={value}" for key, value in options.items())]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs/demo").glob("efficientnet_lite0*")
    run = RunDir(folder)
    test, majority = run.metrics["test"], pd.read_csv(run.cases).query("split == 'test'")["label"].value_counts()
    assert test["auroc_macro"] > 0.9
    assert test["accuracy"] > majority.iloc[0] / majority.sum() + 0.1


def first_note(run):
    text = (make_report([run.path.parent]).parent / "report.md").read_text()
    return text.partition("In short")[2].partition("**Table 1.**")[0]


@pytest.mark.slow
def test_a_report_starts_with_the_best_classifier_and_how_far_it_is_above_chance(finished):
    finished("model=resnet50", "group=grid", "data=phantom", sure=-3)
    note = first_note(finished("model=alexnet", "group=grid", "data=phantom", sure=6))
    assert "The best of 2 classifiers, alexnet, is better than chance on 40 held-out synthetic test images" in note
    assert re.search(r"macro AUC (0\.9\d\d|1\.000) \(.* to .*\), where chance gives 0\.5; accuracy", note), note
    assert "Check passed" in note


@pytest.mark.slow
def test_a_report_does_not_praise_a_classifier_that_is_no_better_than_chance(finished):
    note = first_note(finished("model=resnet50", "group=grid", sure=0))
    assert "resnet50 is not clearly better than chance on 40 held-out test images" in note
    assert "Check passed" not in note
