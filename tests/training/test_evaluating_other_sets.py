"""A run is tested on data sets of any layout, with its own classes and preprocessing, and never on what it has seen."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from composing import ROOT, compose_run
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from bus_lightning.config.schema import EVALUATE, check_kinds
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.data.index import read_index
from bus_lightning.data.phantom import draw_phantom
from bus_lightning.data.sources.registry import read_sets
from bus_lightning.data.splits import load_split
from bus_lightning.runs.cases import read_cases
from bus_lightning.runs.evaluations import read_evaluations
from bus_lightning.runs.finished import open_run
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import fit, train
from bus_lightning.training.evaluate import evaluate_run

WORDS = {"benign": "Fibroadenoma", "malignant": "Carcinoma", "normal": "Nothing"}
TABLE = ["data=table", "data.columns={image: File, mask: Mask, class: Result, patient: Patient}"]
MAP = "data.map.class={benign: [fibroadenoma], malignant: [CARCINOMA], normal: [nothing]}"


def request(*overrides):
    """Compose the config of `evaluate.py`."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("evaluate", overrides=["runs=x", "progress=false", *overrides])
    return check_kinds(cfg, EVALUATE)


@pytest.fixture(scope="module")
def finished(phantom, audit_cache, tmp_path_factory):
    """Small networks of three classes, by model, trained once on the phantom folder."""
    made = {}

    def make(model):
        if model not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(fit, "save_sheet", lambda *_: None)
                cfg = compose_run([f"model={model}"], phantom, audit_cache, tmp_path_factory.mktemp("runs"))
                train.run(cfg)
            made[model] = RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)
        return made[model]

    return make


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Another phantom folder, of which no run has seen an image."""
    folder = tmp_path_factory.mktemp("others") / "phantom"
    draw_phantom(folder, images=24, seed=5)
    return folder


@pytest.fixture(scope="module")
def hospital(others, tmp_path_factory):
    """The same images in a flat folder with a table; two images are of one patient."""
    return make_hospital(others, read_index(others)["id"], tmp_path_factory.mktemp("hospital"))


def make_hospital(source, ids, root):
    """Copy images to new names, and write the table."""
    index, rows = read_index(source).set_index("id"), []
    (root / "us").mkdir()
    (root / "gt").mkdir()
    for number, id_ in enumerate(ids):
        row, name = index.loc[id_], f"{number:03d}.png"
        shutil.copy(source / row["image"], root / "us" / name)
        for mask in row["masks"]:
            shutil.copy(source / mask, root / "gt" / name)
        mask = f"gt/{name}" if row["masks"] else ""
        rows.append({"File": f"us/{name}", "Mask": mask, "Result": WORDS[row["class"]], "Patient": number // 2})
    pd.DataFrame(rows).to_csv(root / "cases.csv", index=False)
    return root


def make_two_folders(source, ids, root):
    """Copy images with a lesion into `images/` and `masks/`, under new names and without classes."""
    index = read_index(source).set_index("id")
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    chosen = [id_ for id_ in ids if index.at[id_, "masks"]]
    for number, id_ in enumerate(chosen):
        shutil.copy(source / index.at[id_, "image"], root / "images" / f"x{number}.png")
        shutil.copy(source / index.at[id_, "masks"][0], root / "masks" / f"x{number}.png")
    return root, len(chosen)


def of_table(root, *more):
    return request(*TABLE, f"data.table={root / 'cases.csv'}", *more)


@pytest.mark.slow
def test_a_table_with_other_words_and_patients_gives_what_the_same_folder_gives(finished, others, hospital):
    run = finished("alexnet")
    expected = evaluate_run(run, request(f"data.root={others}"))
    evaluated = evaluate_run(run, of_table(hospital, MAP))
    cases = [pd.read_csv(result.cases).sort_values("id", ignore_index=True) for result in (expected, evaluated)]
    assert cases[0]["label"].tolist() == cases[1]["label"].tolist()
    # The size of the run is 64, that of conf/data/default.yaml 224.
    np.testing.assert_allclose(*(table.filter(like="prob_") for table in cases), rtol=0, atol=1e-6)
    groups = load_split(evaluated.split).groups
    assert groups["us/000"] == groups["us/001"] != groups["us/002"], "patients are kept in the groups of the intervals"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["alexnet", "joint_unet"])
def test_a_class_that_the_run_does_not_know_gets_one_line_with_the_cures(finished, hospital, model):
    run = finished(model)
    with pytest.raises(UserError) as refused:
        evaluate_run(run, of_table(hospital))
    line = str(refused.value)
    assert "\n" not in line
    assert "Carcinoma: " in line
    for cure in ("data.map.class", "'data.drop.class=[Carcinoma,Fibroadenoma,Nothing]'", "data.classes"):
        assert cure in line
    part = [MAP.replace(", normal: [nothing]", ""), "data.drop.class=[Nothing]"]
    labels = pd.read_csv(evaluate_run(run, of_table(hospital, *part)).cases)["label"]
    assert set(labels) == {"benign", "malignant"}
    labels = pd.read_csv(evaluate_run(run, of_table(hospital, MAP, "data.classes=[normal,benign]")).cases)["label"]
    assert set(labels) == {"benign", "normal"}


def test_a_class_without_images_is_named_and_only_metrics_that_need_it_are_undefined(finished, hospital, caplog):
    caplog.set_level(logging.INFO)
    part = [MAP.replace(", normal: [nothing]", ""), "data.drop.class=[nothing]"]
    result = evaluate_run(finished("alexnet"), of_table(hospital, *part))
    assert "has no images of class normal, which the network can still predict" in caplog.text
    scores = result.metrics["test"]
    assert scores["auroc_macro"] is None
    assert scores["undefined"]["auroc_macro"] == "no image of class normal"
    assert None not in (scores["accuracy"], scores["auroc_malignant"], scores["malignant_vs_benign_auroc"])
    cases = read_cases(result.cases, "classification", ["benign", "malignant", "normal"])
    assert "normal" not in set(cases["label"])
    assert scores["accuracy"] == np.mean(
        cases["label"] == cases.filter(like="prob_").idxmax(axis=1).str.removeprefix("prob_")
    )


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["images_masks", "table"])
def test_a_segmenter_needs_no_class(finished, others, hospital, tmp_path, layout):
    run = finished("unet")
    if layout == "table":
        cfg, number, classes = of_table(hospital, "data.drop.class=[nothing]"), 17, {"Fibroadenoma", "Carcinoma"}
        number = sum(pd.read_csv(hospital / "cases.csv")["Result"] != "Nothing")
    else:
        root, number = make_two_folders(others, read_index(others)["id"], tmp_path / "two")
        cfg, classes = request("data=images_masks", f"data.root={root}"), {"unlabelled"}
    result = evaluate_run(run, cfg)
    cases = read_cases(result.cases, "segmentation")
    assert len(cases) == number
    assert set(cases["label"]) == classes
    assert result.metrics["test"]["dice_image"] is not None
    (evaluation,) = [each for each in read_evaluations(run, None) if each.folder.path == result.path]
    assert set(evaluation.cases["label"]) == classes, "the report reads it"


@pytest.mark.parametrize("model", ["alexnet", "joint_unet"])
def test_a_network_that_predicts_classes_is_not_tested_on_images_without(finished, others, tmp_path, model):
    root, _ = make_two_folders(others, read_index(others)["id"], tmp_path / "two")
    with pytest.raises(UserError, match=r"two has no classes, which are needed .*: give them in a table"):
        evaluate_run(finished(model), request("data=images_masks", f"data.root={root}"))


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["images_masks", "table"])
def test_renamed_copies_of_training_images_in_another_layout_are_refused(
    finished, phantom, others, tmp_path, layout, caplog
):
    run = finished("unet")
    learnt = [id_ for id_ in load_split(run.split).train if not id_.startswith("normal")][:4]
    if layout == "table":
        root = make_hospital(phantom, learnt, tmp_path)
        options = [*TABLE, f"data.table={root / 'cases.csv'}", MAP]
    else:
        root, _ = make_two_folders(phantom, learnt, tmp_path)
        options = ["data=images_masks", f"data.root={root}"]
    with pytest.raises(UserError, match=r"has seen 4 of its 4 images .* pass split=unseen .* or split=all") as refused:
        evaluate_run(run, request(*options))
    assert "split=own" not in str(refused.value), "no id is the run's"
    with pytest.raises(UserError, match=r"split=own: .* has no id of the run's split .*: use split=unseen"):
        evaluate_run(run, request(*options, "split=own"))
    # Several sets: the copies are left out, and the other set is tested whole.
    both = [f"data=[folder,{layout}]", f"data.sets.folder.root={others}", "data.root=null"]
    both += [f"data.sets.{layout}.root={root}", *(option for option in options[1:] if "data.root" not in option)]
    with pytest.raises(UserError, match=rf"^{others} and {root}: .* has seen 4 of its 28 images"):
        evaluate_run(run, request(*both))
    cases = pd.read_csv(evaluate_run(run, request(*both, "split=unseen")).cases)
    assert cases["id"].str.startswith("folder/").all()
    assert len(cases) == 24


def test_the_runs_own_data_by_the_name_of_their_layout_are_its_own_parts(finished, phantom):
    run = finished("alexnet")
    again = evaluate_run(run, request("data=folder", f"data.root={phantom}"))
    assert again.metrics["test"] == run.metrics["test"]
    two = evaluate_run(run, request("data=folder", f"data.root={phantom}", "data.classes=[benign,malignant]"))
    tested = [id_ for id_ in load_split(run.split).test if not id_.startswith("normal")]
    assert pd.read_csv(two.cases)["id"].tolist() == tested


def test_a_folder_in_another_layout_is_named_with_the_layout(finished, others, tmp_path):
    root, _ = make_two_folders(others, read_index(others)["id"][:6], tmp_path / "two")
    with pytest.raises(UserError, match=r"two has .*: try data=images_masks"):
        evaluate_run(finished("alexnet"), request(f"data.root={root}"))


def test_a_class_that_the_training_left_out_is_left_out_of_its_own_data_again(phantom, audit_cache, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "save_sheet", lambda *_: None)
        cfg = compose_run(["model=alexnet", "data.classes=[malignant,benign]"], phantom, audit_cache, tmp_path / "runs")
        train.run(cfg)
    run = RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)
    own = evaluate_run(run, request("data=busi", f"data.root={phantom}"))
    assert own.metrics["test"] == run.metrics["test"]
    draw_phantom(tmp_path / "more", images=12, seed=9)
    with pytest.raises(UserError, match=r"has classes that .* does not know \(normal: 2; it knows malignant, benign\)"):
        evaluate_run(run, request("data=busi", f"data.root={tmp_path / 'more'}"))


@pytest.mark.slow
def test_a_run_on_several_sets_recognises_its_images_in_one_of_them(phantom, others, audit_cache, tmp_path, caplog):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "save_sheet", lambda *_: None)
        sets = ["data=[folder,busi]", f"data.sets.folder.root={others}", f"data.sets.busi.root={phantom}"]
        cfg = compose_run(["model=alexnet", *sets], "null", audit_cache, tmp_path / "runs")
        train.run(cfg)
    run = RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)
    split = load_split(run.split)
    assert {id_.partition("/")[0] for id_ in split.train} == {"folder", "busi"}
    assert len(open_run(run.path).cases) == len(split.val + split.test)
    assert evaluate_run(run, request()).metrics["test"] == run.metrics["test"]
    shutil.copytree(others, tmp_path / "renamed")
    with pytest.raises(UserError, match=rf"has seen {sum('folder/' in id_ for id_ in split.train + split.val)} of its"):
        evaluate_run(run, request(f"data.root={tmp_path / 'renamed'}"))
    unseen = pd.read_csv(evaluate_run(run, request(f"data.root={tmp_path / 'renamed'}", "split=unseen")).cases)
    assert [f"folder/{id_}" for id_ in unseen["id"]] == [id_ for id_ in split.test if id_.startswith("folder/")]
    swapped = ["data=[folder,busi]", f"data.sets.folder.root={phantom}", f"data.sets.busi.root={others}"]
    with pytest.raises(UserError, match="has seen"):  # the same files under the names of each other's sets
        evaluate_run(run, request(*swapped))


def test_a_label_is_compared_with_the_folder_only_where_the_folder_is_the_class(
    finished, phantom, audit_cache, tmp_path
):
    root = tmp_path / "data"
    shutil.copytree(phantom, root)
    index = read_index(root)
    classes = index["class"].where(index["id"] != "benign/benign (1)", "malignant")  # the authors have corrected it
    pd.DataFrame({"File": index["image"], "Result": classes}).to_csv(root / "cases.csv", index=False)
    options = ["data=table", f"data.table={root / 'cases.csv'}", "data.columns={image: File, class: Result}"]
    cfg = compose_run(["model=alexnet", *options], root, audit_cache, tmp_path / "runs")
    parts = {"test": ["benign/benign (1)", "benign/benign (2)", "malignant/malignant (1)", "normal/normal (1)"]}
    parts["val"] = ["benign/benign (3)", "malignant/malignant (2)", "normal/normal (2)"]
    parts["train"] = [id_ for id_ in index["id"] if id_ not in parts["test"] + parts["val"]]
    (tmp_path / "split.json").write_text(json.dumps(parts | {"method": "random"}))
    cfg.data.split.method, cfg.data.split.file = "file", str(tmp_path / "split.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "save_sheet", lambda *_: None)
        train.run(cfg)
    cases = open_run(Path(cfg.runs_dir) / cfg.group / cfg.name).cases.set_index("id")
    assert cases.at["benign/benign (1)", "label"] == "malignant"
    own = RunDir(Path(shutil.copytree(finished("alexnet").path, tmp_path / "own")))
    own.cases.write_text(own.cases.read_text().replace(",test,benign,", ",test,malignant,", 1))
    with pytest.raises(DamagedError, match="another class than that of the image's id"):
        open_run(own.path).cases  # noqa: B018


@pytest.mark.parametrize("option", ["data.drop.class=[normal]", "data.table=x.csv", "data.classes=[benign]"])
def test_an_option_about_other_data_is_refused_without_them(finished, option):
    with pytest.raises(UserError, match="is about other data than those of the run: name them, data=NAME or"):
        evaluate_run(finished("alexnet"), request(option))


def test_images_of_another_set_are_all_test_images(finished, others):
    with pytest.raises(UserError, match="no images: all images of another data set are test images, so use part=test"):
        evaluate_run(finished("alexnet"), request(f"data.root={others}", "part=val"))


def test_words_that_are_left_out_or_mapped_are_no_longer_classes(others):
    def classes(**options):
        busi = {"source": "busi", "root": str(others), "classes": ["malignant", "benign", "normal"]}
        (dataset,) = read_sets({"sets": {"busi": busi}} | options)
        return dataset.classes

    assert classes() == ("malignant", "benign", "normal")
    assert classes(drop={"class": ["Normal"]}) == ("malignant", "benign")
    assert classes(map={"class": {"lesion": ["benign", "malignant"], "none": ["normal"]}}) == ("lesion", "none")
