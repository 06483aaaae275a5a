"""Rules decide which pixels of a mask are lesion; a rule that was needed is reported, an unclear mask is refused."""

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from bus_lightning.data.index import read_image, read_index, read_mask
from bus_lightning.data.masks import MaskValueError, decode_mask, have_same_proportions, resize_mask

SHAPE = (80, 100)
RNG = np.random.default_rng(0)
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]]
LESION = ((ROWS - 40) / 18) ** 2 + ((COLUMNS - 45) / 25) ** 2 < 1
CORE = ((ROWS - 40) / 9) ** 2 + ((COLUMNS - 45) / 12) ** 2 < 1
SPOT = ((ROWS - 15) / 5) ** 2 + ((COLUMNS - 85) / 5) ** 2 < 1
SMALL = (ROWS // 4 == 2) & (COLUMNS // 4 == 20)
NOISE = RNG.integers(0, 6, SHAPE)
FEW = RNG.random(SHAPE) < 0.02
FILLING = ((ROWS - SHAPE[0] / 2) / (SHAPE[0] / 2 - 3)) ** 2 + ((COLUMNS - SHAPE[1] / 2) / (SHAPE[1] / 2 - 3)) ** 2 < 1
DISC = np.uint8(255) * LESION


def colour(*parts):
    picture = np.zeros((*SHAPE, 3), np.uint8)
    for area, value in parts:
        picture[area] = value
    return picture


def alpha(colours, opacity):
    return np.dstack([np.broadcast_to(np.asarray(colours, np.uint8), (*SHAPE, 3)), opacity.astype(np.uint8)])


def palette(codes, colours):
    image = Image.fromarray(codes.astype(np.uint8), mode=None).convert("P")
    image.putdata(codes.astype(np.uint8).ravel().tolist())
    image.putpalette([value for colour in colours for value in colour])
    return image


RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)
BOTH = LESION | SPOT
READ = {  # the content of the file, the lesion, and the rule that is reported
    "1 bit": (LESION, LESION, ""),
    "0 and 1": (LESION * 1, LESION, ""),
    "0 and 3": (LESION * 3, LESION, ""),
    "0 and 255": (LESION * 255, LESION, ""),
    "0 and 100": (LESION * 100, LESION, ""),
    "50 and 200": (50 + LESION * 150, LESION, ""),
    "150 and 200": (150 + LESION * 50, LESION, ""),
    "1 and 2": (1 + LESION, LESION, ""),
    "empty": (LESION * 0, LESION & False, ""),
    "labels 1 and 2, one in the other": (LESION * 1 + CORE, LESION, "labels 1, 2 taken together"),
    "labels 1 and 2, apart": (LESION * 1 + SPOT * 2, BOTH, "labels 1, 2 taken together"),
    "labels 127 and 255": (LESION * 127 + SPOT * 255, BOTH, "labels 127, 255 taken together"),
    "labels 85, 170 and 255": (LESION * 85 + CORE * 85 + SPOT * 255, BOTH, "labels 85, 170, 255 taken together"),
    "a small label 127 apart from 255": (LESION * 255 + SMALL * 127, LESION | SMALL, "soft edges"),
    "palette of one colour": (palette(LESION * 1, [(0, 0, 0), (0, 0, 0)]), LESION, "shape taken from the numbers"),
    "labels 1 and 255": (LESION * 1 + SPOT * 255, BOTH, "labels 1, 255 taken together"),
    "noise of 1 to 5": (NOISE, LESION & False, "scattered levels up to 5 taken as noise"),
    "noise of 0 and 1": (NOISE % 2, LESION & False, "scattered levels up to 1 taken as noise"),
    "specks of 1": (FEW * 1, LESION & False, "scattered levels up to 1 taken as noise"),
    "noise beside a lesion": (np.where(LESION, 255, NOISE), LESION, "soft edges"),
    "soft edges": (cv2.GaussianBlur(DISC, (0, 0), 1.2), LESION, "soft edges"),
    "inverted": (~LESION * 255, LESION, "inverted"),
    "inverted 0 and 1": (~LESION * 1, LESION, "inverted"),
    "inverted soft edges": (cv2.GaussianBlur(255 - DISC, (0, 0), 1.2), LESION, "soft edges of"),
    "16 bits": (LESION.astype(np.uint16) * 65535, LESION, ""),
    "16 bits, 0 and 1": (LESION.astype(np.uint16), LESION, ""),
    "16 bits, labels": ((LESION * 1 + CORE).astype(np.uint16), LESION, "labels 1, 2 taken together"),
    "16 bits, labels of 1000": ((LESION * 1000 + CORE * 1000).astype(np.uint16), LESION, "labels 1000, 2000"),
    "opaque": (alpha(colour((LESION, WHITE)), np.full(SHAPE, 255)), LESION, ""),
    "in the alpha channel alone": (alpha((0, 0, 0), LESION * 255), LESION, "shape taken from the alpha channel"),
    "white, in the alpha channel": (alpha(WHITE, LESION * 128), LESION, "shape taken from the alpha channel"),
    "colours and another alpha channel": (alpha(colour((LESION, WHITE)), ~LESION * 255), LESION, ""),
    "green and red on black": (colour((LESION, GREEN), (SPOT, RED)), BOTH, ""),
    "dim green and red on black": (colour((LESION, (0, 100, 0)), (SPOT, RED)), BOTH, "labels 100, 255"),
    "red on blue": (colour((LESION | ~LESION, (0, 0, 255)), (LESION, RED)), LESION, "every colour except the border's"),
    "palette": (palette(LESION * 1, [(0, 0, 0), WHITE]), LESION, ""),
    "palette of labels": (palette(LESION * 1 + CORE, [(0, 0, 0), (128, 0, 0), (0, 200, 0)]), LESION, "labels 128, 200"),
    "palette, background last": (palette(~LESION * 1, [WHITE, (0, 0, 0)]), LESION, ""),
}  # fmt: skip


