"""The folder of a new run gets a new name; the folder of an earlier version is found by its older name."""

from pathlib import Path

import pytest

from bus_lightning.config.run_names import older_name, run_name
from bus_lightning.config.stored import save_config
from bus_lightning.launch.jobs import folder_name
from bus_lightning.runs.folder import RunDir

RATIO = "data.split.ratio=[4,1,1]"


@pytest.fixture
def made(composed):
    """Make the folder of a run as an earlier version named it, and return that name."""

    def make(*overrides, **options):
        cfg = composed(*overrides, **options)
        older = older_name(cfg.model.name, overrides)
        cfg.data.num_classes = 3  # as it is known once the data were read
        cfg.data.classes = ["benign", "malignant", "normal"]
        cfg.preprocess = {key: value for key, value in cfg.preprocess.items() if key != "rules"}  # which came later
        run = RunDir(group_of(cfg) / older)
        run.path.mkdir(parents=True)
        save_config(cfg, run.config)
        return older

    return make


def group_of(cfg):
    return Path(cfg.runs_dir) / cfg.group


@pytest.mark.parametrize(
    "overrides",
    [[RATIO], [RATIO, "seed=1"], ["model.weights=/a/b.pth"], ["data.exclude=/a b.csv"], ["~scheduler.patience"]],
)
def test_a_folder_of_an_earlier_version_is_found_by_its_name(composed, made, overrides):
    cfg = composed(*overrides)
    assert folder_name(cfg, overrides) == run_name(cfg.model.name, overrides)
    older = made(*overrides)
    assert older != run_name(cfg.model.name, overrides)
    assert folder_name(cfg, overrides) == older


def test_an_older_folder_is_found_though_places_and_display_differ(composed, made):
    older = made("callbacks=early_stopping", "data=phantom", RATIO)
    overrides = ["callbacks=early_stopping", "data=phantom", "data.cache=elsewhere", "callbacks.progress=null", RATIO]
    assert folder_name(composed(*overrides), overrides) == older


@pytest.mark.parametrize(
    ("present", "override"),
    [("model.weights=/a/b.pth", "model.weights=/a-b.pth"), ("data.exclude=/a b.csv", "data.exclude=/a/b.csv"),
     ("data.split.ratio=[4,1,1]", "data.split.ratio=[4,1-1]")],
)  # fmt: skip
def test_a_folder_that_another_value_has_made_is_not_taken(composed, made, present, override):
    made(present)
    cfg = composed(override)
    assert folder_name(cfg, [override]) == run_name(cfg.model.name, [override])


def test_a_folder_of_another_experiment_is_not_taken(composed, made):
    older = made(RATIO)
    cfg = composed(RATIO, "optimizer.lr=0.5")  # as a changed default would have it
    assert folder_name(cfg, [RATIO]) == run_name(cfg.model.name, [RATIO]) != older


def test_a_folder_of_the_new_name_goes_before_an_older_one(composed, made):
    made(RATIO)
    cfg = composed(RATIO)
    name = run_name(cfg.model.name, [RATIO])
    (group_of(cfg) / name).mkdir()
    assert folder_name(cfg, [RATIO]) == name


def test_a_damaged_folder_of_an_older_name_is_not_taken(composed, made):
    older = made(RATIO)
    cfg = composed(RATIO)
    RunDir(group_of(cfg) / older).config.write_text("- no config")
    assert folder_name(cfg, [RATIO]) == run_name(cfg.model.name, [RATIO])
