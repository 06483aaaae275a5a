"""The probe for labels, and the mistakes that others make, compared with values computed by hand."""

import numpy as np
import pandas as pd
import pytest

from bus_lightning.data.mistakes import mirrored, with_mistake
from bus_lightning.data.preprocess import Overlay
from bus_lightning.data.probe import _statistics, label_in_input


def test_a_copy_is_mirrored_as_its_name_says():
    array = np.arange(12).reshape(3, 4).astype(np.uint8)
    assert np.array_equal(mirrored(array, "horizontal"), array[:, ::-1])
    assert np.array_equal(mirrored(array, "vertical"), array[::-1])
    assert np.array_equal(mirrored(array, "both"), array[::-1, ::-1])
    assert mirrored(array, "") is array


def test_a_mistake_adds_its_rows_and_leaves_the_others_as_they_were():
    frame = pd.DataFrame(
        {
            "id": ["b/2", "b/1"],
            "class": "b",
            "image": ["b/2.png", "b/1.png"],
            "masks": [["b/2_mask.png", "b/2_mask_1.png"], []],
        }
    )
    plain = with_mistake(frame, None)
    assert plain["source"].tolist() == plain["id"].tolist() == ["b/2", "b/1"]
    assert plain["flip"].tolist() == ["", ""]
    flipped = with_mistake(frame, "flipped_copies")
    assert flipped["id"].tolist() == sorted(
        f"b/{n}{name}" for n in (1, 2) for name in ("", "~horizontal", "~vertical", "~both")
    )
    assert (flipped["flip"] == flipped["id"].str.partition("~")[2]).all()
    assert (flipped["source"] == flipped["id"].str.partition("~")[0]).all()
    masks = with_mistake(frame, "mask_files")
    assert masks["id"].tolist() == ["b/1", "b/2", "b/2_mask", "b/2_mask_1"]
    assert masks["image"].tolist() == ["b/1.png", "b/2.png", "b/2_mask.png", "b/2_mask_1.png"]
    assert masks["source"].tolist() == ["b/1", "b/2", "b/2", "b/2"]


class Drawn:
    """A dataset whose images are noise, drawn upon by class where it has an overlay."""

    def __init__(self, mark, classes=3, number=48):
        self.overlay, self.mark = "drawn", mark
        rows = [{"id": str(k), "label": k % classes} for k in range(number)]
        self.rows = list(pd.DataFrame(rows).itertuples(index=False))

    def __len__(self):
        return len(self.rows)

    def square(self, position):
        rng = np.random.default_rng(position)
        image = rng.integers(90, 140, (20, 24, 1)).astype(np.uint8).repeat(3, 2)
        image[:10, :10] = 70 + rng.integers(0, 9)  # each its own level, so that no two images are equal
        if self.overlay == "drawn":
            image = self.mark(image.astype(int), self.rows[position].label, rng).clip(0, 255).astype(np.uint8)
        else:
            assert self.overlay == Overlay()
        return image, np.zeros((20, 24), np.uint8)


def brightest(image, label, _):
    image[0, 0] = 170 + 20 * label
    return image


def darkest(image, label, _):
    image[0, 0] = 10 + 20 * label
    return image


def brightness(image, label, _):
    return image + 12 * label


def contrast(image, label, _):
    return image.mean() + (image - image.mean()) * (1 + 0.3 * label)


def red(image, label, _):
    image[..., 0] += 4 * label
    image[..., 2] -= 4 * label
    return image


def blue(image, label, _):
    image[..., 1] -= 3 * label
    image[..., 2] += 3 * label
    return image


def white(image, label, _):
    image[-1, : 4 * label + 2] = 255
    return image


def black(image, label, _):
    image[-1, : 4 * label + 2] = 0
    return image


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("mark", [brightest, darkest, brightness, contrast, red, blue, white, black])
def test_the_probe_finds_any_drawing_that_shows_the_class_and_only_with_the_overlay(mark, classes):
    dataset = Drawn(mark, classes)
    with_overlay, bare = label_in_input(dataset, {row.id: int(row.id) for row in dataset.rows})
    assert with_overlay > 0.97
    assert bare < 0.8
    assert dataset.overlay == "drawn"


def test_the_probe_keeps_near_duplicates_together():
    # Noise alone, each image four times: a probe that separated the copies would recognise them.
    class Copied(Drawn):
        def square(self, position):
            return super().square(self.source[position])

    dataset = Copied(lambda image, *_: image, classes=2, number=80)
    units = [position // 8 * 2 + position % 2 for position in range(80)]
    dataset.source = units
    groups = {row.id: units[int(row.id)] for row in dataset.rows}
    with_overlay, bare = label_in_input(dataset, groups)
    assert with_overlay == bare < 0.65
    apart, _ = label_in_input(dataset, {id_: int(id_) for id_ in groups})
    assert apart > 0.8


def test_a_probe_needs_two_groups_of_each_of_two_classes():
    dataset = Drawn(brightness, classes=2, number=8)
    groups = {row.id: int(row.id) for row in dataset.rows}
    assert label_in_input(dataset, groups) is not None
    assert label_in_input(dataset, groups | {row.id: 1 for row in dataset.rows if row.label}) is None
    assert label_in_input(dataset, groups | {row.id: row.label for row in dataset.rows if int(row.id) > 3}) is not None
    assert label_in_input(Drawn(brightness, classes=1, number=8), groups) is None


def test_the_probe_sees_twenty_statistics_of_the_intensities():
    rng = np.random.default_rng(2)
    image = (255 * rng.beta(0.4, 0.6, (20, 24, 3))).astype(np.uint8)
    dataset = Drawn(lambda *_: image, number=1)
    levels = pd.Series((image / 255).mean(axis=2).ravel())
    away = levels - levels.mean()
    red, green, blue = (image[..., k] / 255 for k in range(3))
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    expected = [
        *(levels.mean(), levels.std(ddof=0), levels.min(), levels.max()),
        *levels.quantile([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]),
        *((away**3).mean() / levels.std(ddof=0) ** 3, (away**4).mean() / levels.std(ddof=0) ** 4 - 3),
        *((levels > 0.95).mean(), (levels < 0.05).mean(), spread.mean(), spread.max(), (spread > 0.1).mean()),
        *((red - blue).mean(), (green - blue).mean()),
    ]
    assert _statistics(dataset).shape == (1, 20)
    assert _statistics(dataset)[0] == pytest.approx(np.array(expected))
