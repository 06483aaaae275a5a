"""`bus_lightning.diagnosis.load` answers in Python as `bus-diagnose` does, without torch."""

import gc
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import bus_lightning
from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.bundle import SHIPPED
from bus_lightning.diagnosis.decoding import Decoders
from bus_lightning.diagnosis.predict import main

KEPT = Path(__file__).parents[1] / "kept"
IMAGE = KEPT / "data" / "phantom" / "malignant" / "malignant (1).png"
PIXELS = np.asarray(Image.open(IMAGE).convert("RGB"))


@pytest.fixture(scope="module")
def model():
    return bus_lightning.diagnosis.load(KEPT / "bundle")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A TIFF of two pages, and a PNG of a page."""
    folder = tmp_path_factory.mktemp("pages")
    others = Image.open(KEPT / "data" / "phantom" / "normal" / "normal (1).png").convert("RGB")
    Image.fromarray(PIXELS).save(folder / "two.tif", save_all=True, append_images=[others])
    return folder / "two.tif"


def test_an_answer_is_that_of_the_command(model, tmp_path, pages):
    assert main([str(KEPT / "bundle"), str(IMAGE), str(pages), "--out", str(tmp_path / "out")]) == 0
    records = {file.stem: json.loads(file.read_text()) for file in (tmp_path / "out").glob("0*.json")}
    answers = {"0001": model.answer(IMAGE)}
    answers |= {f"0002-f{number:04d}": answer for number, answer in enumerate(model.answers(pages))}
    compared = 0
    for name, record in records.items():
        if "frames" in record:
            continue
        answer = answers[re.sub(r"-[0-9a-f]{12}", "", name)]
        assert (answer.answer, answer.probabilities) == (record["class"], pytest.approx(record["probabilities"]))
        assert [doubt.code for doubt in answer.doubts] == [doubt["code"] for doubt in record["doubts"]]
        assert answer.measurements.area_px == record["lesion"]["area_px"]
        saved = cv2.imread(str(tmp_path / "out" / f"{name}_mask.png"), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(answer.mask, saved > 0)
        overlay = cv2.imread(str(tmp_path / "out" / f"{name}_overlay.png"))[..., ::-1]
        np.testing.assert_array_equal(answer.overlay(), overlay)
        compared += 1
    assert compared == 3


def test_a_path_and_its_pixels_get_the_same_answer_grey_or_colour(model):
    first = model.answer(str(IMAGE))
    assert (PIXELS[..., :1] == PIXELS).all()
    (entry,) = (entry for entry in os.scandir(IMAGE.parent) if entry.name == IMAGE.name)
    for image in (PIXELS, PIXELS[..., 0], IMAGE, entry):
        again = model.answer(image, heat_map=False)
        assert again.probabilities == first.probabilities
        np.testing.assert_array_equal(again.mask, first.mask)
        np.testing.assert_array_equal(again.image, first.image)
        assert again.heat_map is None
    assert first.heat_map.shape == first.mask.shape == PIXELS.shape[:2]
    assert "array" not in repr(first)


def test_a_precision_is_chosen(model):
    assert model.bundle.default_precision == "fp32"
    small = bus_lightning.diagnosis.load(str(KEPT / "bundle"), precision="int8", threads=1).answer(PIXELS)
    assert small.probabilities != model.answer(PIXELS).probabilities
    with pytest.raises(UserError, match="choose one of fp32"):
        bus_lightning.diagnosis.load(KEPT / "bundle", precision="int4")
    for threads in (0, -1):
        with pytest.raises(UserError, match=f"threads={threads}: give a number of at least 1"):
            bus_lightning.diagnosis.load(KEPT / "bundle", threads=threads)


def test_a_file_may_take_as_much_time_and_memory_as_the_user_says(pages):
    hasty = bus_lightning.diagnosis.load(KEPT / "bundle", decode_seconds=0.001)
    with pytest.raises(UserError, match=r"more than 0\.001 s: .*in Python, decode_seconds"):
        next(hasty.answers(pages))
    for limits in ({"decode_mb": 0}, {"decode_seconds": 0}, {"decode_seconds": float("nan")}):
        with pytest.raises(UserError, match="give at least 1 MB, and more than 0 seconds"):
            bus_lightning.diagnosis.load(KEPT / "bundle", **limits)


def test_without_a_bundle_the_model_in_the_package_answers(model, monkeypatch):
    assert SHIPPED.is_relative_to(Path(bus_lightning.__file__).parent)
    monkeypatch.setattr("bus_lightning.diagnosis.bundle.SHIPPED", KEPT / "bundle")
    assert bus_lightning.diagnosis.load().answer(PIXELS).probabilities == model.answer(PIXELS).probabilities


def test_answers_come_without_torch():
    script = (
        "import sys\nfor name in ('torch', 'pandas', 'omegaconf', 'hydra'): sys.modules[name] = None\n"
        f"import bus_lightning\nmodel = bus_lightning.diagnosis.load({str(KEPT / 'bundle')!r})\n"
        f"print(model.answer({str(IMAGE)!r}).answer)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.strip() in ("benign", "malignant", "normal")
    assert done.stderr == ""  # nothing of the process that reads files is left


def test_the_process_that_reads_files_ends_with_the_model():
    own = bus_lightning.diagnosis.load(KEPT / "bundle")
    own.answer(IMAGE)
    ((child,),) = (decoders._children for decoders in own._started)
    assert child.is_alive()
    process = child._process
    del own, child
    gc.collect()
    assert process.wait(timeout=60) < 0  # killed


@pytest.mark.parametrize(("image", "message"), [
    (PIXELS / 255, "an array of float64: give uint8"), (PIXELS.transpose(2, 0, 1), "give \\(H, W\\), grey"),
    (np.zeros((8, 8), np.uint8), "The image has 8 x 8 pixels: give one of at least 16 x 16"),
    (Image.fromarray(PIXELS), "of type Image: give the path of a file, or a NumPy array"),
    (KEPT / "no.png", r"The file does not exist.*\.$"), (KEPT / "README.md", "The file is a text file"),
    (KEPT, "The image is a folder: give the path of one file"),
], ids=["float", "channels first", "small", "Pillow", "missing", "text", "folder"])  # fmt: skip
def test_an_image_that_cannot_be_used_gets_one_line(model, image, message):
    with pytest.raises(UserError, match=message):
        model.answer(image)


def test_a_file_of_several_images_is_answered_one_after_another(model, pages):
    with pytest.raises(UserError, match=r"The file has 2 images: use answers\(path\)"):
        model.answer(pages)
    with pytest.raises(UserError, match="The file is of type ndarray: give its path"):
        next(model.answers(PIXELS))
    first, second = model.answers(pages)
    assert first.probabilities == model.answer(PIXELS).probabilities
    assert second.probabilities != first.probabilities
    assert model.answer(IMAGE).answer, "the reader of files is free again"


def test_a_video_whose_header_does_not_count_is_refused_as_one_of_several_images(model, pages, monkeypatch):
    monkeypatch.setattr(Decoders, "read", lambda *_, **__: (0, (frame for frame in ())))
    with pytest.raises(UserError, match=r"The file has several images: use answers\(path\)"):
        model.answer(pages)


def test_a_folder_that_is_no_bundle_or_damaged_gets_one_line(tmp_path):
    with pytest.raises(UserError, match=r"is not a bundle, it has no bundle\.json: make one with"):
        bus_lightning.diagnosis.load(tmp_path)
    with pytest.raises(UserError, match=r"gone does not exist: name the folder of a bundle"):
        bus_lightning.diagnosis.load(tmp_path / "gone")
    shutil.copytree(KEPT / "bundle", tmp_path / "bundle")
    (tmp_path / "bundle" / "head.npy").write_bytes(b"")
    with pytest.raises(UserError, match=r"head\.npy has changed"):
        bus_lightning.diagnosis.load(tmp_path / "bundle")


def test_files_are_read_while_others_are_not_read_to_their_end(pages):
    script = (
        "import bus_lightning\n"
        f"model = bus_lightning.diagnosis.load({str(KEPT / 'bundle')!r})\n"
        f"kept = model.answers({str(pages)!r})\n"
        "next(kept)\n"
        f"for pair in zip(model.answers({str(pages)!r}), model.answers({str(pages)!r})):\n"
        f"    print(model.answer({str(IMAGE)!r}).probabilities == pair[0].probabilities == pair[1].probabilities)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert (done.stdout.split(), done.stderr) == (["True", "False"], "")
