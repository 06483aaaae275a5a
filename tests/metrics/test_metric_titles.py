"""A metric has one title wherever it stands."""

import re
from pathlib import Path

import pandas as pd
import pytest

from bus_lightning.export import card
from bus_lightning.metrics.catalogue import TITLES, heading_of, title_of
from bus_lightning.report.extension import Evidence
from bus_lightning.report.figures.forest import by_class_and_size, forest
from bus_lightning.report.task_sections import CLASSIFICATION, SEGMENTATION, task_section
from bus_lightning.runs import table
from bus_lightning.statistics.conditions import Group, read_group
from bus_lightning.statistics.summary import summarise

PACKAGE = Path(table.__file__).parents[1]


def table_and_figure(conditions):
    task = conditions[0].task
    summaries = {part: {each.name: summarise(each, part) for each in conditions} for part in ("val", "test")}
    nothing = pd.DataFrame()
    group = Group(conditions[0].runs[0].path.parent, conditions, nothing)
    by_model = {each.model: each for each in conditions}
    section = task_section(task, Evidence(group, conditions, by_model, {task: summaries}, nothing, nothing))
    items = {getattr(item, "slug", ""): item for item in section.items}
    return items[f"{task}_test"], items[f"forest_{task}"]


@pytest.mark.parametrize("model", ["resnet34", "u2net_lite"])
def test_figure_and_table_of_a_report_call_a_metric_the_same(finished, model):
    conditions = read_group(finished(f"model={model}").path.parent).conditions
    task = conditions[0].task
    scores, drawn = table_and_figure(conditions)
    titles = [axis.get_title().replace("\n", " ") for axis in drawn.figure.axes if axis.get_title()]
    assert set(titles) <= set(scores.frame.columns)
    assert len(titles) >= 7
    shown = CLASSIFICATION if task == "classification" else SEGMENTATION
    assert [name for name in scores.frame.columns if name in map(title_of, shown)] == [*map(title_of, shown)]


def test_figure_and_table_of_a_report_call_a_condition_the_same(finished):
    for model in ("resnet34", "alexnet"):
        run = finished(f"model={model}", "data.batch_size=4")
    conditions = read_group(run.path.parent).conditions
    assert conditions[0].name != conditions[0].model
    scores, drawn = table_and_figure(conditions)
    rows = [tick.get_text() for tick in drawn.figure.axes[0].get_yticklabels()]
    assert rows == list(scores.frame["condition"]) == [each.model for each in conditions]


def test_the_figure_by_class_names_its_mean(finished):
    (condition,) = read_group(finished("model=u2net_lite").path.parent).conditions
    (item,) = by_class_and_size([condition], {}, "test")
    assert item.figure.axes[0].get_ylabel() == title_of("dice_image")


def test_the_alternative_text_of_a_figure_names_metrics_by_their_titles():
    rows = pd.DataFrame({"metric": ["iou_image"], "value": [0.5], "low": [0.4], "high": [0.6], "n": [9]})
    item = forest({"net": rows}, ["iou_image"])
    assert "IoU, mean of lesions 0.500" in item.alt
    assert forest({"net": rows}, ["brier"]) is None


def test_the_card_and_the_table_after_a_grid_read_the_titles():
    row = {"metric": "iou_image", "value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    text = card._results({"mask": [row], "class": [row | {"metric": "auroc_malignant"}]}, True)
    assert f"| {heading_of('iou_image')} | 0.500" in text
    assert "| AUC of malignant | 0.500" in text
    assert set(table._SCORES) <= set(TITLES)


def test_the_dashboards_view_reads_the_titles():
    workspace = pytest.importorskip("bus_lightning.tracking.workspace")
    titles = set(re.findall(r"'?title'?[=:]\s*'([^']+)'", repr(workspace._panels())))
    assert f"Test {title_of('iou_image')}" in titles
    assert f"{title_of('dice_image')}, by model" in titles
    assert not any(re.search(r"(Dice|IoU)(?!, mean of lesions)", title) for title in titles)


def test_no_other_file_writes_titles_of_metrics():
    own = re.compile(r"mean of images|mean over lesions|Dice of lesions|IoU pooled|IoU per image|log loss\b")
    files = {
        str(file.relative_to(PACKAGE)): lines
        for file in PACKAGE.rglob("*.py")
        if file.name != "catalogue.py"
        and (lines := [line for line in file.read_text().splitlines() if own.search(line) and '"""' not in line])
    }
    assert set(files) <= {"paper/tables.py", "export/variants.py"}
