"""Training and diagnosis read a picture alike: depth from the file, one scale for a file and for a data set."""

import logging
from io import BytesIO

import numpy as np
import pytest
from deep_files import grey, png_16, significant, tiff_of
from drawn_files import tiff
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data.dataset_scale import known_scale
from bus_lightning.data.index import read_image, read_index
from bus_lightning.data.levels import OWN_SCALE, Scale, to_8_bits
from bus_lightning.data.mistakes import with_mistake
from bus_lightning.data.pixels import cached_pixels
from bus_lightning.data.prepare import PreparedData, prepare_data
from bus_lightning.data.preprocess import Preprocessing
from bus_lightning.data.sources.registry import read_sets
from bus_lightning.diagnosis.reading import read_frames

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 4096, (20, 24, 3)).astype(np.uint16)  # of 12 bits
COLOR[0, 0] = 4095, 0, 2047
GREY, ALPHA = COLOR[..., 0], RNG.integers(0, 65536, (20, 24)).astype(np.uint16)
SHOWN, GREY_SHOWN = (COLOR >> 4).astype(np.uint8), grey(GREY >> 4)
DARK = GREY // 8  # of 9 bits


def packed_12(array):
    """Pack levels of 12 bits, two into three bytes, as TIFF does."""
    first, second = array.reshape(-1, 2).astype(int).T
    return np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1).astype(np.uint8).tobytes()


