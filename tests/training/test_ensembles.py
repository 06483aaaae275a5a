"""Ensembles: probabilities averaged over seeds and networks, never with a network that has seen the image."""

import json
import logging
import shutil

import numpy as np
import pandas as pd
import pytest
from averaging import average, ensembles_in
from omegaconf import OmegaConf

from bus_lightning.core.errors import UserError
from bus_lightning.data.splits import load_split, make_named_split
from bus_lightning.export.runs import open_for_bundle
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.runs.ensembles import read_ensemble, refuse_seen
from bus_lightning.runs.finished import open_run
from bus_lightning.runs.folder import RunDir
from bus_lightning.statistics.conditions import read_group
from bus_lightning.training.evaluate import evaluate_runs


@pytest.fixture
def seeds(finished):
    """Write runs of three seeds of one condition, each with other answers, and return them."""

    def make(*overrides, seeds=(0, 1, 2), **options):
        return [finished("group=g", f"seed={seed}", *overrides, **options) for seed in seeds]

    return make


@pytest.fixture
def folds(finished):
    """Write runs of two seeds on each of three folds: every image is tested once by each seed."""

    def make(*overrides, without=()):
        runs = {}
        for fold in range(3):
            tested = [f"case {k:02d}" for k in range(45) if k % 3 == fold]
            labels = ["benign", "malignant", "normal"]
            cases = pd.DataFrame({"id": tested, "split": "test"})
            cases["label"] = [labels[k % 3] for k in range(len(cases))]
            val = pd.DataFrame({"id": [f"case {k:02d}" for k in range(45) if k % 3 == (fold + 1) % 3], "split": "val"})
            val["label"] = [labels[k % 3] for k in range(len(val))]
            cases = pd.concat([val, cases], ignore_index=True)
            train = [f"case {k:02d}" for k in range(45) if k % 3 == (fold + 2) % 3]
            for seed in range(2):
                raw = np.random.default_rng(10 * fold + seed).dirichlet([1, 1, 1], len(cases))
                own = cases.assign(**{f"prob_{name}": raw[:, k] for k, name in enumerate(labels)})
                if (fold, seed) not in without:
                    runs[fold, seed] = finished(
                        "group=g", "data.split.folds=3", f"data.split.fold={fold}", f"seed={seed}", *overrides,
                        cases=own, train=train,
                    )  # fmt: skip
        return runs

    return make


def test_seeds_are_averaged_as_probabilities_of_each_image_without_a_checkpoint(seeds):
    runs = seeds()
    average(runs[0].path.parent / "*")
    (folder,) = ensembles_in(runs[0].path.parent)
    mean = open_run(folder).cases.set_index("id")
    tables = [open_run(run.path).cases.set_index("id") for run in runs]
    for column in ("prob_benign", "prob_malignant", "prob_normal"):
        assert np.allclose(mean[column], sum(table.loc[mean.index, column] for table in tables) / 3, atol=1e-15)
    assert set(mean["split"]) == {"val", "test"}
    assert not mean["prob_benign"].equals(tables[0]["prob_benign"])
    scores = RunDir(folder).metrics
    assert scores["test"]["auroc_macro"] == metrics_of(mean[mean["split"] == "test"].reset_index())["auroc_macro"]
    assert load_split(RunDir(folder).split) == load_split(runs[0].split)


def test_the_file_of_an_ensemble_names_its_networks(seeds):
    runs = seeds()
    average(runs[0].path.parent / "*")
    (folder,) = ensembles_in(runs[0].path.parent)
    ensemble = read_ensemble(RunDir(folder))
    assert [member.folder(RunDir(folder)).path for member in ensemble.members] == [run.path for run in runs]
    assert [member.seed for member in ensemble.members] == [0, 1, 2]
    assert len({member.condition for member in ensemble.members}) == 1
    with pytest.raises(UserError, match=r"is an ensemble of 3 networks and has none itself.*seed-0"):
        open_run(folder).network()


def test_an_out_of_fold_image_is_averaged_over_the_networks_of_its_fold_only(folds):
    runs = folds()
    group = runs[0, 0].path.parent
    average(group / "*")
    assert len(ensembles_in(group)) == 3
    tested = []
    for folder in ensembles_in(group):
        opened = open_run(folder)
        for member in opened.ensemble.members:
            split = load_split(member.folder(opened.folder).split)
            assert not {*split.train, *split.val} & {*opened.split.test}
        test = opened.cases[opened.cases["split"] == "test"].set_index("id")
        fold = opened.config.data.split.fold
        own = [open_run(runs[fold, seed].path).cases.set_index("id").loc[test.index] for seed in (0, 1)]
        assert np.allclose(test["prob_benign"], (own[0]["prob_benign"] + own[1]["prob_benign"]) / 2)
        tested += list(test.index)
    assert sorted(tested) == sorted(f"case {k:02d}" for k in range(45))
    ensemble, single = sorted(read_group(group).conditions, key=lambda each: not each.is_ensemble)
    assert (len(ensemble.runs), ensemble.networks, len(ensemble.averaged), len(single.runs)) == (3, 2, 6, 6)
    assert ensemble.part("test").groupby("replicate").size().tolist() == [45]


