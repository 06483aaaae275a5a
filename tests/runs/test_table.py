"""The table at the end of a grid, in terminals of any width."""

import re
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from bus_lightning.runs.table import collect, show

NUMBERS = ("parameters", "seconds", "epochs", "n", "accuracy", "f1_macro", "auroc_macro", "iou_image", "dice_image",
           "majority")  # fmt: skip
CLASSIFIER = {"parameters": 23_514_179, "seconds": 1068.3, "epochs": 10, "n": 156, "accuracy": 0.583,
              "f1_macro": 0.324, "auroc_macro": 0.729, "majority": 0.562}  # fmt: skip
SEGMENTER = {"parameters": 1_131_181, "seconds": 12_268.3, "epochs": 15, "n": 157, "iou_image": 0.510,
             "dice_image": 0.617}  # fmt: skip
LONG = "data-phantom__data.batch_size-8__data.phantom.images-60__data.size-32__data.split.ratio--4-1--"


def row(model, *parts, state="complete", error=None, **numbers):
    name = "__".join([model, *parts])
    return {"run": name, "model": model, "state": state, **(dict.fromkeys(NUMBERS) | numbers), "error": error,
            "folder": f"runs/mine/{name}"}  # fmt: skip


GRIDS = {
    "classifiers and a segmenter": [
        *(row(model, "experiment-demo", **CLASSIFIER) for model in ("resnet50", "alexnet", "deepcardinal50")),
        row("u2net_lite", "experiment-demo", **SEGMENTER),
    ],
    "a joint network and failed jobs": [
        row("joint_unet_efficientnet_lite0", "experiment-demo", **SEGMENTER | CLASSIFIER),
        row("unet", "experiment-demo", **SEGMENTER),
        row("resnet34_pretrained", "experiment-demo", state="not run: weights missing", error="No weights.", seconds=4),
        row("alexnet", "experiment-demo", "seed-1", state="failed", error="No checkpoint.", seconds=2),
    ],
    "names of 120 characters": [
        *(row("resnet34", LONG + code, **CLASSIFIER) for code in ("19757303e822d2fb", "58a61d1ef12f4d77")),
        row("u2net_lite", LONG + "0d4bbb6d4b1da2d2", **SEGMENTER),
        row("mine", state="failed", error="It failed.", seconds=2) | {"model": "alexnet"},
    ],
    "one failed job": [row("alexnet", "data-phantom", "debug-fast", state="failed", error="No data.")],
}


def shown(rows, width):
    text = StringIO()
    show(pd.DataFrame(rows), console=Console(file=text, width=width))
    return text.getvalue()


def written(row):
    """Write the numbers of a run as the table shows them, each in full."""
    style = dict.fromkeys(("parameters", "seconds", "epochs", "n"), ",.0f")
    return {f"{row[key]:{style.get(key, '.3f')}}" for key in NUMBERS if row[key] is not None}


@pytest.mark.parametrize("width", [24, 40, 60, 80, 100, 150])
@pytest.mark.parametrize("grid", GRIDS)
def test_no_number_is_cut_and_no_line_is_longer_than_the_terminal(grid, width):
    rows = GRIDS[grid]
    text = shown(rows, width)
    assert "…" not in text
    table, _, rest = text.partition("Not shown in" if "Not shown in" in text else "The run folders")
    numbers = re.findall(r"(?<![\w.,-])\d[\d,]*(?:\.\d+)?(?![\w.-])", table)
    assert set(numbers) <= set.union(*map(written, rows))
    assert "runs/mine/" in rest
    if "───" in table:
        header = table.splitlines()
        body = header[next(place for place, line in enumerate(header) if "───" in line) :]
        assert max(len(line) for line in body[: len(rows)]) <= width
        complete = sum(line["state"] == "complete" for line in rows)
        assert len(numbers) >= complete


