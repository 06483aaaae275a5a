"""A joint run, a lone run and the members of an ensemble become bundles that answer as the runs and ensembles do."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pandas as pd
import pytest
from averaging import average, ensembles_in
from exported_runs import change, write_run

from bus_lightning.core.errors import UserError
from bus_lightning.data.index import read_image
from bus_lightning.diagnosis.bundle import OUT_OF_FOLD, VALIDATION, load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame
from bus_lightning.diagnosis.lacking import NO_CLASS, NO_OUTLINE
from bus_lightning.diagnosis.networks import Network
from bus_lightning.export import calibration, making, variants
from bus_lightning.export.making import make_bundle
from bus_lightning.export.runs import open_for_bundle, rebuild
from bus_lightning.runs.finished import open_run
from bus_lightning.runs.folder import RunDir

pytestmark = pytest.mark.usefixtures("quick_export")
TRUSTED = ["tiny_nets"]
EXACT = "trainer.precision=32-true"


@pytest.fixture(scope="module")
def written(tmp_path_factory, phantom, audit_cache):
    """Write runs once, by name and options."""
    folder, names = tmp_path_factory.mktemp("written"), {}

    def write(name: str, *overrides: str) -> Path:
        key = (name, *overrides)
        if key not in names:
            names[key] = write_run(folder / str(len(names)), phantom, audit_cache, name, EXACT, *overrides)
        return names[key]

    return write


@pytest.fixture
def copied(written, tmp_path):
    """Copy such runs next to each other, as an ensemble is made of them."""

    def copy(*runs: tuple[str, ...]) -> list[Path]:
        return [Path(shutil.copytree(written(*run), tmp_path / "runs" / run[0])) for run in runs]

    return copy


def read_tested(run: Path) -> tuple[list[str], list[Frame]]:
    opened = rebuild(open_for_bundle(run, TRUSTED))
    frame = opened.prepared.frame
    rows = frame[frame["id"].isin(opened.run.split.test)]
    return list(rows["id"]), [Frame(read_image(opened.prepared.root / file)) for file in rows["image"]]


def answers_of(bundle, run):
    """Diagnose the test images of a run, in fp32 and without the temperature: id -> diagnosis."""
    ids, frames = read_tested(run)
    plain = Diagnoser(replace(bundle, temperature=None), "fp32", threads=1)
    return dict(zip(ids, plain.diagnose(frames), strict=True))


def assert_equal(diagnoses, cases: pd.DataFrame, masks: Path | None) -> None:
    """Check the probabilities, and the masks pixel by pixel; a pixel at the threshold may fall on either side."""
    cases = cases[cases["split"] == "test"].set_index("id")
    assert diagnoses.keys() == set(cases.index)
    for id_, diagnosis in diagnoses.items():
        for name, share in diagnosis.probabilities.items():
            assert share == pytest.approx(cases.loc[id_, f"prob_{name}"], abs=1e-4)
        if masks is not None:
            mask = cv2.imread(str(masks / f"{id_}.png"), cv2.IMREAD_GRAYSCALE) > 0
            assert np.mean(mask != diagnosis.mask) < 2e-3


def test_a_joint_run_answers_both_in_one_forward_pass(written, tmp_path, monkeypatch):
    run = written("joint")
    bundle = make_bundle([run], tmp_path / "bundle", trusted=TRUSTED)
    (stage,) = bundle.networks.values()
    assert [output.name for output in onnx.load(stage.files["fp32"]).graph.output] == ["mask", "class", "features"]
    passes = []
    original = Network.__call__
    monkeypatch.setattr(Network, "__call__", lambda self, images: passes.append(len(images)) or original(self, images))
    diagnoses = answers_of(bundle, run)
    assert passes == [len(diagnoses)]
    assert_equal(diagnoses, open_run(run).cases, RunDir(run).masks)
    masks = [diagnosis.mask.mean() for diagnosis in diagnoses.values()]
    assert 0 < min(masks) < max(masks) < 1
    assert all(0.5 < diagnosis.heat_map.max() <= 1 for diagnosis in diagnoses.values())
    for section in ("## Networks", "## Data", "## Test results", "## Calibration", "## Precisions", "## Intended use"):
        assert section in bundle.card


def joint_seeds(copied):
    """Three seeds of a joint condition that predicts with flips and a no-lesion rule, each with its own threshold."""
    runs = copied(*((f"joint-{seed}", f"seed={seed}", "predict.flips=true", "predict.no_lesion=0.01")
                    for seed in range(3)))  # fmt: skip
    for seed, run in enumerate(runs):
        rule = {"least_score": 0.5 + 0.1 * seed, "lesions": 3, "normals": 1}
        RunDir(run).update_status(lesion_rule=rule)
    return runs


@pytest.mark.slow
def test_an_ensemble_of_joint_runs_answers_what_its_evaluation_wrote(copied, tmp_path, monkeypatch):
    runs = joint_seeds(copied)
    average(runs[0].parent / "joint-*", "seeds", "trusted_packages=[tiny_nets]")
    (folder,) = ensembles_in(runs[0].parent)
    evaluated = open_run(folder)
    scores = evaluated.cases.loc[evaluated.cases["split"] == "test", "lesion_score"]
    # The rule empties some masks and leaves others.
    least = float(scores.median()) + 1e-5
    for run in runs:
        RunDir(run).update_status(lesion_rule={"least_score": least, "lesions": 3, "normals": 1})
    shutil.rmtree(folder)
    average(runs[0].parent / "joint-*", "seeds", "trusted_packages=[tiny_nets]")
    bundle = make_bundle(runs, tmp_path / "bundle", trusted=TRUSTED)
    assert list(bundle.networks) == ["joint-1", "joint-2", "joint-3"]
    assert bundle.least_score == pytest.approx(least)
    diagnoses = answers_of(bundle, runs[0])
    assert_equal(diagnoses, open_run(folder).cases, RunDir(folder).masks)
    emptied = [not diagnosis.mask.any() for diagnosis in diagnoses.values()]
    assert True in emptied
    assert False in emptied
    assert "mean of the probabilities of the 3 networks (joint)" in bundle.card
    assert "averaged over the image and its mirror image (joint-1, joint-2, joint-3)" in bundle.card
    assert f"lesion score below {least:.3f} is dropped" in bundle.card
    dice = open_run(folder).metrics["test"]["dice_image"]
    numbers = json.loads((bundle.path / "bundle.json").read_text())["numbers"]
    (row,) = [row for row in numbers["mask"] if row["metric"] == "dice_image"]
    assert row["value"] == pytest.approx(dice, abs=2e-3)


@pytest.mark.slow
def test_each_member_keeps_its_preprocessing_and_its_order_of_classes(copied, tmp_path):
    other = "data.classes=[normal,malignant,benign]"
    runs = copied(
        ("cls-a", "seed=1"),
        ("cls-b", "seed=2", "data.size=48", "data.resize=pad", "data.mean=[0.2,0.3,0.4]", "data.std=[0.2,0.2,0.2]"),
        ("cls-c", "seed=3", "data.channels=1", "data.mean=[0.3,0.3,0.3]", "data.std=[0.2,0.2,0.2]", other),
    )
    average(runs[0].parent / "cls-*", "all")
    (folder,) = ensembles_in(runs[0].parent)
    bundle = make_bundle(runs, tmp_path / "bundle")
    assert [stage.preprocessing.size for stage in bundle.networks.values()] == [64, 48, 64]
    assert [stage.channels for stage in bundle.networks.values()] == [3, 3, 1]
    assert bundle.networks["classifier-3"].classes == ("normal", "malignant", "benign")
    diagnoses = answers_of(bundle, runs[0])
    assert_equal(diagnoses, open_run(folder).cases, None)
    assert not any(diagnosis.mask for diagnosis in diagnoses.values())


@pytest.mark.slow
def test_a_heat_map_of_an_ensemble_is_the_mean_of_those_of_its_members(copied, tmp_path):
    runs = copied(("cls-a", "seed=1"), ("cls-b", "seed=2"))
    bundle = make_bundle(runs, tmp_path / "bundle")
    _, frames = read_tested(runs[0])
    (whole,) = Diagnoser(bundle, "fp32", 1).diagnose(frames[:1])
    maps = []
    for name, stage in bundle.networks.items():
        # With the row of one class everywhere, a head gives the map of that class, whatever the network answers.
        lone = replace(stage, head=np.stack([stage.head[bundle.classes.index(whole.answer)]] * 3))
        (diagnosis,) = Diagnoser(replace(bundle, networks={name: lone}), "fp32", 1).diagnose(frames[:1])
        maps.append(diagnosis.heat_map)
    assert not np.allclose(*maps)
    mean = sum(maps) / 2
    np.testing.assert_allclose(whole.heat_map, mean / mean.max(), atol=1e-5)


@pytest.fixture
def folds(copied):
    options = ("data.split.folds=3", "data.split.ratio=[6,6,3]")
    return copied(*((f"cls-{fold}", f"seed={fold}", f"data.split.fold={fold}", *options) for fold in range(3)))


@pytest.mark.slow
def test_folds_make_a_bundle_whose_card_says_that_nothing_is_held_out(folds, tmp_path):
    bundle = make_bundle(folds, tmp_path / "bundle")
    card = " ".join(bundle.card.split())
    assert "**No test image is held out from all networks**" in card
    calibration = json.loads((bundle.path / "bundle.json").read_text())["calibration"]
    tested = pd.concat([open_run(run).cases.query("split == 'test'") for run in folds])
    assert (calibration["n"], calibration["tested"], calibration["on"]) == (len(tested), None, OUT_OF_FOLD)
    assert tested["id"].is_unique
    trained = {id_ for run in folds for id_ in open_run(run).split.train}
    assert f"Trained on {len(trained)} synthetic images" in card
    assert "each predicted by the networks that have not seen it" in card
    with pytest.raises(UserError, match="these runs are folds, which calibrate each other: leave it out"):
        make_bundle(folds, tmp_path / "never", out_of_fold=str(folds[0]))


def test_the_other_folds_calibrate_a_fold(folds, tmp_path):
    bundle = make_bundle(folds[:1], tmp_path / "bundle", out_of_fold=str(folds[0].parent / "*"))
    calibration = json.loads((bundle.path / "bundle.json").read_text())["calibration"]
    split = open_run(folds[0]).split
    assert (calibration["n"], calibration["on"]) == (len(split.train) + len(split.val), OUT_OF_FOLD)
    assert calibration["tested"]["n"] == len(split.test)


def test_validation_images_calibrate_without_folds(folds, tmp_path, monkeypatch):
    assert make_bundle(folds[:1], tmp_path / "bundle").temperature is None  # too few of a class
    monkeypatch.setattr(calibration, "_LEAST_PER_CLASS", 1)
    bundle = make_bundle(folds[:1], tmp_path / "bundle")
    stored = json.loads((bundle.path / "bundle.json").read_text())["calibration"]
    assert (stored["n"], stored["on"]) == (len(open_run(folds[0]).split.val), VALIDATION)
    assert load_bundle(bundle.path).calibrated_on == VALIDATION
    assert "validation images, which also chose the kept epochs" in bundle.card
    assert "On the validation images, its sensitivity is" in bundle.card


@pytest.mark.slow
def test_a_lone_run_makes_a_bundle_that_says_what_it_lacks(written, tmp_path):
    for name, sentence, lacking in (
        ("cls", NO_OUTLINE, ["IoU", "measured less"]),
        ("seg", NO_CLASS, ["AUC", "## Cal", "before calibration"]),
    ):
        bundle = make_bundle([written(name)], tmp_path / name)
        assert sentence in bundle.card
        assert not [word for word in lacking if word in bundle.card.partition("## Precisions")[0] + bundle.card[-900:]]
        assert json.loads((bundle.path / "bundle.json").read_text())["answers"] == bundle.answers
        diagnoses = answers_of(bundle, written(name))
        run = open_run(written(name))
        assert_equal(diagnoses, run.cases, run.folder.masks if name == "seg" else None)


@pytest.mark.slow
def test_a_bundle_of_the_default_precision_alone_is_small_and_gives_the_same_answers(written, tmp_path, monkeypatch):
    run = written("joint")
    whole = make_bundle([run], tmp_path / "whole", trusted=TRUSTED)
    monkeypatch.setattr(variants, "choose_precision", lambda variants, wanted: wanted)
    small = make_bundle([run], tmp_path / "small", trusted=TRUSTED, only_default=True, precision="fp32")
    assert small.precisions == ["fp32", "bf16"]
    assert [file.name for file in small.path.glob("*.onnx")] == ["joint.onnx"]
    assert "This bundle holds fp32 and bf16 only." in small.card
    assert f"On {len(open_run(run).split.test)} images this changed the probabilities" in small.card  # fewer than 24
    with pytest.raises(UserError, match="no int8"):
        Diagnoser(small, "int8")
    _, frames = read_tested(run)
    for own, other in zip(
        Diagnoser(small, threads=1).diagnose(frames), Diagnoser(whole, "fp32", 1).diagnose(frames), strict=True
    ):
        assert own.probabilities == pytest.approx(other.probabilities, abs=0.05)


@pytest.fixture
def no_compute(monkeypatch):
    monkeypatch.setattr(making, "rebuild", lambda run: pytest.fail("the runs are rebuilt"))


def refusal(runs, tmp_path, **options):
    with pytest.raises(UserError) as raised:
        make_bundle(runs, tmp_path / "out", trusted=TRUSTED, **options)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()
    return str(raised.value)


def test_runs_that_make_no_bundle_are_refused_in_a_line_before_any_compute(copied, tmp_path, no_compute):
    joint, classifier, other, segmenter = copied(("joint",), ("cls",), ("cls-2", "seed=2"), ("seg",))
    assert "outlines and classifies by itself" in refusal([joint, classifier], tmp_path)
    assert "outlines and classifies by itself" in refusal([segmenter, joint], tmp_path)
    assert "is given twice: give every run once" in refusal([joint, joint], tmp_path)
    assert "is given twice" in refusal([joint, joint.parent / ".." / "runs" / "joint"], tmp_path)
    copy = Path(shutil.copytree(classifier, tmp_path / "copy"))
    assert "have the same weights: one is a copy" in refusal([classifier, copy], tmp_path)
    assert "leave it out" in refusal([segmenter], tmp_path, out_of_fold="x")
    change(other, data__mistake="mask_files")
    assert "differ in data.mistake" in refusal([classifier, other], tmp_path)
    change(other, data__mistake=None, data__classes=["benign", "malignant"])
    assert "differ in the classes" in refusal([classifier, other], tmp_path)
    change(other, data__classes=["benign", "malignant", "normal"])
    (other / "checkpoints" / "best.ckpt").unlink()
    assert "has no checkpoints/best.ckpt" in refusal([classifier, other], tmp_path)
    (joint / "metrics.json").unlink()
    assert "metrics.json is damaged: it is missing, although the run was complete" in refusal([joint], tmp_path)
    change(segmenter, overlay__style="contour")
    assert "train it with overlay=none" in refusal([segmenter], tmp_path)
    assert "is not a run folder" in refusal([tmp_path / "nothing"], tmp_path)


def test_a_sensitivity_without_a_threshold_is_refused_before_any_compute(copied, tmp_path, no_compute):
    segmenter, classifier = copied(("seg",), ("cls",))
    change(classifier, data__classes=["benign", "other", "normal"])
    for run in (segmenter, classifier):
        line = refusal([run], tmp_path, sensitivity=0.9)
        assert line == "--sensitivity 0.9: these networks do not predict the class malignant: leave it out."


def test_members_whose_test_images_overlap_in_part_are_refused(copied, tmp_path, no_compute):
    runs = copied(("cls",), ("cls-5", "seed=5", "data.split.seed=5"))
    assert "have some test images in common" in refusal(runs, tmp_path)
