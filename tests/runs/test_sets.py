"""A run and its evaluations keep which data sets they were trained and tested on, as counts."""

import json
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf
from small_runs import SMALL, Plug, contents, stopped_and_whole

from bus_lightning.core.errors import DamagedError
from bus_lightning.data.phantom import draw_phantom
from bus_lightning.data.splits import load_split
from bus_lightning.report.across_section import across_section
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.sets import read_sets_of, sets_of
from bus_lightning.statistics.conditions import read_group
from bus_lightning.training import train
from bus_lightning.training.evaluate import evaluate_run

SPLIT = "data.split.ratio=[2,1,1]"


@pytest.fixture(scope="session")
def hospitals(tmp_path_factory):
    """Two folders of phantom images, which stand for two data sets, `busi` and `bus_uclm`."""
    above = tmp_path_factory.mktemp("hospitals")
    for seed, name in ((0, "here"), (1, "there")):
        draw_phantom(above / name, images=36, seed=seed)
    return above


@pytest.fixture
def several(composed, hospitals):
    """Compose the config of a run on both folders."""

    def make(*overrides):
        places = [f"data.sets.busi.root={hospitals / 'here'}", f"data.sets.bus_uclm.root={hospitals / 'there'}"]
        sets = ["data=[busi,bus_uclm]", *places, "data.sets.bus_uclm.source=folder"]
        return composed(*SMALL, *sets, SPLIT, *overrides, root="null")

    return make


def run_of(cfg):
    train.run(cfg)
    return RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)


def evaluate(run, root, **options):
    data = {"root": str(root), "skip_unreadable": False}
    cfg = OmegaConf.create({"part": "test", "split": None, "progress": False, "data": data} | options)
    return evaluate_run(run, cfg)


@pytest.mark.slow
def test_a_run_on_several_sets_counts_the_images_of_each_part_by_set(several):
    run = run_of(several("name=both"))
    sets, split = read_sets_of(run), load_split(run.split)
    assert sets.trained == ("busi", "bus_uclm")
    for part in ("train", "val", "test"):
        ids = pd.Series(split.part(part))
        for name in ("busi", "bus_uclm"):
            own = ids[ids.str.startswith(f"{name}/")]
            assert sets.parts[part][name]["images"] == len(own) > 0
            assert sets.parts[part][name]["groups"] == len({split.groups[id_] for id_ in own})
            assert sets.parts[part][name]["patients"] is None  # phantoms have no patients
    assert sets.described["busi"]["images"] == 36
    assert sum(sets.described["busi"]["classes"].values()) == 36
    assert 0 < sets.described["busi"]["median_lesion_share"] < 1


def test_sets_json_names_no_image_no_patient_and_no_folder(several, hospitals):
    run = run_of(several("name=both"))
    text = run.sets.read_text()
    assert not [id_ for id_ in load_split(run.split).part("all") if id_ in text]
    assert not [word for word in (str(hospitals), "hospitals", "(1)", ".png") if word in text]
    assert json.loads(text).keys() == {"sets", "parts", "seen", "flow"}


def test_a_set_that_is_tested_whole_is_the_test_part(several):
    run = run_of(several("name=left_out", "data.test=bus_uclm"))
    sets = read_sets_of(run)
    assert sets.trained == ("busi",)
    assert {name: counts["images"] for name, counts in sets.parts["test"].items()} == {"bus_uclm": 36}
    cases = pd.read_csv(run.cases)
    assert cases.loc[cases["split"] == "test", "id"].str.startswith("bus_uclm/").all()
    section = across_section(read_group(run.path.parent).conditions, None)
    table = next(
        item.frame for item in section.items if getattr(item, "slug", "") == "across_classification_auroc_macro"
    )
    assert "36 images" in table.loc[0, "tested on bus_uclm"]
    assert table.loc[0, "tested on busi"] == "no held-out images"


@pytest.mark.slow
def test_an_evaluation_on_another_folder_is_another_set_and_counts_what_was_seen(composed, hospitals, tmp_path):
    run = run_of(composed(*SMALL, "data=busi", SPLIT, root=hospitals / "here"))
    assert read_sets_of(run).trained == ("busi",)
    other = read_sets_of(evaluate(run, hospitals / "there"))
    assert {name: counts["images"] for name, counts in other.parts["test"].items()} == {"there": 36}
    assert (other.trained, other.seen) == ((), 0)
    assert other.described["there"]["data"] == "folder"
    mixed = tmp_path / "mixed"  # with an image of the training part
    draw_phantom(mixed, images=24, seed=2)
    trained = load_split(run.split).train[0]
    (mixed / "benign" / "renamed.png").write_bytes((hospitals / "here" / f"{trained}.png").read_bytes())
    assert read_sets_of(evaluate(run, mixed, split="all")).seen == 1
    assert read_sets_of(evaluate(run, mixed, split="unseen")).seen == 0


def test_a_run_without_the_file_is_named_by_its_config(several):
    cfg = several("name=both")
    run = run_of(cfg)
    known, split = read_sets_of(run), load_split(run.split)
    run.sets.unlink()
    older = sets_of(run, cfg, split)
    assert older.trained == known.trained
    assert {part: {name: counts["images"] for name, counts in sets.items()} for part, sets in older.parts.items()} == {
        part: {name: counts["images"] for name, counts in sets.items()} for part, sets in known.parts.items()
    }


@pytest.mark.parametrize(("root", "name"), [("/data/hospital_a", "hospital_a"), (None, "busi")])
def test_the_set_of_the_first_version_is_its_folder_or_busi(finished, root, name):
    run = finished("model=resnet34", "group=older")
    cfg = OmegaConf.load(run.config)
    del cfg.data.sets
    cfg.data.root = root
    assert list(sets_of(run, cfg, load_split(run.split)).described) == [name]


def test_something_else_in_the_place_of_the_file_is_named_before_the_training(several):
    cfg = several("name=both")
    run = RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)
    run.sets.mkdir(parents=True)
    with pytest.raises(DamagedError, match=r"sets\.json"):
        train.run(cfg)


@pytest.mark.nightly
def test_a_run_on_several_sets_that_was_stopped_ends_with_the_same_bits(several):
    stopped, whole = stopped_and_whole(several, ["trainer.max_epochs=2", "name=stopped"], Plug(epoch=1))
    assert contents(stopped) == contents(whole)
    assert stopped.sets.read_bytes() == whole.sets.read_bytes()


@pytest.mark.nightly
@pytest.mark.parametrize("test", ["null", "bus_uclm"])
def test_a_classifier_on_several_sets_takes_the_masks_of_segmenters_on_the_same_sets(several, test):
    options = ["sweep=two_stage", "data.split.cross_folds=2", f"data.test={test}", SPLIT]
    for name, fold in (("whole", "null"), ("fold0", 0), ("fold1", 1)):
        train.run(several("model=unet", f"name={name}", f"data.split.cross_fold={fold}", *options))
    cfg = several("model=resnet34", "name=classifier", "data.split.cross_fold=null", *options)
    run = run_of(cfg)
    assert run.is_complete
    assert set(read_sets_of(run).parts["test"]) == ({"bus_uclm"} if test == "bus_uclm" else {"busi", "bus_uclm"})
