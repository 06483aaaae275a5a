"""The training images of a run are recognised by their pixels: renamed, scaled, cropped or saved again."""

import json
import logging
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from composing import compose_run
from omegaconf import OmegaConf
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data.fingerprints import load_fingerprints, save_fingerprints, share_file
from bus_lightning.data.index import read_image, read_index
from bus_lightning.data.phantom import draw_phantom
from bus_lightning.data.splits import load_split, make_named_split
from bus_lightning.runs import seen
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import fit, train
from bus_lightning.training.evaluate import evaluate_run


def request(root=None, **options):
    base = {"runs": "", "part": "test", "split": None, "progress": False}
    return OmegaConf.create(base | {"data": {"root": root and str(root), "skip_unreadable": False}} | options)


@pytest.fixture(scope="module")
def finished(phantom, audit_cache, tmp_path_factory):
    """A small classifier, trained once on the phantom folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "save_sheet", lambda *_: None)
        cfg = compose_run(["model=alexnet"], phantom, audit_cache, tmp_path_factory.mktemp("seen"))
        train.run(cfg)
    return RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)


@pytest.fixture
def run(finished, tmp_path):
    """A copy of its folder."""
    return RunDir(Path(shutil.copytree(finished.path, tmp_path / "run")))


CHANGES = {
    "as it is": lambda image: image,
    "scaled": lambda image: cv2.resize(image, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC),
    "cropped": lambda image: image[6:-4, 8:-6],
    "written over": lambda image: cv2.putText(image.copy(), "L", (5, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255,) * 3),
    "brighter": lambda image: (255 * (image / 255) ** 0.8).astype(np.uint8),
}


@pytest.fixture
def elsewhere(phantom, tmp_path):
    """Put images of the phantom folder under new names into another one."""

    def make(ids, change=lambda image: image, ending=".png", rename=True):
        index = read_index(phantom).set_index("id")
        for number, id_ in enumerate(ids):
            name = f"{index.at[id_, 'class']}/{f'case {number}' if rename else id_.partition('/')[2]}{ending}"
            (tmp_path / "other" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(change(read_image(phantom / index.at[id_, "image"]))).save(tmp_path / "other" / name)
        return tmp_path / "other"

    return make


@pytest.fixture
def strangers(tmp_path):
    """Images of another phantom folder, with the ids of this one."""
    draw_phantom(tmp_path / "strangers", images=24, seed=5)
    return tmp_path / "strangers"


@pytest.mark.parametrize("change", CHANGES)
def test_images_of_the_training_are_recognised_under_any_name(change, run, elsewhere):
    learnt = json.loads(run.split.read_text())["train"][::6]
    root = elsewhere(learnt, CHANGES[change], ".jpg" if change == "scaled" else ".png")
    with pytest.raises(UserError, match=rf"has seen {len(learnt)} of its {len(learnt)} images in training"):
        evaluate_run(run, request(root))


def test_images_of_the_training_are_recognised_if_their_names_have_a_tilde(phantom_copy, composed, no_pictures):
    for file in phantom_copy.rglob("* (*"):
        file.rename(file.with_name(file.name.replace(" (", "~", 1).replace(")", "", 1)))  # as IMAGE~1.PNG
    cfg = composed("model=alexnet", root=phantom_copy)
    train.run(cfg)
    run = RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)
    tested = pd.read_csv(evaluate_run(run, request(split="unseen")).cases)["id"].tolist()
    assert tested == sorted(load_split(run.split).test)


def test_images_that_chose_the_epoch_count_and_tested_ones_do_not(run, elsewhere):
    split = json.loads(run.split.read_text())
    with pytest.raises(UserError, match="has seen 2 of its 2 images"):
        evaluate_run(run, request(elsewhere(split["val"][:2])))
    shutil.rmtree(elsewhere([]))
    result = evaluate_run(run, request(elsewhere(split["test"][:5])))
    assert result.metrics["test"]["n"] == 5


def test_other_images_under_known_names_are_tested(run, strangers):
    ids = set(read_index(strangers)["id"])
    assert ids & set(json.loads(run.split.read_text())["train"])
    assert evaluate_run(run, request(strangers)).metrics["test"]["n"] == len(ids) == 24


def test_what_was_trained_on_can_be_left_out_or_tested_with_a_warning(run, strangers, elsewhere, caplog):
    caplog.set_level(logging.INFO)
    learnt = json.loads(run.split.read_text())["train"][:4]
    root = elsewhere(learnt, CHANGES["scaled"])
    shutil.copytree(strangers, root, dirs_exist_ok=True)
    unseen = evaluate_run(run, request(root, split="unseen"))
    assert sorted(pd.read_csv(unseen.cases)["id"]) == read_index(strangers)["id"].tolist()
    assert "too good" not in caplog.text
    assert evaluate_run(run, request(root, split="all")).metrics["test"]["n"] == 28
    assert "the run has seen 4 of 28 test images in training" in caplog.text


def test_a_folder_of_nothing_new_has_no_unseen_images(run, elsewhere):
    root = elsewhere(json.loads(run.split.read_text())["train"][:3])
    with pytest.raises(UserError, match="has seen every image of"):
        evaluate_run(run, request(root, split="unseen"))


def test_the_unseen_images_of_the_own_data_are_those_without_a_near_duplicate_in_training(run):
    split = load_split(run.split)
    unseen = load_split(evaluate_run(run, request(split="unseen")).split)
    assert unseen.test == split.test


def test_ids_that_are_other_images_are_no_own_parts(run, phantom_copy):
    split = json.loads(run.split.read_text())
    tested, learnt = split["test"][0], split["train"][0]
    for ending in (".png", "_mask.png"):
        shutil.copy(phantom_copy / f"{learnt}{ending}", phantom_copy / f"{tested}{ending}")
    with pytest.raises(UserError, match=r"has seen 1 of the test images .*which shows .*split=unseen or split=all"):
        evaluate_run(run, request(phantom_copy, split="own"))


def test_a_split_file_that_tests_training_images_gets_a_warning(run, tmp_path, caplog):
    split = load_split(run.split)
    evaluate_run(run, request(split=str(run.split)))
    assert "too good" not in caplog.text
    swapped = make_named_split({"train": split.test, "val": split.val, "test": split.train}, "file", split.groups)
    swapped.save(tmp_path / "swapped.json")
    evaluate_run(run, request(split=str(tmp_path / "swapped.json")))
    assert f"{len(split.train)} of {len(split.train)} test images in training" in caplog.text


def test_a_run_without_fingerprints_takes_those_of_its_data(run, elsewhere):
    run.fingerprints.unlink()  # as an older version leaves it
    root = elsewhere(json.loads(run.split.read_text())["train"][:4], CHANGES["cropped"])
    with pytest.raises(UserError, match="has seen 4 of its 4 images"):
        evaluate_run(run, request(root))


def test_a_run_whose_data_are_gone_keeps_its_fingerprints(run, elsewhere, tmp_path):
    config = OmegaConf.load(run.config)
    config.data.root = str(tmp_path / "gone")
    OmegaConf.save(config, run.config)
    root = elsewhere(json.loads(run.split.read_text())["train"][:4], CHANGES["scaled"])
    with pytest.raises(UserError, match="has seen 4 of its 4 images"):
        evaluate_run(run, request(root))
    run.fingerprints.unlink()
    assert evaluate_run(run, request(root)).metrics["test"]["n"] == 4


def test_without_fingerprints_and_data_only_ids_are_compared_with_a_message(run, elsewhere, tmp_path, caplog):
    config = OmegaConf.load(run.config)
    config.data.root = str(tmp_path / "gone")
    OmegaConf.save(config, run.config)
    run.fingerprints.unlink()
    root = elsewhere(json.loads(run.split.read_text())["train"][:4], rename=False)
    with pytest.raises(UserError, match=r"4 of its ids are among the .* images: pass split=own .* or split=all"):
        evaluate_run(run, request(root))
    assert "only ids are compared" in caplog.text


def test_other_data_at_the_old_place_are_not_taken_for_the_trainings(run, strangers, elsewhere, caplog):
    config = OmegaConf.load(run.config)
    config.data.root = str(strangers)
    OmegaConf.save(config, run.config)
    run.fingerprints.unlink()
    evaluate_run(run, request(elsewhere(json.loads(run.split.read_text())["train"][:4])))
    assert "only ids are compared" in caplog.text


def test_runs_on_the_same_data_compare_once(run, finished, elsewhere, monkeypatch):
    calls = []
    monkeypatch.setattr(seen, "same_frames", lambda *args: calls.append(1) or [])
    root = elsewhere(json.loads(run.split.read_text())["test"][:2])
    for each_run in (run, finished, run):
        evaluate_run(each_run, request(root))
    assert len(calls) == 1


def test_a_runs_fingerprints_take_no_space_where_a_link_is_possible(tmp_path, monkeypatch):
    (tmp_path / "source").write_bytes(b"prints")
    share_file(tmp_path / "source", tmp_path / "run" / "linked")
    assert (tmp_path / "source").samefile(tmp_path / "run/linked")
    share_file(tmp_path / "source", tmp_path / "run" / "linked")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["linked"]

    def other_disk(*_):
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", other_disk)
    share_file(tmp_path / "source", tmp_path / "run" / "copied")
    assert (tmp_path / "run/copied").read_bytes() == b"prints"


def test_damaged_fingerprints_are_one_clear_line(tmp_path):
    save_fingerprints(tmp_path / "none.npz", {})
    assert load_fingerprints(tmp_path / "none.npz") == {}
    for content in (b"", b"PK junk", (tmp_path / "none.npz").read_bytes()[:200]):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(UserError, match=r"bad\.npz does not hold fingerprints"):
            load_fingerprints(tmp_path / "bad.npz")