def saved(content, path, **options):
    if not isinstance(content, Image.Image):
        content = Image.fromarray(content.astype(np.uint8) if content.dtype == np.int64 else content)
    content.save(path, **options)
    return path


@pytest.mark.parametrize("kind", READ)
def test_a_mask_of_any_values_is_read_by_rule_and_the_rule_is_named(kind, tmp_path):
    content, lesion, rule = READ[kind]
    decoded = decode_mask(saved(content, tmp_path / "m.png"))
    assert decoded.lesion.dtype == np.uint8
    assert (decoded.lesion != lesion).sum() <= (8 if "soft" in kind else 0)
    assert decoded.rule.startswith(rule)
    assert bool(decoded.rule) == bool(rule)
    np.testing.assert_array_equal(read_mask(tmp_path, ("m.png",), SHAPE), decoded.lesion)


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("level", [1, 255, 4095, 65535])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_mask_in_colours_of_16_bits_keeps_its_lower_bits(channels, level, ending, tmp_path):
    deep = np.full((*SHAPE, channels), 65535, np.uint16)
    deep[..., :3] = (LESION * level)[..., None]
    assert cv2.imwrite(str(tmp_path / f"m.{ending}"), deep)
    np.testing.assert_array_equal(decode_mask(tmp_path / f"m.{ending}").lesion, LESION)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_is_turned_upright_like_its_image(orientation, ending, tmp_path):
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = orientation
    picture = Image.fromarray(DISC)
    for name in ("x", "x_mask"):
        picture.save(tmp_path / f"{name}.{ending}", exif=turned, **({"quality": 100} if ending == "jpg" else {}))
    image = read_image(tmp_path / f"x.{ending}")[..., 0]
    mask = read_mask(tmp_path, (f"x_mask.{ending}",), image.shape)
    np.testing.assert_array_equal(mask, image > 127)


@pytest.mark.parametrize("content", [LESION * 255, LESION * 127 + SPOT * 255], ids=["two levels", "labels"])
@pytest.mark.parametrize("quality", [95, 75, 40])
def test_jpeg_leaves_a_mask_as_it_was(content, quality, tmp_path):
    decoded = decode_mask(saved(content, tmp_path / "m.jpg", quality=quality)).lesion
    assert (decoded != (content > 0)).sum() < 0.02 * content.size


AMBIGUOUS = {
    "bright everywhere": (np.full(SHAPE, 255), "has the value 255 everywhere"),
    "1 everywhere": (np.full(SHAPE, 1), "has the value 1 everywhere"),
    "half of the border": ((COLUMNS > 10) * 255, "% bright: it may be inverted, or have a frame"),
    "a frame around": (cv2.copyMakeBorder(DISC, 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=255), "100% bright"),
    "inverted, of a lesion larger than half": (~FILLING * 255, "100% bright"),
    "a dim lesion in noise": (np.where(LESION, 20, NOISE), "noise or a small lesion"),
    "a spot of 3 x 3 in level 1": ((ROWS // 3 == 10) * (COLUMNS // 3 == 10) * 1, "noise or a small lesion"),
    "an image": (cv2.GaussianBlur(RNG.integers(0, 256, SHAPE).astype(np.uint8), (0, 0), 3), "like an image"),
    "colours of one brightness": (colour((COLUMNS < 50, RED), (COLUMNS >= 50, GREEN)), "which is the background"),
}  # fmt: skip


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_a_mask_that_no_rule_decides_is_refused_in_one_line(kind, tmp_path):
    content, message = AMBIGUOUS[kind]
    with pytest.raises(MaskValueError, match=message) as caught:
        decode_mask(saved(content, tmp_path / "m.png"))
    assert str(caught.value).startswith(f"{tmp_path}/m.png has ")
    assert "data.exclude=FILE.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_masks_of_one_image_are_read_each_by_its_own_rule(tmp_path):
    saved(~LESION * 255, tmp_path / "a.png")
    saved(SPOT * 1, tmp_path / "b.png")
    saved(NOISE, tmp_path / "c.png")
    np.testing.assert_array_equal(read_mask(tmp_path, ("a.png", "b.png", "c.png"), SHAPE), BOTH)


@pytest.mark.slow
@pytest.mark.busi
def test_masks_of_busi_are_what_half_of_the_brightest_gives(busi):
    for files in read_index(busi)["masks"]:
        for file in files:
            level = read_image(busi / file).max(axis=2)
            decoded = decode_mask(busi / file)
            np.testing.assert_array_equal(decoded.lesion, level > level.max() / 2)
            assert not decoded.rule


# --- sizes


@pytest.mark.parametrize(
    ("other", "same"),
    [((160, 200), True), ((40, 50), True), ((53, 67), True), ((80, 101), False), ((100, 80), False), ((80, 120), False),
     ((8, 10), False), ((800, 1000), False)],
)  # fmt: skip
def test_the_same_proportions_are_recognised_up_to_rounding(other, same):
    assert have_same_proportions(SHAPE, other) == same


@pytest.mark.parametrize("factor", [2, 4])
def test_a_mask_is_resized_by_area_down_and_to_the_nearest_pixel_up(factor):
    large = np.kron(LESION, np.ones((factor, factor))).astype(np.uint8)
    np.testing.assert_array_equal(resize_mask(large, SHAPE), LESION)
    np.testing.assert_array_equal(resize_mask(LESION.astype(np.uint8), large.shape), large)
    thin = np.zeros((160, 200), np.uint8)
    thin[::2] = 1  # half of each pixel
    assert resize_mask(thin, SHAPE).all()
