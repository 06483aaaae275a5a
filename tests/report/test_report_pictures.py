"""Pictures in a report: images next to their masks and predictions."""

import io
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from omegaconf import OmegaConf
from PIL import Image

from bus_lightning.data.index import read_image, read_index, read_mask
from bus_lightning.data.phantom import MARKER
from bus_lightning.report.figures.pictures import (
    data_sample,
    find_data,
    heat_maps,
    segmentations,
    worst_errors,
)
from bus_lightning.report.sections import Section
from bus_lightning.report.writing import write_report
from bus_lightning.runs.folder import RunDir
from bus_lightning.statistics.conditions import Condition

CLASSES = ["benign", "malignant", "normal"]


def words(item):
    """Everything that is written in a figure."""
    return [text.get_text() for text in item.figure.findobj(Text)]


def check_legible(item):
    """A figure that can be saved without a warning, as wide as a page and with type of 7 points at least."""
    assert item.figure.get_size_inches()[0] == 7
    item.figure.savefig(io.BytesIO(), format="png", dpi=50)
    written = [text for text in item.figure.findobj(Text) if text.get_text()]
    assert min(text.get_fontsize() for text in written) >= 7


def pictures(item):
    """The images of a figure, panel by panel, as (h, w, 3) uint8."""
    return [axis.images[0].get_array() for axis in item.figure.axes if axis.images]


def config(root):
    return OmegaConf.create({"data": {"root": str(root)}, "model": {"name": "net"}})


def condition(root, cases, folder, task="classification", runs=("net",)):
    cases = pd.DataFrame(cases)
    for name, value in {"run": runs[0], "replicate": 0, "split": "test", "group": range(len(cases))}.items():
        cases[name] = cases.get(name, value)
    return Condition("net", "net", task, CLASSES, config(root), [RunDir(folder / run) for run in runs], cases)