@pytest.mark.parametrize("grid", GRIDS)
def test_every_number_is_shown_in_150_columns(grid):
    text = shown(GRIDS[grid], 150)
    assert "Not shown" not in text
    for line in GRIDS[grid]:
        if line["state"] == "complete":
            assert all(number in text for number in written(line))


@pytest.mark.parametrize("width", [80, 100, 150])
@pytest.mark.parametrize("grid", GRIDS)
def test_a_name_takes_at_most_three_lines(grid, width):
    lines = shown(GRIDS[grid], width).splitlines()
    start = next(place for place, line in enumerate(lines) if "───" in line) + 1
    after = ("Not shown", "The run folders", *(line["run"] for line in GRIDS[grid] if line["error"]))
    end = next(place for place, line in enumerate(lines) if line.startswith(after) and place > start)
    assert len(GRIDS[grid]) <= end - start <= 3 * len(GRIDS[grid])


@pytest.mark.parametrize(("width", "hidden"), [(80, "parameters; epochs; seconds; n"), (100, "parameters; n")])
def test_a_narrow_terminal_shows_the_scores_and_says_what_it_leaves_out(width, hidden):
    text = shown(GRIDS["classifiers and a segmenter"], width)
    assert f"Not shown in {width} characters: {hidden}\n" in text
    for score in ("accuracy", "macro AUC", "IoU, mean", "majority", "0.583", "0.729", "0.510", "0.562"):
        assert score in text


def test_a_very_narrow_terminal_gets_a_block_per_run():
    text = shown(GRIDS["classifiers and a segmenter"], 24)
    assert "u2net_lite\n  IoU, mean of lesions 0.510\n  Dice, mean of lesions 0.617\n  seconds 12,268\n" in text
    assert "───" not in text


@pytest.mark.parametrize("width", [30, 80, 150])
def test_an_empty_column_is_left_out(width):
    classifiers = [row("alexnet", f"seed-{seed}", **CLASSIFIER) for seed in (0, 1)]
    text = shown(classifiers, width)
    assert "accuracy" in text
    assert "IoU" not in text
    assert "Dice" not in text
    segmenters = shown([row("unet", f"seed-{seed}", **SEGMENTER) for seed in (0, 1)], width)
    assert "IoU" in segmenters
    assert not re.search("accuracy|macro|majority", segmenters)


def test_the_common_part_of_all_names_is_shown_once():
    rows = [row("alexnet", "experiment-demo", "optimizer-sgd", f"seed-{seed}", **CLASSIFIER) for seed in (0, 1)]
    text = shown(rows, 80)
    assert text.count("experiment-demo") == 1
    assert "All runs: experiment-demo, optimizer-sgd\n" in text
    assert re.search(r"^alexnet seed-1 .*0\.583", text, re.MULTILINE)
    alone = shown(rows[:1], 150)
    assert re.search(r"^alexnet experiment-demo__optimizer-sgd__seed-0 .*0\.583", alone, re.MULTILINE)


def test_runs_of_two_groups_are_distinguished():
    first, second = row("alexnet", **CLASSIFIER), row("alexnet", **CLASSIFIER) | {"folder": "runs/other/alexnet"}
    text = shown([first, second], 80)
    assert "\nmine/alexnet " in text
    assert "\nother/alexnet " in text


def test_a_segmenters_pixel_accuracy_is_not_among_the_classifiers_accuracies(finished):
    runs = [finished("model=resnet34", "group=mine"), finished("model=u2net_lite", "group=mine")]
    assert runs[1].metrics["test"]["accuracy"] > 0.5  # of pixels
    rows = collect([run.path for run in runs]).set_index("model")
    assert rows.loc["resnet34", "accuracy"] == runs[0].metrics["test"]["accuracy"]
    assert pd.isna(rows.loc["u2net_lite", "accuracy"])
    assert rows.loc["u2net_lite", "iou_image"] == runs[1].metrics["test"]["iou_image"]
