"""`bus_lightning.runs.load` opens a run for a notebook, and its network predicts as the evaluation of the run did."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bus_lightning
from bus_lightning.core.errors import UserError
from bus_lightning.data.index import read_image

KEPT = Path(__file__).parents[1] / "kept"
IMAGE = KEPT / "data" / "phantom" / "benign" / "benign (2).png"
PIXELS = np.asarray(Image.open(IMAGE).convert("RGB"))
KINDS = ["joint/finished", "classification/finished", "two_stage/segmenter-null", "two_stage/classifier-null"]


def load(name):
    return bus_lightning.runs.load(KEPT / "runs" / name)


def differences(run, root, mask_of=lambda image: None):
    """Predict the test images of a run; return the largest difference of a probability, and the pixels that differ."""
    cases = run.cases[run.cases["split"] == "test"].set_index("id")
    wrong, pixels = [0.0], 0
    for id_, case in cases.iterrows():
        image = root / f"{id_}.png"
        predicted = run.predict(image, mask_of(image))
        wrong += [abs(value - case[f"prob_{name}"]) for name, value in predicted.probabilities.items()]
        if predicted.mask is not None:
            kept = np.asarray(Image.open(run.folder.masks / f"{id_}.png")).astype(bool)
            pixels += int((kept != predicted.mask).sum())
        assert ("prob_benign" in cases, "tp" in cases) == (bool(predicted.probabilities), predicted.mask is not None)
    return max(wrong), pixels


@pytest.mark.parametrize("name", KINDS)
def test_a_loaded_run_predicts_its_test_images_as_its_cases_and_masks_say(name):
    segmenter = load("two_stage/segmenter-null")
    mask_of = (lambda image: segmenter.predict(image).mask) if "two_stage/c" in name else (lambda image: None)
    wrong, pixels = differences(load(name), KEPT / "data" / "phantom", mask_of)
    assert wrong < 1e-4  # another kind of CPU adds in another order
    assert pixels <= 2


@pytest.mark.slow
def test_flips_padding_cleaning_grey_precision_and_the_no_lesion_rule_are_those_of_the_run(trained, phantom):
    folder = trained(
        "model=joint_unet", "preprocess=clean", "data.resize=pad", "data.channels=1", "trainer.precision=bf16-mixed",
        "predict.flips=true", "predict.no_lesion=0.01", "trainer.max_epochs=1", "logger=none",
    )  # fmt: skip
    wrong, pixels = differences(bus_lightning.runs.load(folder.path), phantom)
    assert wrong < 1e-3
    assert pixels < 20
    scores = pd.read_csv(folder.cases).set_index("id")["lesion_score"]
    limit = float(scores.quantile(0.6))
    rule = folder.status["lesion_rule"] | {"least_score": limit}
    folder.update_status(lesion_rule=rule)
    run = bus_lightning.runs.load(folder.path)
    for id_ in (scores.idxmin(), scores.idxmax()):
        predicted = run.predict(phantom / f"{id_}.png")
        assert predicted.mask.any() == (scores[id_] >= limit)


def test_a_path_and_its_pixels_get_the_same_prediction_grey_or_colour():
    run, grey = load("joint/finished"), PIXELS[..., 0]
    assert (grey[..., None] == PIXELS).all()
    first = run.predict(str(IMAGE))
    assert first.answer == max(first.probabilities, key=first.probabilities.get)
    assert first.mask.shape == first.image.shape[:2] == grey.shape
    np.testing.assert_array_equal(first.image, read_image(IMAGE))
    for image in (IMAGE, PIXELS, grey, grey.T.copy().T):
        again = run.predict(image)
        assert again.probabilities == first.probabilities
        np.testing.assert_array_equal(again.mask, first.mask)
    drawn = first.overlay()
    assert (drawn.shape, drawn.dtype) == (first.image.shape, np.uint8)
    assert (drawn != first.image).any() == first.mask.any()


def test_a_predictor_stays_in_evaluation_mode():
    run = load("joint/finished")
    expected = run.predict(PIXELS)
    assert not any(part.training for part in run.predictor.train().modules())
    assert run.predict(PIXELS).probabilities == expected.probabilities


def test_a_run_has_its_metrics_cases_config_and_history_without_torch():
    script = (
        "import sys, bus_lightning; "
        f"run = bus_lightning.runs.load({str(KEPT / 'runs' / 'joint' / 'finished')!r}); "
        "print(run.metrics['test']['n'], len(run.cases), run.config.model.name, len(run.history)); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["8", "17", "small_unet", "2", "False"]


def test_importing_the_package_imports_none_of_the_libraries():
    script = (
        "import sys, bus_lightning; bus_lightning.runs.load, bus_lightning.diagnosis.load; "
        "print([name for name in ('numpy', 'pandas', 'cv2', 'torch', 'omegaconf', 'openvino') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_the_libraries_of_training_one_line_says_what_to_install():
    script = (
        "import sys; sys.modules['omegaconf'] = None\n"
        "import bus_lightning\n"
        "from bus_lightning.core.errors import UserError\n"
        "try: bus_lightning.runs.load('runs/a/b')\n"
        "except UserError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Reading runs needs omegaconf")
    assert "pip install 'bus_lightning[train]'" in done.stdout


@pytest.mark.parametrize(("image", "message"), [
    (PIXELS / 255, r"an array of float64: give uint8, levels from 0 \(black\) to 255"),
    (PIXELS.astype(np.int64), "an array of int64: give uint8"),
    (PIXELS.transpose(2, 0, 1), r"shape \(3, .*: give \(H, W\), grey, or \(H, W, 3\), RGB"),
    (np.zeros((40, 30, 4), np.uint8), r"shape \(40, 30, 4\)"),
    (PIXELS[None], r"shape \(1, "),
    (PIXELS[:0], r"shape \(0, "),
    (Image.fromarray(PIXELS), "of type Image: give the path of a file, or a NumPy array"),
    ([[0, 1]], "of type list"),
    (KEPT / "no.png", r"no\.png cannot be read: The file does not exist.* name and folder, or give another one\.$"),
    (KEPT / "README.md", r"README\.md is not an image: replace the file, or give another one\.$"),
    (KEPT, "The image is a folder: give the path of one file"),
], ids=[
    "float", "int64", "channels first", "alpha", "batch", "empty", "Pillow", "list", "none", "text", "folder",
])  # fmt: skip
def test_an_image_that_cannot_be_used_gets_one_line(image, message):
    with pytest.raises(UserError, match=message):
        load("joint/finished").predict(image)


def test_a_mask_is_given_to_a_network_whose_input_shows_it_and_to_no_other():
    classifier, mask = load("two_stage/classifier-null"), np.zeros(PIXELS.shape[:2], bool)
    first, again = (classifier.predict(PIXELS, given_mask) for given_mask in (mask, mask.astype(np.uint8)))
    assert first.probabilities == again.probabilities
    for given_mask, message in (
        (None, r"its input shows the mask of the lesion: give it, predict\(image, mask=MASK\)"),
        (mask[1:], r"shape \(\d+, \d+\), and its image is \(\d+, \d+\): give the same size"),
        (mask * 1.0, "an array of float64: give an array of bool"), ([True], "of type list: give an array of bool"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            classifier.predict(PIXELS, given_mask)
    with pytest.raises(UserError, match="its input shows no mask: leave mask out"):
        load("joint/finished").predict(PIXELS, mask)


def test_a_run_that_cannot_be_loaded_or_predict_gets_one_line(tmp_path, finished):
    copy = tmp_path / "group" / "one"
    shutil.copytree(KEPT / "runs" / "joint" / "finished", copy)
    with pytest.raises(UserError, match=r"two is not a run folder: there is no such folder\.$"):
        bus_lightning.runs.load(copy.with_name("two"))
    with pytest.raises(UserError, match=r"it has no config\.yaml\. Give one of the runs in it, such as .*group/one\.$"):
        bus_lightning.runs.load(copy.parent)
    (copy / "checkpoints" / "best.ckpt").unlink()
    run = bus_lightning.runs.load(copy)
    assert run.metrics["test"]["n"]
    with pytest.raises(UserError, match=r"has no checkpoints/best\.ckpt: train it again, or copy its checkpoint back"):
        run.predict(PIXELS)
    (copy / "metrics.json").unlink()
    with pytest.raises(UserError, match=r"metrics\.json is damaged: it is missing, although the run was complete"):
        bus_lightning.runs.load(copy)
    leak = bus_lightning.runs.load(finished("model=resnet34", "overlay=class_mark").path)
    with pytest.raises(UserError, match="the true class is drawn into its images: it predicts no new ones"):
        leak.predict(PIXELS)