PICTURES = {
    "tiff that states 12 bits": (tiff(24, 20, packed_12(DARK), bits=12), grey(DARK >> 4)),
    "grey png": (png_16(GREY), GREY_SHOWN),
    "grey and alpha png": (png_16(np.dstack([GREY, ALPHA])), GREY_SHOWN),
    "colour png": (png_16(COLOR), SHOWN),
    "colour and alpha png": (png_16(np.dstack([COLOR, ALPHA])), SHOWN),
    "grey png, all 16 bits": (png_16(GREY * 16), GREY_SHOWN),
    "colour png, all 16 bits": (png_16(COLOR * 16), SHOWN),
    "png that states 12 bits": (png_16(DARK, significant(12)), grey(DARK >> 4)),
    "colour png that states 12 bits": (png_16(COLOR // 8, significant(12, 3)), (COLOR // 8) >> 4),
    "png that states 12 bits and fills 16": (png_16(GREY * 16, significant(12)), GREY_SHOWN),
    "grey tiff": (tiff_of([GREY]), GREY_SHOWN),
    "grey tiff, big end first": (tiff_of([GREY], ">"), GREY_SHOWN),
    "grey tiff, white is 0": (tiff_of([GREY], photometric=0), 255 - GREY_SHOWN),
    "grey tiff, signed": (tiff_of([GREY.astype(np.int16)]), GREY_SHOWN),
    "grey tiff of 32 bits": (tiff_of([GREY.astype(np.uint32)]), GREY_SHOWN),
    "grey tiff of 32 bits, signed": (tiff_of([GREY.astype(np.int32)]), GREY_SHOWN),
    "colour tiff": (tiff_of([COLOR]), SHOWN),
    "colour tiff, big end first": (tiff_of([COLOR], ">"), SHOWN),
    "colour and alpha tiff": (tiff_of([np.dstack([COLOR, ALPHA])]), SHOWN),
    "float tiff, to 1": (tiff_of([(GREY / 4095).astype(np.float32)]), grey(np.rint(GREY / 4095 * 255))),
    "float tiff, to 255": (tiff_of([(GREY >> 4).astype(np.float32)]), GREY_SHOWN),
    "8 bits in grey of 16": (png_16(GREY >> 4), GREY_SHOWN),
    "8 bits in colours of 16": (png_16(COLOR >> 4), SHOWN),
    "colour tiff of 8 bits": (tiff_of([SHOWN]), SHOWN),
    "colour tiff of 8 bits in planes": (tiff_of([SHOWN], planar=2), SHOWN),
}


@pytest.fixture
def save(tmp_path):
    def make(data, name="a.png"):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return make


def test_the_files_are_what_they_claim_to_be():
    for pages in ([GREY], [COLOR >> 8]):
        with Image.open(BytesIO(tiff_of(pages))) as image:
            assert image.size == (24, 20)
    with Image.open(BytesIO(png_16(GREY))) as image:
        np.testing.assert_array_equal(np.asarray(image), GREY)


@pytest.mark.parametrize("name", PICTURES)
def test_training_and_diagnosis_read_the_same(save, name):
    data, expected = PICTURES[name]
    path = save(data)
    (frame,) = read_frames(path)
    np.testing.assert_array_equal(frame.image, expected)
    np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize(
    ("brightest", "shift"),
    [(1, 0), (255, 0), (256, 2), (1023, 2), (1024, 4), (2040, 4), (2050, 4), (4095, 4), (4096, 6), (16383, 6),
     (16384, 8), (65535, 8)],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3])
def test_a_depth_that_is_not_stated_is_the_smallest_that_holds_the_brightest(save, brightest, shift, channels):
    levels = np.linspace(0, brightest, 20 * 24 * channels).astype(np.uint16)
    levels = levels.reshape((20, 24) if channels == 1 else (20, 24, channels))
    expected = (levels >> shift).astype(np.uint8)
    np.testing.assert_array_equal(read_image(save(png_16(levels))), grey(expected) if channels == 1 else expected)


@pytest.mark.parametrize(("bits", "white"), [(1, 1), (4, 15), (7, 127), (8, 255), (10, 1023), (12, 4095), (16, 65535)])
def test_white_of_any_depth_is_white_and_black_is_black(bits, white):
    shown = to_8_bits(np.array([0, white], np.uint16), bits)
    assert shown.tolist() == [0, 255]
    assert shown.dtype == np.uint8


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_one_bright_pixel_does_not_darken_one_page_against_the_others(save, kind):
    page = np.full((20, 24), 3000 if kind != np.float32 else 0.5, kind)
    bright = page.copy()
    bright[3, 4] = 5000 if kind != np.float32 else 1.5
    frames = [frame.image for frame in read_frames(save(tiff_of([page, page, bright, page])))]
    assert len(frames) == 4
    for frame in frames:
        assert frame[0, 0].tolist() == frames[2][0, 0].tolist()
    assert frames[0][0, 0, 0] == (3000 >> 6 if kind != np.float32 else 0)


def test_an_animation_of_16_bits_is_on_one_scale(save):
    stream, pages = BytesIO(), [Image.fromarray(levels) for levels in (DARK, GREY, DARK * 2)]
    pages[0].save(stream, "PNG", save_all=True, append_images=pages[1:])
    frames = [frame.image for frame in read_frames(save(stream.getvalue()))]
    for frame, levels in zip(frames, (DARK, GREY, DARK * 2), strict=True):
        np.testing.assert_array_equal(frame, grey(levels >> 4))


def test_pages_of_different_kinds_share_a_scale_and_those_of_8_bits_stay_as_they_are(save):
    pages = [DARK, COLOR, SHOWN, GREY * 4]
    frames = [frame.image for frame in read_frames(save(tiff_of(pages)))]
    expected = [grey(DARK >> 6), COLOR >> 6, SHOWN, grey((GREY * 4) >> 6)]
    for frame, array in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame, array)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff_of([COLOR], planar=2), "separate planes"),
        (tiff_of([(GREY >> 4).astype(np.int8)]), "below 0"),
        (tiff_of([-GREY.astype(np.int16)]), "below 0"),
        (tiff_of([GREY.astype(np.int32) * 100]), "above 65535"),
        (tiff_of([np.full((20, 24), np.nan, np.float32)]), "NaN"),
        (tiff_of([GREY.astype(np.float32)]), "outside 0 to 255"),
    ],
)
def test_levels_without_a_meaning_are_refused_by_both(save, data, words):
    path = save(data)
    with pytest.raises(UserError, match=words):
        list(read_frames(path))
    with pytest.raises(UserError, match=f"a.png cannot be read: .*{words}.*data.skip_unreadable") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_a_file_of_several_pictures_is_no_training_image(save):
    with pytest.raises(UserError, match="holds 2 pictures: save each"):
        read_image(save(tiff_of([GREY, COLOR])))


