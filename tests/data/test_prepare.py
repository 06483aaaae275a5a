"""What may be left out is left out with a message; a broken file is refused by name before any compute."""

import json
import logging
import subprocess
import sys

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from tiny_sets import draw_image, draw_mask

from bus_lightning.core.errors import UserError
from bus_lightning.data.index import read_index
from bus_lightning.data.phantom import MARKER
from bus_lightning.data.prepare import prepare_data

IMAGE, MASK = "benign/benign (2).png", "malignant/malignant (1)_mask.png"


@pytest.fixture
def prepared(data_config, caplog):
    caplog.set_level(logging.INFO)

    def make(*overrides, root, needs_masks=True):
        return prepare_data(data_config(*overrides, root=root).data, needs_masks)

    return make


@pytest.fixture
def excluding(tmp_path):
    """Write a CSV of ids and return the override that names it."""

    def make(*ids):
        path = tmp_path / "exclude.csv"
        path.write_text("\n".join(["id,reason", *(f"{id_},mine" for id_ in ids)]))
        return f"data.exclude={path}"

    return make


def spoil(root, *files):
    for file in files:
        (root / file).write_bytes(b"")


def shrink(root, file):
    Image.fromarray(np.ones((5, 6), bool)).save(root / file)


def test_a_whole_folder_is_taken_whole_with_a_group_for_every_image(prepared, phantom, caplog):
    data = prepared(root=phantom)
    assert data.root == phantom
    assert data.frame["id"].tolist() == sorted(data.groups) == sorted(read_index(phantom)["id"])
    assert data.classes == ["benign", "malignant", "normal"]
    assert "Left out" not in caplog.text


def test_the_groups_are_copied_into_the_split(prepared, phantom, data_config):
    data = prepared(root=phantom)
    split = data.split(data_config().data.split)
    assert split.groups == data.groups
    parts = [{split.groups[id_] for id_ in ids} for ids in (split.train, split.val, split.test)]
    assert sum(map(len, parts)) == len(set().union(*parts))


def test_a_class_list_picks_classes_and_their_order(prepared, phantom):
    data = prepared("data.classes=[normal,benign]", root=phantom)
    assert data.classes == ["normal", "benign"]
    assert set(data.frame["class"]) == {"normal", "benign"}
    assert set(data.groups) == set(data.frame["id"])


def test_the_ids_of_a_list_are_left_out_with_a_message(prepared, phantom, excluding, caplog):
    whole = prepared(root=phantom)
    override = excluding("benign/benign (1)", "normal/normal (3).png", "benign/benign (999)", "")
    data = prepared(override, root=phantom)
    assert set(whole.frame["id"]) - set(data.frame["id"]) == {"benign/benign (1)", "normal/normal (3)"}
    assert f"Left out by {override}: 2 of 72 images" in caplog.text
    assert "1 ids are not in the data, such as 'benign/benign (999)'" in caplog.text
    assert data.content != whole.content


@pytest.mark.parametrize("content", [None, "", "name\nx", "id\n" + "x" * 200_000],
                         ids=["missing", "empty", "no id", "a long line"])  # fmt: skip
def test_a_file_that_is_no_list_of_ids_is_refused(content, prepared, phantom, tmp_path):
    path = tmp_path / "list.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"list.csv is not a CSV with a column 'id'"):
        prepared(f"data.exclude={path}", root=phantom)


@pytest.mark.parametrize("name", ["001", "1e5", "NA", "nan", "True"])
def test_an_id_that_looks_like_a_number_or_a_gap_is_left_out_by_name(name, data_config, tmp_path):
    for seed, stem in enumerate((name, "other")):
        draw_image(tmp_path / "images" / f"{stem}.png", seed)
        draw_mask(tmp_path / "masks" / f"{stem}.png")
    (tmp_path / "list.csv").write_text(f"id\n{name}\n", encoding="utf-8-sig")
    options = ("data.sets.own.source=images_masks", "data.classes=null", f"data.exclude={tmp_path / 'list.csv'}")
    cfg = data_config(*options, f"data.cache={tmp_path / 'cache'}", root=tmp_path)
    assert prepare_data(cfg.data, needs_masks=True).frame["id"].tolist() == ["other"]