@pytest.fixture
def segmented(small_phantom, tmp_path):
    """A run on the phantom whose answers are the true masks, cut off further from image to image, and its condition."""
    rows, lesions = [], 0
    for row in read_index(small_phantom).itertuples():
        truth = read_mask(small_phantom, row.masks, read_image(small_phantom / row.image).shape[:2]) > 0
        answer = truth.copy()
        if truth.any():
            ys = np.nonzero(truth.any(axis=1))[0]
            answer[: ys[0] + len(ys) * lesions // 6] = False  # nothing cut off at first, later all of it
            lesions += 1
        else:
            answer[: 3 * len(rows)] = True
        file = tmp_path / "net" / "masks" / f"{row.id}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(answer).save(file)
        counts = {"tp": truth & answer, "fp": ~truth & answer, "fn": truth & ~answer, "tn": ~truth & ~answer}
        rows.append({"id": row.id, "label": row.id.partition("/")[0]} | {k: int(v.sum()) for k, v in counts.items()})
    return condition(small_phantom, rows, tmp_path, "segmentation")


def dice_of(condition):
    cases = condition.cases.set_index("id")
    return 2 * cases["tp"] / (2 * cases["tp"] + cases["fp"] + cases["fn"])


# The data


def test_sample_shows_every_class_with_its_masks(small_phantom):
    item = data_sample(*find_data(config(small_phantom)), per_class=2)
    shown = pictures(item)
    written = " ".join(words(item))
    assert len(shown) == 2 * sum(min(2, n) for n in read_index(small_phantom)["class"].value_counts())
    assert all(f"{name} (1)" in written for name in CLASSES)
    assert [bool(mask.any()) for mask in shown[1::2]] == ["normal" not in name for name in words(item) if "(" in name]
    check_legible(item)


def test_images_are_small_and_keep_their_proportions(small_copy):
    frame = read_index(small_copy)
    for file in ["benign/benign (1).png", "benign/benign (1)_mask.png"]:
        larger = Image.fromarray(read_image(small_copy / file)).resize((900, 700))
        larger.save(small_copy / file)
    shapes = [read_image(small_copy / file).shape for file in frame["image"]]
    ratios = {shape[1] / shape[0] for shape in shapes}
    item = data_sample(small_copy, frame)
    item.figure.draw_without_rendering()
    for axis in [axis for axis in item.figure.axes if axis.images]:
        height, width = axis.images[0].get_array().shape[:2]
        assert max(width, height) <= 240
        assert min(abs(width / height - ratio) for ratio in ratios) < 0.02
        box = axis.get_position().transformed(item.figure.transFigure)
        assert box.width / box.height == pytest.approx(width / height, rel=0.02)


def test_caption_names_the_source_of_the_images(small_copy):
    frame = read_index(small_copy)
    assert "phantom" in data_sample(small_copy, frame).caption
    (small_copy / MARKER).unlink()
    assert "Al-Dhabyani" in data_sample(small_copy, frame).caption
    shutil.move(small_copy / "benign" / "benign (1).png", small_copy / "benign" / "a.png")
    caption = data_sample(small_copy, read_index(small_copy)).caption
    assert "Al-Dhabyani" not in caption
    assert small_copy.name in caption


def test_without_the_data_folder_there_are_no_pictures(segmented, tmp_path):
    segmented.config.data.root = str(tmp_path / "gone")
    assert find_data(segmented.config) is None
    assert segmentations(segmented) is None
    cases = [{"id": "benign/benign (1)", "label": "benign", "prob_benign": 0, "prob_malignant": 1, "prob_normal": 0}]
    assert worst_errors(condition(tmp_path / "gone", cases, tmp_path)) is None


# Segmentations


def test_segmentations_go_from_the_best_to_the_worst_and_end_with_the_largest_false_alarm(segmented):
    item = segmentations(segmented)
    named = [word for word in words(item) if "(" in word and word.partition(" ")[0] in CLASSES]
    dice, cases = dice_of(segmented), segmented.cases.set_index("id")
    shown = [dice[f"{name.partition(' ')[0]}/{name}"] for name in named[:-1]]
    lesions = dice[cases["tp"] + cases["fn"] > 0]
    assert shown == sorted(shown, reverse=True)
    assert (shown[0], shown[-1]) == (lesions.max(), lesions.min())
    alarm = cases["fp"] / cases[["tp", "fp", "fn", "tn"]].sum(axis=1)
    assert f"normal/{named[-1]}" == alarm[cases["tp"] + cases["fn"] == 0].idxmax()
    assert f"Dice {shown[0]:.2f}" in words(item)
    check_legible(item)


def test_a_group_of_near_duplicates_is_shown_once(segmented):
    segmented.cases["group"] = 0
    named = [word for word in words(segmentations(segmented)) if word.startswith(("benign (", "malignant ("))]
    assert len(named) == 1


def test_difference_shows_found_missed_and_false_pixels_in_different_colours(segmented):
    shown = pictures(segmentations(segmented))
    for image, truth, answer, difference in zip(*(shown[start::4] for start in range(4)), strict=True):
        hue = difference.astype(int) - (0.3 * image).round().astype(int)  # what is laid over the image
        red, green, blue = np.moveaxis(hue, 2, 0)
        truth, answer = truth > 0.5, answer > 0.5
        blueish, orange, yellow = blue > red + 50, red > green + 50, (green > blue + 50) & (red < green + 50)
        for where, looks in ((truth & answer, blueish), (~truth & answer, orange), (truth & ~answer, yellow)):
            assert (where == looks).mean() > 0.99  # at the rims of small tiles a pixel is a bit of both


def test_segmentations_need_every_mask(segmented):
    (segmented.runs[0].path / "masks" / "normal").rename(segmented.runs[0].path / "elsewhere")
    assert segmentations(segmented) is None


def test_a_condition_without_lesions_has_no_segmentations(segmented):
    segmented.cases = segmented.cases[segmented.cases["label"] == "normal"]
    assert segmentations(segmented) is None


# Errors


@pytest.fixture
def classified(small_phantom, tmp_path):
    """Two runs that answer every image; malignant 1 and 2 are near-duplicates, benign 1 has one of another class."""
    answers = {
        "benign/benign (1)": (0.1, 0.6, 0.3),
        "benign/benign (2)": (0.9, 0.05, 0.05),
        "malignant/malignant (1)": (0.99, 0.01, 0.0),
        "malignant/malignant (2)": (0.97, 0.03, 0.0),
        "malignant/malignant (3)": (0.2, 0.8, 0.0),
        "normal/normal (1)": (0.7, 0.1, 0.2),
    }
    groups = [0, 1, 2, 2, 0, 3]
    rows = [
        {"id": id_, "label": id_.partition("/")[0], "group": group, "run": run, "replicate": number}
        | {f"prob_{name}": value for name, value in zip(CLASSES, np.roll(answer, shift), strict=True)}
        for number, (run, shift) in enumerate([("a", 0), ("b", 0)])
        for (id_, answer), group in zip(answers.items(), groups, strict=True)
    ]
    return condition(small_phantom, rows, tmp_path, runs=("a", "b"))


def titles(item):
    return [axis.get_title() for axis in item.figure.axes if axis.get_title()]


def test_errors_are_shown_once_per_group_the_surest_first(classified):
    item = worst_errors(classified)
    assert [title.split("\n")[0].rstrip("*") for title in titles(item)] == ["malignant (1)", "normal (1)", "benign (1)"]
    assert titles(item)[0].endswith("prediction: benign 0.99")
    assert len(titles(worst_errors(classified, count=1))) == 1
    assert "n = 6 images, 4 errors" in item.caption
    check_legible(item)


def test_an_image_whose_near_duplicate_has_another_label_is_marked(classified):
    item = worst_errors(classified)
    assert [title.split("\n")[0] for title in titles(item) if "*" in title] == ["benign (1)*"]
    assert "another label" in item.caption


def test_probabilities_of_several_runs_are_averaged(classified):
    changed = (classified.cases["run"] == "b") & (classified.cases["id"] == "malignant/malignant (1)")
    classified.cases.loc[changed, [f"prob_{name}" for name in CLASSES]] = [0.6, 0.4, 0.0]
    item = worst_errors(classified)
    assert titles(item)[0] == "malignant (2)\nprediction: benign 0.97"
    assert "mean of 2 runs" in item.caption


def test_no_error_is_no_figure(classified):
    classified.cases = classified.cases[classified.cases["id"] == "benign/benign (2)"]
    assert worst_errors(classified) is None


def test_segmentations_have_no_worst_errors_and_classifications_no_segmentations(segmented, classified):
    assert worst_errors(segmented) is None
    assert segmentations(classified) is None


def test_a_mirrored_copy_is_shown_as_the_network_saw_it(segmented, classified):
    masks = segmented.runs[0].path / "masks"
    for condition, figure in ((segmented, segmentations), (classified, worst_errors)):
        originals = pictures(figure(condition))
        for file in list(masks.rglob("*).png")):
            Image.fromarray(np.asarray(Image.open(file))[:, ::-1]).save(file.with_stem(f"{file.stem}~horizontal"))
        condition.config.data.mistake = "flipped_copies"
        condition.cases["id"] += "~horizontal"
        copies = pictures(figure(condition))
        for copy, original in zip(copies, originals, strict=True):
            assert (np.abs(copy - original[:, ::-1].astype(float)) > 2).mean() < 0.01  # rims of small tiles


# Heat maps


def test_heat_maps_are_shown_whole_where_they_were_made(classified):
    assert heat_maps(classified) is None
    file = classified.runs[0].path / "explain" / "heatmaps.png"
    file.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((600, 300, 3), np.uint8)).save(file)
    item = heat_maps(classified)
    assert item.figure.get_size_inches().tolist() == [7, 14]
    assert pictures(item)[0].shape == (600, 300, 3)


def test_no_two_names_of_conditions_give_one_file_or_a_file_that_cannot_be_written(classified, tmp_path):
    file = classified.runs[0].path / "explain" / "heatmaps.png"
    file.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((60, 30, 3), np.uint8)).save(file)
    names = ["net", "Net", "net.1", "net-1", "größe", "gröbe", "甲", "乙", "n" * 255, "n" * 254]
    items = list(filter(None, (heat_maps(replace(classified, name=name)) for name in names)))
    assert items[0].slug == "heat_maps_net"
    assert len(items) == len(names)
    write_report(tmp_path / "report", "title", "", [Section("Heat maps", "", items)], {})
    assert len(list((tmp_path / "report" / "figures").glob("*.svg"))) == len(names)
