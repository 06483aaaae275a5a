"""The figure of the training: it draws what the histories of the runs say, of earlier versions too."""

import numpy as np
import pandas as pd
import pytest
from drawn_conditions import condition, lines, panel, segmented

from bus_lightning.report.figures.history import history
from bus_lightning.runs.folder import RunDir


def trained(folder, **columns):
    folder.mkdir()
    pd.DataFrame({"epoch": range(len(next(iter(columns.values())))), **columns}).to_csv(
        folder / "history.csv", index=False
    )
    return RunDir(folder)


def test_history_draws_means_as_far_as_half_of_the_runs_go_and_marks_kept_epochs(tmp_path):
    scores = [[0.5, 0.7, 0.6], [0.5, 0.9], [0.2]]
    runs = [trained(tmp_path / str(i), **{"val/accuracy": values, "val/auroc_macro": values, "train/loss": values})
            for i, values in enumerate(scores)]  # fmt: skip
    (item,) = history([condition(runs=[*runs, RunDir(tmp_path / "no history")])])
    axes = panel(item, "accuracy")
    np.testing.assert_allclose(lines(axes, label="_val")[0].get_ydata(), [0.4, 0.8])
    assert lines(axes, label="_kept")[0].get_xdata().tolist() == [1, 1, 0]
    assert len(lines(axes, label="_val run")) == 3
    assert lines(panel(item, "loss"), label="_train")[0].get_linestyle() == "--"
    assert "n = 3" in item.caption


def test_no_curve_of_the_training_leaves_its_panel(tmp_path):
    losses = {"a": [0.5, 0.4], "b": [9.0, 0.1]}
    trainings = {name: trained(tmp_path / name, **{"train/loss": values}) for name, values in losses.items()}
    (item,) = history([condition(name, runs=[run]) for name, run in trainings.items()])
    for axes, values in zip(item.figure.axes, losses.values(), strict=True):
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylim()[1] >= max(values)


def test_the_kept_epoch_is_that_of_the_status_or_in_older_runs_that_of_the_history(tmp_path):
    run = trained(tmp_path / "run", **{"val/loss": [0.3, 0.1, 0.2], "val/iou": [np.nan] * 3})
    assert run.kept_epoch("val/dice_image", "max") == 2  # nothing was monitored
    assert run.kept_epoch("val/iou", "max") == 0  # never defined: earlier versions kept the first
    assert run.kept_epoch("val/loss", "min") == 1
    assert run.kept_epoch("val/loss", "max") == 0
    run.update_status(kept_epoch=0)
    assert run.kept_epoch("val/loss", "min") == 0


def test_histories_from_before_and_after_the_shares_were_named_look_the_same(tmp_path):
    shares = {"tp": [0.1, 0.2], "fp": [0.2, 0.1], "fn": [0.1, 0.1], "tn": [0.6, 0.6]}
    old = {f"train/{name}": values for name, values in shares.items()}
    new = {f"train/{name}_share": values for name, values in shares.items()}
    gone_on = {name: [values[0], np.nan] for name, values in old.items()}
    gone_on |= {name: [np.nan, values[1]] for name, values in new.items()}
    counts = {f"val/{name}": [100 * value for value in values] for name, values in shares.items()}
    drawn = []
    for number, columns in enumerate((old, new, gone_on)):
        run = trained(tmp_path / str(number), **columns, **counts)
        (item,) = history([condition("unet", segmented(), "segmentation", [run])])
        panels = {axes.get_title(): axes for axes in item.figure.axes[:4]}
        assert lines(panels["accuracy"], label="_train")[0].get_ydata().tolist() == pytest.approx([0.7, 0.8])
        pixels = panels["share of the pixels (%)"]
        drawn.append(
            [line.get_ydata().tolist() for stage in ("train", "val") for line in lines(pixels, label=f"_{stage}")]
        )
    np.testing.assert_allclose(drawn[1], drawn[0])
    np.testing.assert_allclose(drawn[2], drawn[0])
    np.testing.assert_allclose(drawn[0][:4], drawn[0][4:])


def test_segmentation_history_shows_pixels_and_leaves_out_what_was_not_recorded(tmp_path):
    counts = {"train/tp": [1, 2], "train/fp": [2, 1], "train/fn": [1, 1], "train/tn": [6, 6], "train/loss": [0.5, 0.4]}
    segmenter = condition("unet", segmented(), "segmentation", [trained(tmp_path / "a", **counts)])
    old = condition("u2net", segmented(), "segmentation", [trained(tmp_path / "b", **{"train/loss": [0.5]})])
    (item,) = history([segmenter, old])
    panels = {axes.get_title(): axes for axes in item.figure.axes[:4]}
    assert list(panels) == ["accuracy", "IoU", "loss", "share of the pixels (%)"]
    assert lines(panels["accuracy"], label="_train")[0].get_ydata().tolist() == [0.7, 0.8]
    assert lines(panels["IoU"], label="_train")[0].get_ydata().tolist() == [1 / 4, 2 / 4]
    pixels = [line.get_ydata().tolist() for line in lines(panels["share of the pixels (%)"], label="_train")]
    assert pixels[:2] == [[10, 20], [20, 10]]
    without = [axes for axes in item.figure.axes[4:] if [text.get_text() for text in axes.texts] == ["not recorded"]]
    assert len(without) == 3  # all but the loss