def test_a_network_that_saw_an_image_is_never_averaged_on_it(folds):
    runs = folds()
    split = load_split(runs[1, 0].split)
    for part in ("train", "val"):
        with pytest.raises(UserError, match="was trained or selected on 'case"):
            refuse_seen(runs[1, 0].path, split, split.part(part), "test")
    with pytest.raises(UserError, match="was trained or selected on 'case"):
        refuse_seen(runs[1, 0].path, split, split.train, "val")
    with pytest.raises(UserError, match="does not know 'elsewhere'"):
        refuse_seen(runs[1, 0].path, split, ["elsewhere"], "test")
    refuse_seen(runs[1, 0].path, split, split.val, "val")
    refuse_seen(runs[1, 0].path, split, split.test, "test")


def test_a_network_that_saw_a_near_duplicate_is_never_averaged_on_an_image(seeds):
    run = seeds(seeds=(0,))[0]
    split, changed = load_split(run.split), json.loads(run.split.read_text())
    changed["groups"][split.test[0]] = changed["groups"][split.train[0]]
    with pytest.raises(UserError, match="was trained or selected on"):
        refuse_seen(run.path, type(split)(**changed), split.test, "test")
    refuse_seen(run.path, type(split)(**changed | {"method": "random"}), split.test, "test")  # its leak is the point


def test_a_missing_seed_of_one_fold_is_named_and_no_smaller_ensemble_is_made(folds):
    runs = folds(without=[(2, 1)])
    group = runs[0, 0].path.parent
    with pytest.raises(UserError, match="1 of 1 ensembles could not be made"):
        average(group / "*")
    assert not ensembles_in(group)


def test_missing_networks_are_named_in_one_line(folds, caplog):
    runs = folds(without=[(2, 1)])
    with pytest.raises(UserError):
        average(runs[0, 0].path.parent / "*")
    assert "with seed=1 has the test images of" in caplog.text
    assert f"{runs[2, 0].path}" in caplog.text


@pytest.mark.parametrize("damage", ["unfinished", "damaged"])
def test_a_run_that_cannot_be_used_refuses_its_ensemble_and_not_the_others(seeds, damage, caplog):
    runs, others = seeds(), seeds("model=alexnet")
    if damage == "unfinished":
        runs[1].metrics_file.unlink()
    else:
        runs[1].cases.write_text("id,split\n")
    with pytest.raises(UserError, match="1 of 2 ensembles"):
        average(runs[0].path.parent / "*")
    assert [path.name.partition("__")[0] for path in ensembles_in(runs[0].path.parent)] == ["ensemble_alexnet"]
    assert str(runs[1].path) in caplog.text
    assert len(open_run(ensembles_in(runs[0].path.parent)[0]).ensemble.members) == len(others)


def test_networks_are_averaged_under_a_name_whatever_the_order_of_their_classes(seeds):
    first = seeds(seeds=(0,))[0]
    cases = pd.read_csv(first.cases)
    cases[["prob_normal", "prob_benign"]] = cases[["prob_benign", "prob_normal"]].to_numpy()
    columns = ["id", "split", "label", "prob_normal", "prob_malignant", "prob_benign"]
    shuffled = cases[columns].sample(frac=1, random_state=0)
    other = seeds("model=alexnet", "data.classes=[normal,malignant,benign]", seeds=(0,), cases=shuffled)[0]
    other.split.write_bytes(first.split.read_bytes())
    average(first.path.parent / "*", "both")
    mean = open_run(first.path.parent / "ensemble_both").cases.set_index("id")
    tables = [open_run(run.path).cases.set_index("id") for run in (first, other)]
    for name in ("benign", "malignant", "normal"):
        column = f"prob_{name}"
        assert np.allclose(mean[column], sum(table.loc[mean.index, column] for table in tables) / 2)


def test_what_networks_must_share_is_named_if_they_differ(seeds, caplog):
    first = seeds(seeds=(0,))[0]
    pattern = first.path.parent / "*"
    other = seeds("model=alexnet", seeds=(0,))[0]
    other.update_status(data="other files")
    with pytest.raises(UserError):
        average(pattern, "both")
    assert "differ in the data files" in caplog.text
    other.update_status(data="d")
    other.config.write_text(other.config.read_text().replace("style: none", "style: contour"))
    with pytest.raises(UserError):
        average(pattern, "both")
    assert (
        "differ in overlay.style (none and contour)" in caplog.text or "overlay.style (contour and none)" in caplog.text
    )


