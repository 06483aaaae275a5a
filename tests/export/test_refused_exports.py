"""Runs that make no bundle are refused in a line that says why, and nothing is written."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from exported_runs import change

from bus_lightning.core.errors import UserError
from bus_lightning.data.splits import load_split, make_named_split
from bus_lightning.export.__main__ import main
from bus_lightning.export.making import make_bundle
from bus_lightning.export.runs import open_for_bundle
from bus_lightning.export.team import _refuse_strangers


def refusal(runs: Path, **options) -> str:
    with pytest.raises(UserError) as raised:
        make_bundle([runs / "seg", runs / "cls"], runs / "out", **options)
    assert "\n" not in str(raised.value)
    assert not (runs / "out").exists()
    assert not list(runs.glob(".out*"))
    return str(raised.value)


def test_a_segmenter_that_saw_the_classifier_s_test_images_is_refused(runs):
    own = load_split(runs / "seg" / "split.json")
    tested = load_split(runs / "cls" / "split.json").test
    group = own.groups[tested[0]]
    parts = {"train": [*own.train, *(id_ for id_ in tested if own.groups[id_] == group)], "val": own.val,
             "test": [id_ for id_ in own.test if own.groups[id_] != group]}  # fmt: skip
    make_named_split(parts, "grouped", own.groups, own.ratio).save(runs / "seg" / "split.json")
    assert "is tested on" in refusal(runs)


def test_a_near_duplicate_of_a_test_image_in_the_segmenter_s_training_is_refused(runs):
    segmenter, classifier = (open_for_bundle(runs / name) for name in ("seg", "cls"))
    _refuse_strangers(segmenter, classifier)
    duplicate = segmenter.split.train[0]
    groups = {**classifier.split.groups, classifier.split.test[0]: segmenter.split.groups[duplicate]}
    vars(classifier)["split"] = replace(classifier.split, groups=groups)
    with pytest.raises(UserError, match="near-duplicates"):
        _refuse_strangers(segmenter, classifier)


def stop(run):
    """Turn a finished run into an interrupted one."""
    (run / "metrics.json").unlink()
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps(status | {"state": "interrupted"}))


def test_runs_that_are_not_finished_or_not_runs_are_refused(runs):
    shutil.move(runs / "cls" / "checkpoints" / "best.ckpt", runs / "kept.ckpt")
    assert "best.ckpt" in refusal(runs)
    shutil.move(runs / "kept.ckpt", runs / "cls" / "checkpoints" / "best.ckpt")
    stop(runs / "cls")
    assert "not complete" in refusal(runs)
    shutil.rmtree(runs / "cls")
    assert "is not a run folder" in refusal(runs)
    shutil.copytree(runs / "seg", runs / "cls")
    assert "have the same weights: one is a copy" in refusal(runs)


def test_runs_of_other_data_are_refused(runs):
    status = json.loads((runs / "seg" / "status.json").read_text())
    (runs / "seg" / "status.json").write_text(json.dumps(status | {"data": "0123456789abcdef-0"}))
    assert "different data" in refusal(runs)
    (runs / "cls" / "status.json").write_text(json.dumps(status | {"data": "0123456789abcdef-0"}))
    assert "does not hold the files" in refusal(runs)


@pytest.mark.parametrize("style", ["contour", "class_mark"])
def test_a_classifier_that_was_shown_the_truth_is_refused(runs, style):
    change(runs / "cls", overlay__style=style)
    assert "overlay=predicted" in refusal(runs)


def test_out_of_fold_runs_have_to_be_folds_of_the_classifier(runs):
    pattern = str(runs / "cls-*")
    change(runs / "cls-1", model__name="resnet50")
    assert "model.name is resnet50, not deepcardinal50" in refusal(runs, out_of_fold=pattern)
    change(runs / "cls-1", model__name="deepcardinal50", data__classes=["malignant", "benign", "normal"])
    assert "data.classes" in refusal(runs, out_of_fold=pattern)
    change(runs / "cls-1", data__classes=["benign", "malignant", "normal"], overlay__style="channel")
    assert "overlay.style" in refusal(runs, out_of_fold=pattern)
    change(runs / "cls-1", overlay__style="none")
    stop(runs / "cls-2")
    assert "not complete" in refusal(runs, out_of_fold=pattern)
    assert "matches no classification run" in refusal(runs, out_of_fold=str(runs / "seg"))
    assert "matches no classification run" in refusal(runs, out_of_fold=str(runs / "cls"))
    assert "--out-of-fold '' matches no" in refusal(runs, out_of_fold="")  # as of a variable that is not set


def test_predictions_of_test_images_never_calibrate(runs):
    shutil.copytree(runs / "cls", runs / "cls-9")  # its test images are those of the classifier
    assert "look too good" in refusal(runs, out_of_fold=str(runs / "cls-*"))


def test_a_fold_that_comes_twice_is_refused(runs):
    shutil.copytree(runs / "cls-0", runs / "cls-9")
    assert "predicted by several runs" in refusal(runs, out_of_fold=str(runs / "cls-*"))


def test_a_sensitivity_that_is_no_share_is_refused(runs):
    for sensitivity in (0, 1.1, float("nan")):
        assert "--sensitivity" in refusal(runs, sensitivity=sensitivity)


def test_the_command_says_in_a_line_what_is_wrong(runs, capsys):
    assert main(["--run", str(runs / "cls"), str(runs / "cls"), "--out", str(runs / "out")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("Error: ")
    assert captured.err.count("\n") == 1
    assert main(["--out", str(runs / "out")]) == 1
    assert capsys.readouterr().err == "Error: --run has no value: give the folders of finished runs, --run RUN...\n"
