"""A folder in BUSI's layout becomes one index, and its images and masks are read right whatever their PNG mode."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data import index
from bus_lightning.data.index import (
    MaskSizeError,
    find_root,
    read_image,
    read_index,
    read_mask,
)
from bus_lightning.data.listing import list_folder

SHAPE = (20, 30)
LESION = np.zeros(SHAPE, bool)
LESION[5:12, 8:21] = True


def save(path: Path, array: np.ndarray, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """A folder of other classes than BUSI's, files made in no order, with what an operating system leaves behind."""
    root = tmp_path / "scans"
    grey = np.full(SHAPE, 90, np.uint8)
    for name in ("thyroid/b", "liver/x (2)", "thyroid/a", "liver/x (10)"):
        save(root / f"{name}.png", grey)
        save(root / f"{name}_mask.png", LESION)
    save(root / "thyroid/a_mask_1.png", LESION)
    save(root / "thyroid/stray_mask.png", LESION)
    save(root / "thyroid/._a.png", grey)
    save(root / ".ipynb_checkpoints/a.png", grey)
    (root / "thyroid/notes.txt").write_text("no image")
    (root / "thyroid/nested.png").mkdir()
    return root


def test_a_folder_becomes_a_frame_with_a_row_per_image(folder):
    frame = read_index(folder)
    assert list(frame) == ["id", "class", "label", "image", "masks", "patient", "dataset"]
    assert frame["id"].tolist() == ["liver/x (10)", "liver/x (2)", "thyroid/a", "thyroid/b"]
    assert frame["class"].tolist() == ["liver", "liver", "thyroid", "thyroid"]
    assert frame["label"].tolist() == [0, 0, 1, 1]
    assert frame["image"].tolist() == ["liver/x (10).png", "liver/x (2).png", "thyroid/a.png", "thyroid/b.png"]
    assert frame["masks"][2] == ("thyroid/a_mask.png", "thyroid/a_mask_1.png")
    assert list_folder(folder).orphans() == ["thyroid/stray_mask.png"]


def test_the_order_of_the_rows_does_not_come_from_the_file_system(folder, monkeypatch):
    expected = read_index(folder)
    listed = Path.glob
    for reverse in (False, True):
        monkeypatch.setattr(Path, "glob", lambda path, pattern, r=reverse: sorted(listed(path, pattern), reverse=r))
        assert read_index(folder).equals(expected)


def test_a_class_list_picks_classes_and_the_order_of_their_labels(phantom):
    frame = read_index(phantom, ["normal", "benign"])
    assert set(zip(frame["class"], frame["label"], strict=True)) == {("normal", 0), ("benign", 1)}
    with pytest.raises(UserError, match=r"data.classes: no images of class 'cyst' .* it has benign, malignant, normal"):
        read_index(phantom, ["benign", "cyst"])


def test_a_missing_or_empty_folder_is_one_clear_line(tmp_path):
    for make in (lambda: find_root(tmp_path / "nowhere"), lambda: read_index(tmp_path)):
        with pytest.raises(UserError, match=str(tmp_path)) as caught:
            make()
        assert "\n" not in str(caught.value)


def test_the_data_are_found_by_option_then_environment_then_default(tmp_path, monkeypatch):
    chosen, named, default = (tmp_path / name for name in ("given", "named", "default"))
    for path in (chosen, named, default):
        path.mkdir()
    monkeypatch.setattr(index, "DEFAULT_ROOT", default)
    monkeypatch.setenv("BUSI_ROOT", str(named))
    assert find_root(chosen) == chosen
    assert find_root(None) == named
    monkeypatch.delenv("BUSI_ROOT")
    assert find_root(None) == default
    default.rmdir()
    with pytest.raises(UserError, match="BUSI_ROOT"):
        find_root(None)


def test_the_variable_of_any_data_set_has_a_name_that_a_shell_can_set(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"or the variable MY_SET_2_ROOT\."):
        find_root(None, "my-set.2")
    monkeypatch.setenv("MY_SET_2_ROOT", str(tmp_path))
    assert find_root(None, "my-set.2") == tmp_path


MASKS = {
    "1-bit": (LESION, None),
    "0/1": (LESION.astype(np.uint8), None),
    "0/255": (LESION.astype(np.uint8) * 255, None),
    "RGB": (LESION.astype(np.uint8) * 255, "RGB"),
    "palette": (LESION.astype(np.uint8) * 255, "P"),
    "opaque RGBA": (LESION.astype(np.uint8) * 255, "RGBA"),
    "16-bit": (LESION.astype(np.uint16) * 65535, None),
    "16-bit 0/1": (LESION.astype(np.uint16), None),
    "one colour": (np.stack([LESION * 0, LESION * 255, LESION * 0], axis=2).astype(np.uint8), None),
    "alpha that says something else": (
        np.dstack([np.stack([LESION * 255] * 3, axis=2), ~LESION * 255]).astype(np.uint8),
        None,
    ),
}


@pytest.mark.parametrize("kind", MASKS)
def test_masks_are_read_right_in_every_mode(kind, tmp_path):
    array, mode = MASKS[kind]
    save(tmp_path / "m.png", array, mode)
    mask = read_mask(tmp_path, ("m.png",), SHAPE)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, LESION)


def test_several_masks_are_united_and_none_is_empty(tmp_path):
    save(tmp_path / "one.png", LESION)
    save(tmp_path / "two.png", LESION[::-1].astype(np.uint8))
    np.testing.assert_array_equal(read_mask(tmp_path, ("one.png", "two.png"), SHAPE), LESION | LESION[::-1])
    assert not read_mask(tmp_path, (), SHAPE).any()


def test_images_of_every_mode_become_rgb_bytes(tmp_path):
    colored = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    alpha = np.dstack([colored, np.full(SHAPE, 7, np.uint8)])
    for array in (colored, alpha):
        np.testing.assert_array_equal(read_image(save(tmp_path / "i.png", array)), colored)
    grey = colored[..., 0]
    for array in (grey, grey.astype(np.uint16) * 256 + 13):
        np.testing.assert_array_equal(read_image(save(tmp_path / "i.png", array)), np.stack([grey] * 3, axis=2))


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "missing"])
def test_a_broken_file_is_named_in_one_line(damage, tmp_path):
    path = save(tmp_path / "i.png", np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8))
    whole = path.read_bytes()
    {
        "empty": lambda: path.write_bytes(b""),
        "truncated": lambda: path.write_bytes(whole[: len(whole) // 2]),
        "garbage": lambda: path.write_bytes(b"no image" * 99),
        "missing": path.unlink,
    }[damage]()
    with pytest.raises(UserError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path} ")
    assert str(caught.value).count(str(path)) == 1
    assert "data.skip_unreadable=true" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mask_of_another_size_than_its_image_is_named(tmp_path):
    save(tmp_path / "m.png", LESION)
    with pytest.raises(MaskSizeError, match=r"m.png is 30x20 pixels but its image 20x30.*data.exclude"):
        read_mask(tmp_path, ("m.png",), SHAPE[::-1])