def test_validation_images_are_left_out_where_the_splits_differ(seeds):
    first = seeds(seeds=(0,))[0]
    other = seeds("model=alexnet", seeds=(0,))[0]
    split = json.loads(other.split.read_text())
    moved = split["val"].pop()
    split["train"] = sorted([*split["train"], moved])
    make_named_split({part: split[part] for part in ("train", "val", "test")}, "grouped", split["groups"]).save(
        other.split
    )
    cases = pd.read_csv(other.cases)
    cases[cases["id"] != moved].to_csv(other.cases, index=False)
    average(first.path.parent / "*", "both")
    opened = open_run(first.path.parent / "ensemble_both")
    assert set(opened.cases["split"]) == {"test"}
    assert opened.split.val == []
    assert {*opened.split.train} == {*split["train"], *split["val"]}
    assert opened.metrics["val"]["n"] == 0


def test_a_copy_of_a_run_does_not_count_twice(seeds, caplog):
    runs = seeds(seeds=(0, 1))
    shutil.copytree(runs[0].path, runs[0].path.with_name("copy"))
    with pytest.raises(UserError):
        average(runs[0].path.parent / "*")
    assert "one is a copy of the other" in caplog.text


def test_a_complete_ensemble_is_skipped_and_made_again_when_a_network_has_changed(seeds, caplog):
    caplog.set_level(logging.INFO)
    runs = seeds()
    group = runs[0].path.parent
    average(group / "*")
    (folder,) = ensembles_in(group)
    before = (folder / "cases.csv").read_bytes()
    caplog.clear()
    average(group / "*")
    assert f"{folder}: complete, skipped" in caplog.text
    cases = pd.read_csv(runs[2].cases)
    swapped = {"prob_benign": "prob_normal", "prob_normal": "prob_benign"}
    cases.rename(columns=swapped)[list(cases)].to_csv(runs[2].cases, index=False)
    average(group / "*")
    assert (folder / "cases.csv").read_bytes() != before
    (folder / "cases.csv").write_text("cut")
    average(group / "*")
    assert len(open_run(folder).cases) == 60


def test_a_single_seed_is_no_ensemble(seeds):
    run = seeds(seeds=(0,))[0]
    with pytest.raises(UserError, match="no two runs that can be averaged"):
        average(run.path)


def test_the_mean_of_a_joint_network_and_a_classifier_predicts_the_class_alone(seeds):
    joint = seeds("model=joint_unet", "predict.no_lesion=0.01", seeds=(0, 1))
    classifiers = seeds(seeds=(0, 1))
    average(joint[0].path.parent / "*", "both")
    mean = open_run(joint[0].path.parent / "ensemble_both")
    tables = [open_run(run.path).cases.set_index("id") for run in (*joint, *classifiers)]
    cases = mean.cases.set_index("id")
    assert mean.task == "classification"
    assert np.allclose(
        cases["prob_benign"], sum(table.loc[cases.index, "prob_benign"] for table in tables) / 4, atol=1e-15
    )
    assert "tp" in tables[0]
    assert "tp" not in cases
    assert {member.model for member in mean.ensemble.members} == {
        "joint_unet",
        open_run(classifiers[0].path).config.model.name,
    }
    conditions = read_group(joint[0].path.parent).conditions
    assert {(each.task, each.networks) for each in conditions} == {
        ("classification", 4),
        ("classification", 1),
        ("joint", 1),
    }


def test_networks_of_different_tasks_are_not_averaged(seeds, caplog):
    first = seeds(seeds=(0,))[0]
    seeds("model=unet", seeds=(0,))
    with pytest.raises(UserError):
        average(first.path.parent / "*", "both")
    assert "differ in task (classification and segmentation)" in caplog.text


@pytest.mark.parametrize(
    "option", ["part=val", "explain=true", "robustness=true", "predict.flips=true", "split=nowhere.json"]
)
def test_an_option_that_an_ensemble_does_not_have_is_refused_before_any_compute(seeds, option):
    runs = seeds()
    with pytest.raises(UserError, match=option.partition("=")[0]):
        average(runs[0].path.parent / "*", "seeds", option)
    assert not ensembles_in(runs[0].path.parent)


def test_an_ensemble_is_neither_exported_nor_evaluated_as_a_run(seeds):
    runs = seeds()
    average(runs[0].path.parent / "*")
    (folder,) = ensembles_in(runs[0].path.parent)
    with pytest.raises(UserError, match=r"has no network to export: give its runs, --run .*seed-0 .*seed-1"):
        open_for_bundle(folder)
    with pytest.raises(UserError, match="These are ensembles: name the runs that they average"):
        evaluate_runs(OmegaConf.create({"runs": str(folder), "part": "test", "split": None, "data": {"root": None}}))
