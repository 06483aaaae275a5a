"""A folder with odd masks: the audit and the training say which were resized or read by rule; an unclear one stops."""

import json
import logging

import cv2
import numpy as np
import pytest
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data.audit import audit_folder
from bus_lightning.data.audit_command import main
from bus_lightning.data.index import read_image, read_index, read_mask
from bus_lightning.data.prepare import prepare_data
from bus_lightning.data.sources.folder import read as read_folder

BAD = "benign/benign (2)_mask.png"


@pytest.fixture
def scaled(small_copy):
    """A phantom folder with a mask of twice its image's size."""
    with Image.open(small_copy / BAD) as mask:
        double = mask.convert("L").resize((2 * mask.width, 2 * mask.height), Image.Resampling.NEAREST)
    double.save(small_copy / BAD)
    return small_copy


@pytest.fixture
def prepared(data_config, caplog, tmp_path):
    caplog.set_level(logging.INFO)

    def make(root, *overrides, **needs):
        return prepare_data(data_config(f"data.cache={tmp_path / 'cache'}", *overrides, root=root).data, **needs)

    return make


def test_a_resized_mask_that_was_read_by_rule_is_reported_with_its_rule(scaled, prepared, caplog):
    mask = read_image(scaled / BAD)[..., 0]
    Image.fromarray(cv2.resize(mask, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)).save(scaled / BAD)
    with caplog.at_level(logging.WARNING):
        prepared(scaled, "data.resize_masks=true", needs_masks=True)
    assert f"read by a rule ({BAD}: soft edges" in caplog.text
    assert "pass data.resize_masks=true" not in caplog.text


def test_a_mask_of_another_scale_is_resized_on_request_only(scaled, prepared, small_phantom):
    with pytest.raises(UserError, match=r"benign \(2\)_mask\.png has the same proportions.*data\.resize_masks=true"):
        prepared(scaled, needs_masks=True)
    data = prepared(scaled, "data.resize_masks=true", needs_masks=True)
    assert data.frame["masks"].map(len).sum() == read_index(scaled)["masks"].map(len).sum()
    shape = read_image(small_phantom / "benign/benign (2).png").shape[:2]
    np.testing.assert_array_equal(read_mask(scaled, (BAD,), shape), read_mask(small_phantom, (BAD,), shape))


def test_masks_that_cannot_be_used_do_not_stop_a_classifier(scaled, prepared, caplog):
    plain = prepared(scaled, "data.resize_masks=true", needs_masks=False)
    (scaled / "malignant/malignant (1)_mask.png").write_bytes(b"")
    Image.fromarray(np.ones((5, 50), bool)).save(scaled / "malignant/malignant (2)_mask.png")
    with Image.open(scaled / "benign/benign (3)_mask.png") as mask:
        Image.new("L", mask.size, 255).save(scaled / "benign/benign (3)_mask.png")
    data = prepared(scaled, needs_masks=False)
    assert data.frame["id"].tolist() == plain.frame["id"].tolist()
    masks = data.frame.set_index("id")["masks"]
    bad = ["benign/benign (2)", "benign/benign (3)", "malignant/malignant (1)", "malignant/malignant (2)"]
    assert [id_ for id_ in masks.index if not masks[id_]] == bad
    assert "4 masks cannot be used, but this task does not need them" in caplog.text
    assert data.content != plain.content
    for needs in ({"needs_masks": True}, {"needs_masks": False, "uses_masks": True}):
        with pytest.raises(UserError, match="4 files are broken"):
            prepared(scaled, **needs)


def test_an_overlay_uses_the_masks_that_are_there(scaled, composed, tmp_path):
    from bus_lightning.training import train

    cfg = composed("model=alexnet", "overlay=fill", root=scaled)
    with pytest.raises(UserError, match=r"data\.resize_masks=true"):
        train.run(cfg)


@pytest.fixture
def odd(small_copy):
    """A phantom folder with labels, noise, and an inverted mask."""
    with Image.open(small_copy / "benign/benign (1)_mask.png") as opened:
        mask = np.array(opened.convert("L")) > 0
    half = np.cumsum(mask, axis=1) > mask.sum(axis=1, keepdims=True) / 2
    Image.fromarray((mask * 1 + (mask & half)).astype(np.uint8)).save(small_copy / "benign/benign (1)_mask.png")
    normal = small_copy / "normal/normal (1)_mask.png"
    with Image.open(normal) as opened:
        noise = np.random.default_rng(0).integers(0, 6, opened.size[::-1]).astype(np.uint8)
    Image.fromarray(noise).save(normal)
    with Image.open(small_copy / BAD) as opened:
        inverted = 255 - np.array(opened.convert("L"))
    Image.fromarray(inverted).save(small_copy / BAD)
    return small_copy


def test_the_audit_says_what_was_decided_and_the_lesions_stay_the_same(odd, small_phantom, tmp_path, capsys):
    assert main([str(odd), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]) == 0
    written = json.loads((tmp_path / "out/audit.json").read_text())
    assert written["rules"] == {
        "benign/benign (1)_mask.png": "labels 1, 2 taken together as lesion",
        BAD: "inverted",
        "normal/normal (1)_mask.png": "scattered levels up to 5 taken as noise",
    }
    assert written["problems"]["normal_with_lesion"] == []
    assert "labels 1, 2" in capsys.readouterr().out
    for row in read_index(small_phantom).itertuples():
        shape = read_image(small_phantom / row.image).shape[:2]
        np.testing.assert_array_equal(read_mask(odd, row.masks, shape), read_mask(small_phantom, row.masks, shape))


def test_training_says_once_that_masks_were_read_by_rule(odd, small_phantom, prepared, caplog):
    prepared(odd, needs_masks=True)
    line = "3 masks do not have two plain levels and were read by a rule (benign/benign (1)_mask.png: labels"
    assert caplog.text.count(line) == 1
    caplog.clear()
    prepared(small_phantom, needs_masks=True)
    assert "by a rule" not in caplog.text


def test_a_mask_that_no_rule_decides_is_listed_and_stops_a_segmenter(small_copy, prepared):
    with Image.open(small_copy / BAD) as opened:
        Image.new("L", opened.size, 255).save(small_copy / BAD)
    assert audit_folder(small_copy, read_folder(small_copy, {}), progress=False).problems["mask_unclear"] == [BAD]
    with pytest.raises(UserError, match=r"benign \(2\)_mask\.png has the value 255 everywhere"):
        prepared(small_copy, needs_masks=True)
