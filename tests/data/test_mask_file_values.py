"""Pictures near the limits of what is taken for a mask, and whose mask it is."""

from collections import namedtuple

import numpy as np
import pytest

from bus_lightning.data.mask_files import Likeness, find_mask_files, measure_likeness

Row = namedtuple("Row", ["id", "image", "class_name"])
SHAPE = (60, 80)
KINDS = {"image": "", "mask": "plain", "soft": "loose", "blank": "blank"}


def find_masks(files, shapes=(), pictures=()):
    """Find the masks among files: id -> kind of picture."""
    rows = [Row(id_, f"{id_}.png", id_.partition("/")[0]) for id_ in files]
    looks = {id_: Likeness(KINDS[kind], dict(shapes).get(id_, SHAPE)) for id_, kind in files.items()}
    return find_mask_files(rows, looks, dict(pictures).get)


def spots(number):
    """Draw so many white spots on black."""
    picture = np.zeros((100, 100, 3), np.uint8)
    for k in range(number):
        top, left = 12 * (k // 8) + 3, 12 * (k % 8) + 3
        picture[top : top + 8, left : left + 8] = 255
    return picture


def test_a_mask_has_at_most_forty_pieces_with_its_background():
    assert measure_likeness(spots(39)).kind == "plain"
    assert measure_likeness(spots(40)).kind == ""


def test_a_mask_has_at_most_six_grey_levels_unless_nearly_all_pixels_are_at_two():
    picture = np.zeros((100, 100, 3), np.uint8)
    for k in range(1, 6):
        picture[10 * k : 10 * k + 10, 20:80] = 50 * k
    assert measure_likeness(picture).kind == "plain"
    picture[60:70, 20:80] = 125
    assert measure_likeness(picture).kind == ""
    few = spots(9)
    few[:5, :5] = np.arange(25).reshape(5, 5, 1) * 10  # 25 more levels on a four-hundredth of the picture
    assert measure_likeness(few).kind == "plain"


def test_a_picture_of_one_level_is_blank_and_of_one_row_an_image():
    assert measure_likeness(np.full((9, 9, 3), 77, np.uint8)).kind == "blank"
    row = np.zeros((1, 50, 3), np.uint8)
    row[:, 20:30] = 255
    assert measure_likeness(row).kind == ""
    assert measure_likeness(row).shape == (1, 50)


def test_speckle_on_a_dark_background_is_an_image_however_flat():
    picture = np.zeros((200, 200, 3), np.uint8)
    picture[np.random.default_rng(0).random((200, 200)) < 0.02] = 255
    assert measure_likeness(picture).kind == ""


def test_a_mask_names_the_image_of_its_words_and_size():
    reasons = find_masks({"benign/case 7": "image", "benign/case 8": "image", "benign/case 7 mask": "mask"})
    assert reasons == {
        "benign/case 7 mask.png": "looks like a mask of benign/case 7.png: few grey levels, in flat areas"
    }
    reasons = find_masks({"benign/case 7": "image", "benign/case 7 mask": "mask"}, [("benign/case 7", (60, 81))])
    assert reasons == {"benign/case 7 mask.png": "looks like a mask: few grey levels, in flat areas"}


def test_a_copys_number_is_not_the_images():
    reasons = find_masks(
        {"a/case (1)": "image", "a/case": "image", "a/case_mask (1)": "soft", "a/case (1)_mask": "soft"}
    )
    assert reasons["a/case (1)_mask.png"] == "looks like a mask of a/case (1).png: nearly two grey levels"
    assert reasons["a/case_mask (1).png"].endswith(".png: nearly two grey levels")
    assert find_masks({"a/case": "image", "a/case_mask (1)": "soft"}) == {
        "a/case_mask (1).png": "looks like a mask of a/case.png: nearly two grey levels"
    }
    assert find_masks({"a/case": "image", "a/case (1)": "soft"}) == {}  # no word says that it is a mask


def test_nearly_two_levels_or_one_are_a_mask_only_where_there_is_an_image_to_them():
    assert find_masks({"a/case 7": "soft", "a/case 8": "image", "a/blank_mask": "blank"}) == {}
    reasons = find_masks({"a/7": "image", "b/7": "soft", "a/8": "image", "a/8_mask": "blank"})
    assert reasons == {
        "b/7.png": "looks like a mask of a/7.png: nearly two grey levels",  # the same name in another folder
        "a/8_mask.png": "looks like an empty mask of a/8.png: one grey level",
    }


@pytest.mark.parametrize(("masks", "empty"), [(1, 0), (2, 2)])
def test_blank_pictures_are_empty_masks_where_more_than_a_third_of_their_folder_are_masks(masks, empty):
    files = {f"a/{k}": "image" for k in (10, 11)[: 3 - masks]} | {"a/20": "blank", "a/21": "blank"}
    reasons = find_masks(files | {f"a/{k}": "mask" for k in range(masks)})
    assert sum("empty mask" in reason for reason in reasons.values()) == empty


def test_a_picture_with_a_drawing_shares_six_tenths_of_its_bright_pixels_with_its_image():
    image = np.random.default_rng(0).integers(30, 200, (*SHAPE, 3)).astype(np.uint8)
    for share, seen in ((0.35, True), (0.45, False)):
        drawn = image.copy()
        drawn[: round(share * SHAPE[0])] = 255 - image[: round(share * SHAPE[0])] // 2
        files = {"a/case 7": "image", "a/case 7 overlay": "image"}
        reasons = find_masks(files, pictures={"a/case 7.png": image, "a/case 7 overlay.png": drawn}.items())
        assert bool(reasons) is seen
    cut_out = np.zeros_like(image)
    cut_out[20:40, 20:40] = image[20:40, 20:40]  # black does not count
    reasons = find_masks(files, pictures={"a/case 7.png": image, "a/case 7 overlay.png": cut_out}.items())
    assert reasons == {"a/case 7 overlay.png": "looks like a/case 7.png with something drawn into it"}


def test_a_bright_shape_with_texture_is_an_image():
    # Of its neighbours an eighth is equal: no mask, blurred or saved as JPEG, has so few.
    picture = np.zeros((100, 120, 3), np.uint8)
    picture[30:70, 30:90] = np.random.default_rng(0).integers(0, 8, (40, 60, 1)) * 2 + 240
    assert measure_likeness(picture).kind == ""
    picture[30:70, 30:90] = np.maximum(picture[30:70, 30:90], 250)
    assert measure_likeness(picture).kind == "plain"


def test_lone_specks_in_a_bright_area_are_no_mask():
    picture = np.repeat(222 + np.arange(100) // 20, 100).reshape(100, 100, 1).repeat(3, axis=2).astype(np.uint8)
    picture[20:90, 20:90] = 254
    picture[25:85:10, 25:85:10] = 255  # no two of them are neighbours
    picture[0, 0] = 0
    assert measure_likeness(picture).kind == ""
