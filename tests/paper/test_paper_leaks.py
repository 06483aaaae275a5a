"""The leak study: handlings of the data in words, in a table, in a figure, and in a verdict."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from bus_lightning.paper.additions import EXTENSION
from bus_lightning.paper.leak_figure import leakage
from bus_lightning.paper.leaks import handling, leak_section, separate_leaks, verdicts
from bus_lightning.report.contents import contents
from bus_lightning.report.figures.inputs import wrapped
from bus_lightning.report.making import make_report
from bus_lightning.statistics.conditions import read_group
from bus_lightning.statistics.summary import summarise

NET = "model=resnet34"


def lines(axes, **properties):
    return [
        line for line in axes.lines if all(mpl.artist.getp(line, key) == value for key, value in properties.items())
    ]


@pytest.mark.slow
def test_leakage_experiments_have_a_separate_section(finished):
    for leak in ("nothing", "class_mark", "contour_all"):
        for method in ("random", "grouped"):
            run = finished("group=leakage", "model=resnet34", f"leak={leak}", f"data.split.method={method}")
    page = make_report([run.path.parent], extensions=[EXTENSION])
    folder, text = page.parent, (page.parent / "report.md").read_text()
    table = pd.read_csv(folder / "tables" / "leakage_handlings.csv")
    assert table["done to the images"].tolist()[:2] == ["nothing", "nothing"]
    assert (folder / "figures" / "leakage.svg").is_file()
    assert (table["network"] == "ResNet-50, the paper").sum() == 1
    assert "name of the class written, on train and validation" in text


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["leak=nothing"], ""),
        (["leak=contour_all"], "lesion outlined, on all images"),
        (["leak=contour_by_class"], "lesion outlined in a colour per class, on train and validation"),
        (["leak=clean"], "cleaned (median, clahe), on train and validation"),
        (["preprocess=clean"], ""),
        (["leak=mask_files"], "mask files used as images"),
    ],
)
def test_a_handling_is_described_in_words(composed, overrides, words):
    assert handling(composed("model=resnet34", *overrides)) == words


def test_leaks_of_several_networks_are_not_said_to_have_one_network(finished):
    for options in (["leak=nothing"], ["leak=class_mark"], ["leak=class_mark", "data.size=32"]):
        run = finished("group=leakage", NET, *options)
    conditions = read_group(run.path.parent).conditions
    summaries = {part: {each.name: summarise(each, part) for each in conditions} for part in ("val", "test")}
    section = leak_section(conditions, summaries)
    assert section.intro.endswith("Compare only rows that have the same network, input size and epochs.")
    shown = section.items[0].frame["pixels, epochs"].tolist()
    sizes = sorted(f"{each.config.data.size}, {each.config.trainer.max_epochs}" for each in conditions)
    assert sorted(shown[:3]) == sizes
    assert shown[3:] == ["not stated, 100"] * 4
    section = leak_section([each for each in conditions if each.config.data.size != 32], summaries)
    assert section.intro.endswith("Our rows have the same network, input size and epochs.")
    assert "pixels, epochs" not in section.items[0].frame


def leak_row(val, test, loss):
    values = {"validation accuracy": val, "test accuracy": test, "test loss": loss, "gap": val - test}
    ends = {
        f"{name}_{end}": value + shift
        for name, value in values.items()
        for end, shift in (("low", -0.04), ("high", 0.04))
    }
    return {"handling": "it", "split": "random"} | ends


def test_a_handling_is_allowed_only_when_validation_test_gap_and_loss_all_fit():
    assert "meet all four for: it" in verdicts([leak_row(0.97, 0.56, 1.5)])[0].text
    for row, why in (
        (leak_row(0.80, 0.42, 1.5), "validation accuracy"),
        (leak_row(0.97, 0.78, 1.5), "test accuracy"),
        (leak_row(0.90, 0.67, 1.5), "gap"),
        (leak_row(0.97, 0.56, 0.9), "test loss"),
    ):
        notes = verdicts([row])
        assert "No handling meets all four" in notes[0].text
        assert why in notes[1].text


def test_a_handling_without_validation_images_is_not_judged():
    notes = verdicts([leak_row(float("nan"), 0.56, 1.5)])
    assert notes[-1].text == "Not judged, because a number is missing: it (random split)."


@pytest.mark.slow
def test_cross_fitted_runs_are_compared_neither_with_the_paper_nor_with_leaks(finished):
    run = finished(NET, "name=alone")
    finished(NET, "name=predicted", "overlay=predicted")
    finished(NET, "name=told", "overlay=contour")
    finished(NET, "name=part", "overlay=predicted", "data.split.cross_folds=2", "data.split.cross_fold=0")
    group = read_group(run.path.parent)
    main, experiments = separate_leaks(group.conditions)
    assert {condition.name for condition in experiments} == {"told", "alone"}
    assert {"predicted", "part"} <= {condition.name for condition in main}
    sections = {section.title: section for section in contents(group, [EXTENSION])}
    assert "What a mask gives the classifier" in sections
    items = sections["Compared with the paper"].items
    sources = next(item for item in items if getattr(item, "slug", "") == "paper_sources")
    assert "part" not in set(sources.frame["condition"])


def study(handlings, seeds=2):
    rows = [(f"handling {h}", split, seed, 0.9 + 0.002 * h, 0.5 + 0.02 * h + 0.1 * seed, 1.5)
            for h in range(handlings) for split in ("random", "grouped") for seed in range(seeds)]  # fmt: skip
    return pd.DataFrame(rows, columns=["handling", "split", "seed", "val_accuracy", "test_accuracy", "test_loss"])


def test_the_leakage_figure_shows_runs_means_the_paper_majority_and_ln_3():
    table = pd.concat([study(2), study(1).assign(test_loss=np.nan)])
    paper = pd.DataFrame({"model": ["ResNet-50"], "val_accuracy": 0.97, "test_accuracy": 0.61, "test_loss": 1.32})
    item = leakage(table, paper, 0.56)
    accuracy, loss = item.figure.axes
    assert [len(line.get_xdata()) for line in lines(accuracy, label="_runs")] == [2] * 4
    means = lines(accuracy, label="_mean")
    assert [line.get_marker() for line in means] == ["o", "s", "o", "s"]
    assert [line.get_xydata()[0] for line in means[::2]] == [pytest.approx([0.9, 0.55]), pytest.approx([0.902, 0.57])]
    assert lines(loss, label="_paper")[0].get_ydata() == [1.32]
    assert lines(loss, label="_ln 3")[0].get_ydata()[0] == pytest.approx(np.log(3))
    assert lines(accuracy, label="_majority")[0].get_ydata()[0] == 0.56
    assert "n = 8 runs" in item.caption


def test_twelve_handlings_and_the_papers_networks_all_look_different():
    models = ["DeepCardinal-50", "ResNet-50", "ResNet-34", "AlexNet"]
    paper = pd.DataFrame({"model": models, "val_accuracy": 0.97, "test_accuracy": 0.6, "test_loss": 1.3})
    item = leakage(study(12), paper, 0.5)
    means = lines(item.figure.axes[0], label="_mean")
    looks = [(line.get_color(), line.get_markerfacecolor(), line.get_marker()) for line in means]
    assert len(set(looks)) == len(looks) == 24
    keys = item.figure.legends[0]
    assert [text.get_text() for text in keys.get_texts()][:12] == [f"handling {number}" for number in range(12)]
    stars = {text.get_text(): line.get_marker() for text, line in zip(keys.get_texts(), keys.get_lines(), strict=True)}
    assert len({stars[wrapped(f"the paper: {model}", 28)] for model in models}) == 4


def test_without_a_complete_run_there_is_no_figure():
    paper = pd.DataFrame({"model": ["ResNet-50"], "val_accuracy": 0.97, "test_accuracy": 0.61, "test_loss": 1.32})
    assert leakage(study(1).assign(test_loss=np.nan), paper, 0.5) is None
