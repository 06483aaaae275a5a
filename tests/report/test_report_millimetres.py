"""The report says for how many images millimetres are known, and counts those alone."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from PIL import Image

from bus_lightning.metrics.columns import MILLIMETRES
from bus_lightning.report.figures.forest import by_class_and_size
from bus_lightning.report.lesion_sizes import lesion_sizes
from bus_lightning.report.millimetre_items import millimetre_items
from bus_lightning.report.sections import fold
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.summary import summarise

N = 60


def segmented(known=N):
    """A row per image; every third has no lesion, and the size of a pixel is known for the first ones."""
    number = np.arange(N)
    lesion, is_known = number % 3 < 2, number < known
    labels = np.array(["benign", "malignant", "normal"])[number % 3]
    cases = pd.DataFrame({"run": "r", "replicate": 0, "id": [f"case{k}" for k in number], "split": "test",
                          "group": number, "label": labels, "tp": 60 * lesion, "fp": number, "fn": 30 * lesion,
                          "tn": 1000, "hd95": np.where(lesion, 5, np.nan),
                          "surface_dice": np.where(lesion, 0.7, np.nan)})  # fmt: skip
    cases = cases.assign(**dict.fromkeys(MILLIMETRES[:4], np.where(is_known, (5.0 + number) * lesion, np.nan)))
    cases["predicted_long_axis_mm"] += 2
    for name, value in (("hd95_mm", 1.5), ("surface_dice_1mm", 0.25)):
        cases[name] = np.where(is_known & lesion, value, np.nan)
    return cases


def condition(name, cases):
    return Condition(name, name, "segmentation", ["benign", "malignant", "normal"], OmegaConf.create({}), [], cases)


def items_of(*conditions):
    return millimetre_items(list(conditions), {own.name: summarise(own, "test") for own in conditions}, "test")


def test_the_text_says_for_how_many_images_the_size_of_a_pixel_is_known():
    note = items_of(condition("unet", segmented(known=30)))[0]
    assert note.text == (
        "The size of a pixel is known for 30 of 60 test images (20 of 40 with a lesion); the others do not count in "
        "millimetres."
    )
    note = items_of(condition("unet", segmented()))[0]
    assert note.text == "The size of a pixel is known for 60 of 60 test images (40 of 40 with a lesion)."


def test_the_table_gives_each_value_with_its_interval_and_the_number_of_lesions():
    _, table, figure = items_of(condition("unet", segmented(known=30)), condition("old", segmented(known=0)))
    (row,) = table.frame.to_dict("records")  # the other condition has no millimetres
    assert (row["condition"], row["n"]) == ("unet", 20)
    assert row["HD95, mm"] == "1.5 (1.5 to 1.5)"
    assert row["surface Dice within 1 mm"] == "0.250 (0.250 to 0.250)"
    assert row["absolute error of the long axis, mm"] == "2.0 (2.0 to 2.0)"
    axes = [5.0 + k for k in range(30) if k % 3 < 2]
    value, low, high = (float(text.strip("()")) for text in row["long axis of the lesion, mm"].split() if text != "to")
    assert value == pytest.approx(np.mean(axes), abs=0.05)
    assert low < value < high
    assert "n = 20 images" in figure.caption
    assert "HD95, mm" in [panel.get_title() for panel in figure.figure.axes]


def test_a_note_does_not_divide_the_part_that_a_reader_opens():
    note, table, figure = items_of(condition("unet", segmented(known=30)))
    assert [getattr(item, "folded", note) for item in fold("More", [table, note, figure])] == [note, "More", "More"]


def test_without_a_known_pixel_size_the_report_has_no_millimetres():
    bare = segmented().drop(columns=[*MILLIMETRES])
    assert items_of(condition("unet", bare)) == []
    assert items_of(condition("unet", segmented(known=0))) == []


def test_scores_are_shown_by_long_axis_where_it_is_known():
    own = condition("unet", segmented(known=30))
    shares, long_axes = lesion_sizes([condition("old", segmented(known=0)), own])["unet"]
    assert (len(shares), len(long_axes)) == (60, 30)
    (figure,) = by_class_and_size([own], {"unet": (shares, long_axes)}, "test", 9)
    panels = {panel.get_title(): panel for panel in figure.figure.axes}
    labels = [tick.get_text() for tick in panels["by long axis (mm)"].get_xticklabels()]
    assert [label.splitlines()[-1] for label in labels] == ["n = 7", "n = 6", "n = 7"]
    assert "only images whose pixel size is known" in figure.caption
    (figure,) = by_class_and_size([own], {"unet": (shares, long_axes[:0])}, "test", 9)
    assert "by long axis (mm)" not in [panel.get_title() for panel in figure.figure.axes]


def test_two_data_sets_with_the_same_ids_keep_their_own_sizes():
    larger = segmented().assign(tp=lambda cases: 2 * cases["tp"])
    first, second = condition("a", segmented()), replace(condition("b", larger), files="those of another hospital")
    sizes = lesion_sizes([first, second])
    assert (sizes["b"][0] > sizes["a"][0]).any()
    assert sizes["b"][0].equals(lesion_sizes([second])["b"][0])


def test_the_long_axis_of_a_classifiers_images_comes_from_the_masks_in_the_pixels_of_the_image(tmp_path, data_config):
    for name, side in (("a", 48), ("b", 24), ("c", 48)):  # the mask of b has half the size of its image
        Image.fromarray(np.arange(48 * 48, dtype=np.uint8).reshape(48, 48)).save(tmp_path / f"{name}.png")
        mask = np.zeros((side, side), np.uint8)
        mask[side // 4 : side // 2, side // 4 : side // 2] = 255
        Image.fromarray(mask).save(tmp_path / f"{name}_gt.png")
    rows = "file,gt,kind,size\na.png,a_gt.png,benign,0.5\nb.png,b_gt.png,benign,0.5\nc.png,c_gt.png,benign,\n"
    (tmp_path / "table.csv").write_text(rows)
    columns = {"image": "file", "mask": "gt", "class": "kind", "mm_per_pixel": "size"}
    overrides = [f"data.columns.{role}={name}" for role, name in columns.items()]
    config = data_config(f"data.table={tmp_path / 'table.csv'}", "data.classes=[benign]", *overrides, data="table",
                         root=tmp_path)  # fmt: skip
    cases = pd.DataFrame({"run": "r", "replicate": 0, "id": [*"abc"], "split": "test", "label": "benign"})
    own = Condition("resnet34", "resnet34", "classification", ["benign"], config, [], cases)
    shares, long_axes = lesion_sizes([own])["resnet34"]
    assert shares.to_dict() == pytest.approx({"a": 1 / 16, "b": 1 / 16, "c": 1 / 16})
    assert long_axes.to_dict() == pytest.approx({"a": 6 * np.sqrt(2), "b": 6 * np.sqrt(2)})
