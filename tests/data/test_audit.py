"""The audit names what is wrong with a folder, and finds the groups that splits keep whole."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from PIL import Image

from bus_lightning.core import progress
from bus_lightning.core.errors import UserError
from bus_lightning.data import audit as module
from bus_lightning.data.audit import audit_folder, cached_audit, fingerprints_of
from bus_lightning.data.audit_command import main
from bus_lightning.data.duplicates import matching_pairs
from bus_lightning.data.fingerprints import load_fingerprints
from bus_lightning.data.index import read_index
from bus_lightning.data.prepare import prepare_data
from bus_lightning.data.sources.folder import read as read_folder


@pytest.fixture(scope="module")
def healthy(phantom):
    return audit_folder(phantom, read_folder(phantom, {}), progress=False)


@pytest.fixture(scope="module")
def damaged(phantom, tmp_path_factory):
    """A phantom folder with one of everything that goes wrong."""
    root = Path(shutil.copytree(phantom, tmp_path_factory.mktemp("damaged") / "set"))

    def save(name, array):
        Image.fromarray(array).save(root / name)

    image = root / "benign/benign (1).png"
    image.write_bytes(image.read_bytes()[:3000])
    (root / "benign/benign (1)_mask.png").write_bytes(b"junk")
    (root / "benign/benign (2).png").write_bytes(b"")
    (root / "malignant/malignant (1)_mask.png").write_bytes(b"no image")
    save("benign/benign (3)_mask.png", np.ones((7, 9), bool))
    (root / "malignant/malignant (2)_mask.png").unlink()
    save("normal/stray_mask.png", np.ones((7, 9), bool))
    height, width = np.array(Image.open(root / "normal/normal (1).png")).shape[:2]
    save("normal/normal (1)_mask.png", np.eye(height, width, dtype=bool))
    height, width = np.array(Image.open(root / "benign/benign (6).png")).shape[:2]
    save("benign/benign (6)_mask.png", np.zeros((height, width), bool))
    return root


@pytest.fixture(scope="module")
def damaged_audit(damaged):
    return audit_folder(damaged, read_folder(damaged, {}), progress=False)


def test_counts_are_those_of_the_folder(healthy, phantom):
    masks = sum("_mask" in path.name for path in phantom.glob("*/*.png"))
    kinds = read_index(phantom)["class"].value_counts().to_dict()
    assert healthy.counts == kinds | {"images": 72, "masks": masks}
    assert healthy.summary()["images"] == 72


def test_a_whole_folder_can_be_trained_on(healthy):
    assert healthy.tasks
    assert not healthy.broken
    blameless = {"several_masks", "color_marks"}
    assert [kind for kind, names in healthy.problems.items() if names and kind not in blameless] == []
    assert healthy.problems["several_masks"] == ["benign/benign (3)", "malignant/malignant (7)"]
    assert "benign/benign (6)" in healthy.problems["color_marks"]
    assert not any(id_.startswith("normal/") for id_ in healthy.problems["color_marks"])


def test_every_broken_file_is_listed_with_its_reason(damaged_audit):
    assert damaged_audit.problems["unreadable"] == [
        "benign/benign (1).png",
        "benign/benign (1)_mask.png",
        "benign/benign (2).png",
        "malignant/malignant (1)_mask.png",
    ]
    assert damaged_audit.problems["mask_size_mismatch"] == ["benign/benign (3)_mask.png"]
    problems = damaged_audit.problems
    assert damaged_audit.broken.keys() == {*problems["unreadable"], *problems["mask_size_mismatch"]}
    for file, reason in damaged_audit.broken.items():
        assert reason.startswith(f"{file} ")
    assert "truncated" in damaged_audit.broken["benign/benign (1).png"]
    assert "is empty (0 bytes)" in damaged_audit.broken["benign/benign (2).png"]
    assert "is 9x7 pixels" in damaged_audit.broken["benign/benign (3)_mask.png"]
    assert not damaged_audit.tasks


def test_odd_masks_are_listed(damaged_audit):
    assert damaged_audit.problems["image_without_mask"] == ["malignant/malignant (2)"]
    assert damaged_audit.problems["mask_without_image"] == ["normal/stray_mask.png"]
    assert damaged_audit.problems["normal_with_lesion"] == ["normal/normal (1)"]
    assert damaged_audit.problems["lesion_with_empty_mask"] == ["benign/benign (6)", "malignant/malignant (2)"]


def test_every_image_has_a_group_even_an_unreadable_one(damaged_audit, damaged):
    assert list(damaged_audit.groups) == read_index(damaged)["id"].tolist()
    sizes = pd.Series(damaged_audit.groups).value_counts()
    assert sizes[damaged_audit.groups["benign/benign (1)"]] == sizes[damaged_audit.groups["benign/benign (2)"]] == 1


def test_near_duplicates_share_a_group_and_broken_files_do_not_shift_it(healthy, damaged_audit):
    for audit in (healthy, damaged_audit):
        groups = audit.groups
        assert groups["benign/benign (5)"] == groups["benign/benign (8)"] != groups["benign/benign (7)"]
        assert groups["benign/benign (13)"] == groups["benign/benign (14)"] == groups["benign/benign (16)"]
        assert audit.exact_duplicate_of == {"benign/benign (14)": "benign/benign (13)"}
        assert audit.conflicts == ["benign/benign (9)", "malignant/malignant (9)"]
        assert audit.summary()["groups_with_several_classes"] == 1


def test_the_groups_table_has_a_row_per_image(healthy, phantom):
    table = healthy.groups_table(read_index(phantom)).set_index("id")
    assert list(table) == ["class", "group", "exact_duplicate_of", "conflict"]
    assert len(table) == 72
    assert table.loc["malignant/malignant (9)"].tolist() == [
        "malignant", healthy.groups["benign/benign (9)"], "", True,
    ]  # fmt: skip
    assert table.loc["benign/benign (14)", "exact_duplicate_of"] == "benign/benign (13)"
    assert table["conflict"].sum() == 2


def test_the_command_prints_a_table_and_writes_both_files(small_phantom, tmp_path, capsys):
    assert main([str(small_phantom), "--out", str(tmp_path), "--cache", str(tmp_path / "cache")]) == 0
    printed = capsys.readouterr().out
    assert "near duplicate groups" in printed
    assert "can be used for classification and segmentation." in " ".join(printed.split())
    content = json.loads((tmp_path / "audit.json").read_text())
    assert content["summary"]["images"] == 12
    assert content["problems"]["unreadable"] == []
    assert (tmp_path / "groups.csv").read_text().splitlines()[0] == "id,class,group,exact_duplicate_of,conflict"
    table = pd.read_csv(tmp_path / "groups.csv")
    assert dict(zip(table["id"], table["group"], strict=True)) == content["groups"]


def test_the_command_fails_for_a_folder_that_cannot_be_trained_on(small_copy, tmp_path):
    root = small_copy
    (root / "normal/normal (1).png").write_bytes(b"")
    command = [sys.executable, "-m", "bus_lightning.data.audit", str(root), "--out", str(tmp_path / "out"),
               "--cache", str(tmp_path / "cache")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "normal/normal (1).png is empty" in " ".join(done.stdout.split())
    assert "cannot be used for training" in " ".join(done.stdout.split())
    assert len(pd.read_csv(tmp_path / "out/groups.csv")) == 12


def test_the_command_fails_for_a_missing_folder_in_one_line(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_findings_are_kept_by_content(small_copy, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "audit_folder", lambda *args: calls.append(args) or audit_folder(*args, progress=False))
    cache = tmp_path / "cache"
    first = cached_audit(small_copy, read_folder(small_copy, {}), cache)
    elsewhere = small_copy.rename(tmp_path / "moved")
    assert cached_audit(elsewhere, read_folder(elsewhere, {}), cache) == first
    assert len(calls) == 1
    (elsewhere / "normal/normal (1).png").write_bytes(b"")
    second = cached_audit(elsewhere, read_folder(elsewhere, {}), cache)
    assert len(calls) == 2
    assert second.broken["normal/normal (1).png"].startswith("normal/normal (1).png is empty")
    assert str(tmp_path) not in "".join(path.read_text() for path in cache.glob("*.json"))


def test_a_folder_that_changes_while_it_is_audited_is_refused(healthy, small_phantom, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "audit_folder", lambda *_: healthy)  # of another content
    with pytest.raises(UserError, match="changed while it was audited"):
        cached_audit(small_phantom, read_folder(small_phantom, {}), tmp_path)
    assert not list(tmp_path.glob("audit-*.json"))
    assert not list(tmp_path.glob("fingerprints-*"))


def test_the_audit_and_a_training_search_for_duplicates_once(small_phantom, data_config, tmp_path, monkeypatch):
    calls, cache = [], tmp_path / "cache"
    monkeypatch.setattr(module, "matching_pairs", lambda *args: calls.append(args) or matching_pairs(*args))
    command = [str(small_phantom), "--out", str(tmp_path / "out"), "--cache", str(cache)]
    assert main(command) == 0
    prepared = prepare_data(data_config(f"data.cache={cache}", root=small_phantom).data, needs_masks=True)
    assert main(command) == 0
    assert len(calls) == 1
    assert json.loads((tmp_path / "out/audit.json").read_text())["groups"] == prepared.groups


def test_the_cache_of_the_command_is_that_of_trainings():
    defaults = OmegaConf.load(Path(__file__).parents[2] / "conf/data/default.yaml")
    assert str(module.DEFAULT_CACHE) == defaults.cache


def test_a_mask_that_comes_without_an_image_is_listed_although_the_findings_are_kept(small_copy, tmp_path):
    cache = tmp_path / "cache"
    assert cached_audit(small_copy, read_folder(small_copy, {}), cache).problems["mask_without_image"] == []
    Image.new("1", (9, 9)).save(small_copy / "normal/stray_mask.png")
    kept = cached_audit(small_copy, read_folder(small_copy, {}), cache)
    assert kept.problems["mask_without_image"] == ["normal/stray_mask.png"]


def test_fingerprints_are_kept_as_they_were(small_phantom, tmp_path):
    audit = cached_audit(small_phantom, read_folder(small_phantom, {}), tmp_path)
    kept = load_fingerprints(fingerprints_of(audit.content, tmp_path))
    again = audit_folder(small_phantom, read_folder(small_phantom, {}), progress=False).fingerprints
    assert list(kept) == list(again) == read_index(small_phantom)["id"].tolist()
    for id_, fingerprint in again.items():
        assert kept[id_].digest == fingerprint.digest
        for name in ("grey", "points", "descriptors"):
            np.testing.assert_array_equal(getattr(kept[id_], name), getattr(fingerprint, name))


def test_lost_fingerprints_are_made_again(small_phantom, tmp_path):
    audit = cached_audit(small_phantom, read_folder(small_phantom, {}), tmp_path)
    kept = fingerprints_of(audit.content, tmp_path)
    before = kept.read_bytes()
    kept.unlink()
    assert cached_audit(small_phantom, read_folder(small_phantom, {}), tmp_path) == audit
    assert kept.read_bytes() == before


@pytest.fixture
def verdict(small_copy, tmp_path, capsys):
    """Audit the folder on the command line: its exit code and last words."""

    def make():
        code = main([str(small_copy), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")])
        return code, " ".join(capsys.readouterr().out.split()).partition("The folder ")[2].partition(" Written")[0]

    return make


def test_the_verdict_names_the_tasks_that_can_be_trained(small_copy, verdict):
    both = (0, "can be used for classification and segmentation.")
    assert verdict() == both
    for file in small_copy.glob("*/*_mask*.png"):
        file.unlink()
    lesions = len([*small_copy.glob("benign/*.png"), *small_copy.glob("malignant/*.png")])
    assert verdict() == (0, f"can be used for classification. Not for segmentation: {lesions} images have no mask.")
    for name in ("normal", "malignant"):
        shutil.rmtree(small_copy / name)
    assert verdict() == (1, "cannot be used for training: fix the files in red.")


def test_masks_that_cannot_be_used_leave_a_classifier(small_copy, verdict):
    (small_copy / "benign/benign (1)_mask.png").write_bytes(b"junk")
    with Image.open(small_copy / "benign/benign (2).png") as image:
        Image.new("L", (2 * image.width, 2 * image.height)).save(small_copy / "benign/benign (2)_mask.png")
    assert verdict() == (0, "can be used for classification. Not for segmentation: 2 masks cannot be used.")
    for name in ("normal", "malignant"):
        shutil.rmtree(small_copy / name)
    (small_copy / "benign/benign (1)_mask.png").unlink()
    assert verdict()[0] == 1


def test_one_class_with_masks_trains_a_segmenter(small_copy, verdict):
    for name in ("normal", "malignant"):
        shutil.rmtree(small_copy / name)
    assert verdict() == (0, "can be used for segmentation.")


def test_an_audit_without_a_terminal_reports_its_progress(small_phantom, monkeypatch, capsys):
    audit_folder(small_phantom, read_folder(small_phantom, {}))
    assert capsys.readouterr().err == ""  # done before there is anything to say
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    audit_folder(small_phantom, read_folder(small_phantom, {}))
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("decoding")] == [f"decoding: {k} of 12" for k in range(1, 13)]
    assert any(line.startswith("comparing: 1 of ") for line in lines)


def test_jobs_that_start_together_audit_once(small_phantom, tmp_path, monkeypatch, together):
    calls, expected = [], audit_folder(small_phantom, read_folder(small_phantom, {}), progress=False)

    def slow(root, index):
        calls.append(root)
        threading.Event().wait(0.2)
        return expected

    monkeypatch.setattr(module, "audit_folder", slow)
    answers = together(lambda: cached_audit(small_phantom, read_folder(small_phantom, {}), tmp_path), 3)
    assert len(calls) == 1
    assert answers == [expected] * 3


@pytest.mark.busi
def test_busi_has_the_published_duplicates(busi_audit):
    summary = busi_audit.summary()
    assert (summary["benign"], summary["malignant"], summary["normal"], summary["masks"]) == (437, 210, 133, 798)
    assert summary["unreadable"] == summary["mask_size_mismatch"] == summary["image_without_mask"] == 0
    assert summary["several_masks"] == 17
    assert summary["near_duplicate_groups"] == pytest.approx(149, abs=3)
    assert summary["images_in_near_duplicate_groups"] == pytest.approx(330, abs=6)
    assert summary["groups_with_several_classes"] == 8
