"""A mask is never a training image, whatever its name, format or folder; and no ultrasound image is taken for one."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data.audit_command import main
from bus_lightning.data.index import read_image, read_index
from bus_lightning.data.mask_files import measure_likeness
from bus_lightning.data.prepare import prepare_data

IMAGE = "benign/benign (1).png"


@pytest.fixture
def prepared(data_config, tmp_path):
    def make(root, *overrides, needs_masks=False):
        cfg = data_config("data.classes=null", f"data.cache={tmp_path / 'cache'}", *overrides, root=root)
        return prepare_data(cfg.data, needs_masks)

    return make


def mask_of(root, image=IMAGE):
    return read_image(root / f"{image[:-4]}_mask.png")


@pytest.mark.parametrize(
    "name",
    ["benign (1)_tumor", "benign (1)_mask - Copy", "benign (1)_mask (2)", "mask_benign (1)", "benign (1)-mask",
     "benign (1)_seg", "benign (1)_gt", "benign (1)_lesion", "benign (1)Mask", "GroundTruth benign (1)", "other"],
)  # fmt: skip
def test_a_mask_of_any_name_next_to_its_image_is_refused_by_name(name, small_copy, prepared):
    Image.fromarray(mask_of(small_copy)).save(small_copy / f"benign/{name}.png")
    with pytest.raises(UserError) as caught:
        prepared(small_copy)
    message = str(caught.value)
    assert message.startswith(f"{small_copy}/benign/{name}.png looks like a mask")
    assert ("of benign/benign (1).png" in message) == (name != "other")
    assert "data.exclude=FILE.csv" in message
    assert "\n" not in message


CHANGES = {
    "0 and 1": lambda mask: mask // 255,
    "labels": lambda mask: np.where(mask.any(axis=2)[..., None] & (np.arange(mask.shape[1]) < 60)[:, None], 2, mask),
    "inverted": lambda mask: 255 - mask,
    "in green": lambda mask: mask * np.array([0, 1, 0], np.uint8),
    "opaque": lambda mask: np.dstack([mask, np.full(mask.shape[:2], 255, np.uint8)]),
    "soft edges": lambda mask: cv2.GaussianBlur(mask, (0, 0), 1.0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_masks_of_every_kind_are_seen(change, small_copy, prepared):
    Image.fromarray(CHANGES[change](mask_of(small_copy)).astype(np.uint8)).save(small_copy / "benign/benign (1)_gt.png")
    with pytest.raises(UserError, match=r"benign \(1\)_gt\.png looks like a mask of benign/benign \(1\)\.png"):
        prepared(small_copy)


@pytest.mark.parametrize("quality", [95, 60, 30])
def test_a_mask_as_jpeg_is_seen(quality, small_copy, prepared):
    Image.fromarray(mask_of(small_copy)).save(small_copy / "benign/benign (1)_gt.jpg", quality=quality)
    with pytest.raises(UserError, match=r"benign \(1\)_gt\.jpg looks like a mask of benign/benign \(1\)\.png"):
        prepared(small_copy)


def test_an_empty_mask_next_to_its_image_is_found_and_a_lone_blank_picture_is_no_mask(small_copy, prepared):
    empty = np.zeros_like(read_image(small_copy / IMAGE))
    Image.fromarray(empty).save(small_copy / "benign/blank.png")
    prepared(small_copy)
    Image.fromarray(empty).save(small_copy / "benign/benign (1)_segmentation.png")
    with pytest.raises(UserError, match=r"looks like an empty mask of benign/benign \(1\)\.png"):
        prepared(small_copy)


def test_an_image_with_its_outline_drawn_in_is_seen_and_another_of_its_name_is_not(small_copy, prepared):
    image, mask = read_image(small_copy / IMAGE), mask_of(small_copy)
    other = read_image(small_copy / "benign/benign (2).png")
    other = cv2.resize(other, image.shape[1::-1])
    Image.fromarray(other).save(small_copy / "benign/tumor benign (1).png")
    prepared(small_copy)
    outline = mask - cv2.erode(mask, np.ones((3, 3)))
    Image.fromarray(np.where(outline > 0, (255, 0, 0), image).astype(np.uint8)).save(
        small_copy / "benign/benign (1)_overlay.png"
    )
    with pytest.raises(UserError, match=r"benign \(1\)_overlay\.png looks like benign/benign \(1\)\.png with"):
        prepared(small_copy)


@pytest.fixture
def folders(phantom, tmp_path):
    """Images in `original/`, masks of the same names in `GT/`, those of normal images empty."""
    root = tmp_path / "udiat"
    for kind in ("original", "GT"):
        (root / kind).mkdir(parents=True)
    for row in list(read_index(phantom).itertuples())[::4]:
        name = row.id.replace("/", "_")
        shutil.copy(phantom / row.image, root / "original" / f"{name}.png")
        shutil.copy(phantom / row.masks[0], root / "GT" / f"{name}.png")
    return root


def test_a_folder_of_masks_is_no_class(folders, prepared):
    with pytest.raises(UserError, match=r"GT/benign_benign \(1\)\.png looks like a mask of original/benign.*18 files"):
        prepared(folders)
    assert len(prepared(folders, "data.classes=[original]").frame) == 18


def test_a_folder_of_masks_without_their_images_is_refused_with_its_empty_ones(folders, prepared, tmp_path):
    shutil.rmtree(folders / "original")
    with pytest.raises(UserError, match=r"\(18 files are broken"):
        prepared(folders)
    assert main([str(folders), "--out", str(tmp_path), "--cache", str(tmp_path / "cache")]) == 1


def test_masks_in_folders_below_a_class_are_not_read(small_copy, prepared):
    for kind in ("images", "masks"):
        (small_copy / "benign" / kind).mkdir()
    (small_copy / IMAGE).rename(small_copy / "benign/images/benign (1).png")
    (small_copy / f"{IMAGE[:-4]}_mask.png").rename(small_copy / "benign/masks/benign (1).png")
    assert len(prepared(small_copy).frame) == 11


def test_a_mask_may_be_left_out_by_a_list(small_copy, prepared, tmp_path):
    Image.fromarray(mask_of(small_copy)).save(small_copy / "benign/x.png")
    (tmp_path / "list.csv").write_text("id\nbenign/x\n")
    assert len(prepared(small_copy, f"data.exclude={tmp_path / 'list.csv'}").frame) == 12
    with pytest.raises(UserError, match="looks like a mask"):
        prepared(small_copy, "data.skip_unreadable=true")


DARKER = (1, 4, 10, 30)


def kinds_of(files):
    def kinds(path):
        image = read_image(path)
        return {measure_likeness(image // by).kind for by in DARKER}

    with ThreadPoolExecutor(2) as pool:
        return set().union(*pool.map(kinds, files))


def test_no_phantom_is_taken_for_a_mask_even_a_dark_one(phantom):
    assert kinds_of(phantom / image for image in read_index(phantom)["image"]) == {""}


@pytest.mark.busi
def test_no_image_of_busi_is_taken_for_a_mask_and_every_mask_is_recognised(busi):
    frame = read_index(busi)
    assert kinds_of(busi / image for image in frame["image"][::5]) == {""}
    masks = [file for files in frame["masks"] for file in files][::5]
    assert [measure_likeness(read_image(busi / file)).kind for file in masks] == [
        "blank" if file.startswith("normal/") else "plain" for file in masks
    ]


def test_a_lesion_that_was_cut_out_and_put_on_black_is_an_image():
    rows, columns = np.mgrid[:300, :400]
    inside = ((rows - 150) / 40) ** 2 + ((columns - 200) / 55) ** 2 < 1
    speckle = np.random.default_rng(0).rayleigh(20, inside.shape).clip(0, 255)
    cut_out = np.repeat((speckle * inside).astype(np.uint8)[..., None], 3, axis=2)
    assert measure_likeness(cut_out).kind == ""
    assert measure_likeness((cut_out > 0).astype(np.uint8) * 255).kind == "plain"