def test_a_list_without_its_first_line_is_refused_with_what_it_lacks(prepared, phantom, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("benign/benign (1)\n")
    with pytest.raises(UserError, match="its first line must be id"):
        prepared(f"data.exclude={path}", root=phantom)


def test_near_duplicates_of_two_classes_are_left_out_with_a_message(prepared, phantom, caplog):
    data = prepared("data.drop_conflicts=true", root=phantom)
    assert len(data.frame) == 70
    assert not {"benign/benign (9)", "malignant/malignant (9)"} & set(data.frame["id"])
    assert "data.drop_conflicts (their twin has another class): 2 of 72 images" in caplog.text


@pytest.mark.parametrize("file", [IMAGE, MASK])
def test_an_unreadable_image_or_mask_is_refused_by_name(file, prepared, small_copy):
    spoil(small_copy, file)
    with pytest.raises(UserError) as caught:
        prepared(root=small_copy)
    assert str(caught.value).startswith(f"{small_copy}/{file} is empty")
    assert "data.skip_unreadable=true" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("program", "audit"), [("train.py", "python -m bus_lightning.data.audit"), ("/bin/bus-train", "bus-audit")]
)
def test_unreadable_files_are_counted_by_the_users_command(program, audit, prepared, small_copy, monkeypatch):
    monkeypatch.setattr(sys, "argv", [program])
    spoil(small_copy, IMAGE, MASK)
    with pytest.raises(UserError, match=rf"\(2 files are broken; `{audit}` lists them\)"):
        prepared(root=small_copy)


def test_unreadable_files_can_be_left_out(prepared, small_copy, caplog):
    spoil(small_copy, IMAGE, MASK)
    data = prepared("data.skip_unreadable=true", root=small_copy)
    assert len(data.frame) == 10
    assert not {"benign/benign (2)", "malignant/malignant (1)"} & set(data.frame["id"])
    assert "Left out by data.skip_unreadable: 2 of 12 images" in caplog.text


def test_a_mask_that_does_not_fit_is_refused_by_name_and_never_skipped(prepared, small_copy):
    shrink(small_copy, MASK)
    for override in ("data.skip_unreadable=false", "data.skip_unreadable=true"):
        with pytest.raises(UserError, match=r"malignant \(1\)_mask.png is 6x5 pixels but its image"):
            prepared(override, root=small_copy)


def test_an_image_that_is_left_out_may_be_broken(prepared, small_copy, excluding):
    spoil(small_copy, IMAGE, "normal/normal (1).png")
    shrink(small_copy, MASK)
    listed = excluding("benign/benign (2)", "malignant/malignant (1)", "normal/normal (1)")
    assert len(prepared(listed, root=small_copy).frame) == 9
    with pytest.raises(UserError, match=r"normal \(1\).png is empty"):
        prepared(excluding("benign/benign (2)", "malignant/malignant (1)"), root=small_copy)
    listed = excluding("benign/benign (2)", "malignant/malignant (1)")
    prepared(listed, "data.classes=[benign,malignant]", root=small_copy)  # a class that is not asked for


def test_segmentation_refuses_a_lesion_without_mask_and_classification_takes_it(prepared, small_copy):
    for file in (MASK, "normal/normal (2)_mask.png"):
        (small_copy / file).unlink()
    with pytest.raises(UserError, match=r"'malignant/malignant \(1\)' has no mask \(1 images have none\)"):
        prepared(root=small_copy)
    assert len(prepared(root=small_copy, needs_masks=False).frame) == 12


def test_a_class_without_any_image_left_is_refused(prepared, phantom, excluding):
    normal = [id_ for id_ in read_index(phantom)["id"] if id_.startswith("normal/")]
    with pytest.raises(UserError, match="No image of class 'normal' is left"):
        prepared(excluding(*normal), root=phantom)


JOB = """
import sys
from omegaconf import OmegaConf
from bus_lightning.data import audit, phantom, prepare

def said(word, function):
    def call(*arguments, **options):
        print(word, flush=True)
        return function(*arguments, **options)
    return call

phantom.draw_phantom = said("drawn", phantom.draw_phantom)
audit.audit_folder = said("audited", audit.audit_folder)
sys.stdin.read()
print(prepare.prepare_data(OmegaConf.load(sys.argv[1]), needs_masks=True).content)
"""


def test_jobs_that_start_together_draw_and_audit_once(composed, tmp_path):
    data = composed(
        "data=phantom", "data.phantom.images=12", f"data.cache={tmp_path}/cache", root=tmp_path / "new"
    ).data
    OmegaConf.save(data, tmp_path / "data.yaml", resolve=True)
    command = [sys.executable, "-c", JOB, str(tmp_path / "data.yaml")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    jobs = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for job in jobs:
        job.stdin.close()  # both have begun to import
    words_of_jobs = [job.stdout.read().split() for job in jobs]
    assert [job.wait() for job in jobs] == [0, 0]
    for job in jobs:
        job.stdout.close()
    assert sorted(word for words in words_of_jobs for word in words[:-1]) == ["audited", "drawn"]
    assert words_of_jobs[0][-1] == words_of_jobs[1][-1]


def test_a_phantom_that_was_drawn_otherwise_is_used_with_a_warning(prepared, phantom, caplog):
    drawn = json.loads((phantom / MARKER).read_text())
    prepared(f"data.phantom={{images: {drawn['images']}, seed: 0}}", root=phantom)
    assert "keeps its earlier images" not in caplog.text
    prepared("data.phantom={images: 100, seed: 0}", root=phantom)
    assert "keeps its earlier images" in caplog.text