def test_a_training_image_is_turned_as_its_camera_says(save):
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("PNG", "TIFF"):
        stream = BytesIO()
        Image.fromarray(SHOWN).save(stream, kind, exif=exif)
        path = save(stream.getvalue())
        np.testing.assert_array_equal(read_image(path), np.rot90(SHOWN, -1))
        np.testing.assert_array_equal(next(read_frames(path)).image, np.rot90(SHOWN, -1))


@pytest.fixture
def deep_folder(small_copy):
    """The phantom folder with a bright image of 12 bits, a dark one, and one that states its depth."""
    images = read_index(small_copy)["image"].tolist()
    for name, levels in zip(images, (GREY, DARK, DARK), strict=False):
        (small_copy / name).write_bytes(png_16(levels, significant(10) if name == images[2] else b""))
    return small_copy, images


def test_a_data_set_is_on_one_scale(deep_folder, tmp_path, caplog):
    root, images = deep_folder
    caplog.set_level(logging.INFO)
    scale = known_scale(root, images, "0" * 64, tmp_path / "cache")
    assert scale == Scale(12)
    assert "12 bits" in caplog.text
    np.testing.assert_array_equal(read_image(root / images[0], scale), GREY_SHOWN)
    np.testing.assert_array_equal(read_image(root / images[1], scale), grey(DARK >> 4))  # by itself: >> 2
    np.testing.assert_array_equal(read_image(root / images[2], scale), grey(DARK >> 2))  # as it states
    assert read_image(root / images[3], scale).tolist() == read_image(root / images[3]).tolist()


def test_the_scale_is_found_once_for_the_same_content(deep_folder, tmp_path):
    root, images = deep_folder
    assert known_scale(root, images, "a" * 64, tmp_path / "cache") == Scale(12)
    (root / images[0]).unlink()
    assert known_scale(root, images, "a" * 64, tmp_path / "cache") == Scale(12)
    assert known_scale(root, images, "b" * 64, tmp_path / "cache") == Scale(10)


def test_a_data_set_of_8_bits_is_not_decoded_to_find_its_scale(small_copy, tmp_path, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("an image was decoded"))
    assert known_scale(small_copy, read_index(small_copy)["image"].tolist(), "c" * 64, tmp_path) == OWN_SCALE


def test_the_scale_is_that_of_the_whole_folder_whatever_is_chosen_of_it(small_copy, data_config):
    index = read_index(small_copy)
    for name in index.groupby("class")["image"].first()[["benign", "normal"]]:
        levels = np.pad(GREY if name.startswith("benign") else DARK, ((0, 44), (0, 40)))
        (small_copy / name).write_bytes(png_16(levels))
        for mask in index.set_index("image").at[name, "masks"]:
            Image.fromarray(np.zeros(levels.shape, np.uint8)).save(small_copy / mask)
    for classes in ("[benign,malignant,normal]", "[malignant,normal]"):
        data = data_config(f"data.classes={classes}", root=small_copy).data
        assert prepare_data(data, needs_masks=False).scale == Scale(12), classes


def test_cached_pixels_are_on_the_scale_and_separate_for_each_scale(deep_folder, tmp_path, monkeypatch):
    root, _ = deep_folder
    frame = with_mistake(read_index(root), None).iloc[:2]
    frame = frame.assign(masks=[(), ()])
    monkeypatch.setattr(PreparedData, "has_changed", lambda *_: False)  # nobody has hashed the folder
    preprocessing = Preprocessing(size=16)
    for scale, shift in ((Scale(12), 4), (Scale(14), 6)):
        prepared = PreparedData(root, frame, {}, "digits-choice", scale=scale, sets=tuple(read_sets({"root": root})))
        records = cached_pixels(prepared, preprocessing, False, tmp_path / "cache", 1.0)
        np.testing.assert_array_equal(records["image"][1], preprocessing.fit(grey(DARK >> shift)))
