"""The model in the package answers where no bundle is named, without the training libraries."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tiny_bundle import make_bundle, speckled, with_disc

from bus_lightning.core.files import list_checksums
from bus_lightning.core.reading import MB
from bus_lightning.diagnosis import predict
from bus_lightning.diagnosis.bundle import CARD, CHECKSUMS, MANIFEST, SHIPPED, files_of, load_bundle

SAMPLE = SHIPPED / "samples" / "phantom-malignant-1.png"
WITHOUT_TRAINING = """
import sys
for name in ("torch", "torchvision", "lightning", "hydra", "omegaconf", "pandas", "scipy", "sklearn", "matplotlib"):
    sys.modules[name] = None  # importing it fails, as if it were not installed
from bus_lightning.diagnosis.predict import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """Answer a sample in a process that cannot import the training libraries: its output, and the results."""
    out = tmp_path_factory.mktemp("answered") / "results"
    command = [sys.executable, "-c", WITHOUT_TRAINING, SAMPLE, "--out", out]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout, out


def rows_of(out):
    with (out / "results.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def error_of(capsys, *arguments):
    """Return the error of a command that must not start."""
    assert predict.main([str(argument) for argument in arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    return shown.err


def test_an_image_alone_is_answered_without_torch_and_lightning(answered):
    shown, out = answered
    (row,) = rows_of(out)
    assert row["class"] in load_bundle(SHIPPED).classes
    assert 0.99 < sum(float(value) for name, value in row.items() if name.startswith("prob_")) < 1.01
    assert len(list(out.glob("*_mask.png"))) == len(list(out.glob("*_overlay.png"))) == 1
    assert "Answered by the model in the package" in shown
    assert "Trained on 520 images of BUSI." in shown


def test_the_answer_is_the_same_whether_the_bundle_is_named_or_not(answered, tmp_path):
    assert predict.main(["--bundle", str(SHIPPED), str(SAMPLE), "--out", str(tmp_path / "named")]) == 0
    assert predict.main([str(SHIPPED), str(SAMPLE), "--out", str(tmp_path / "first")]) == 0
    assert rows_of(tmp_path / "named") == rows_of(tmp_path / "first") == rows_of(answered[1])


def test_a_bundle_before_the_images_answers_as_before(bundle, tmp_path, capsys):
    image = with_disc(speckled(1)[0])
    Image.fromarray(image).save(tmp_path / "image.png")
    for number, arguments in enumerate((
        [bundle, tmp_path / "image.png", "--out"],
        ["--bundle", bundle, tmp_path / "image.png", "--out"],
        [bundle, "--no-heat-map", "--out"],
    )):  # fmt: skip
        out = tmp_path / f"out-{number}"
        rest = ["--", tmp_path / "image.png"] if number == 2 else []
        assert predict.main([str(argument) for argument in (*arguments, out, *rest)]) == 0
        (record,) = (json.loads(file.read_text()) for file in out.glob("0*.json"))
        assert record["bundle"] == load_bundle(bundle).id
    assert "in the package" not in capsys.readouterr().out


@pytest.mark.parametrize("checksums", ["", "no checksums", f"{'0' * 64}  image.png\n"])
def test_a_folder_of_images_named_first_is_no_bundle_even_with_checksums(tmp_path, checksums):
    (tmp_path / "images").mkdir()
    shutil.copy(SAMPLE, tmp_path / "images" / "image.png")
    if checksums:
        (tmp_path / "images" / CHECKSUMS).write_text(checksums)
    assert predict.main([str(tmp_path / "images"), "--out", str(tmp_path / "out")]) == 0
    assert len(rows_of(tmp_path / "out")) == 1


def test_a_damaged_bundle_before_the_images_is_refused_and_nothing_else_answers(bundle, tmp_path, capsys):
    damaged = Path(shutil.copytree(bundle, tmp_path / "damaged"))
    (damaged / MANIFEST).unlink()
    assert "is not a bundle" in error_of(capsys, damaged, SAMPLE, "--out", tmp_path / "out")
    assert "does not exist" in error_of(capsys, tmp_path / "missing", SAMPLE, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bundle_of_a_later_version_is_refused_in_a_line(tmp_path, capsys):
    later = make_bundle(tmp_path / "later")
    content = json.loads((later / MANIFEST).read_text()) | {"version": 99}
    (later / MANIFEST).write_text(json.dumps(content))
    (later / CHECKSUMS).write_text(list_checksums(later, files_of(later)))
    for arguments in ((later, SAMPLE), ("--bundle", later, SAMPLE)):
        error = error_of(capsys, *arguments, "--out", tmp_path / "out")
        assert "version 99" in error
        assert "update bus_lightning" in error


def test_a_command_without_images_says_so_in_one_line(bundle, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    out = ("--out", tmp_path / "out")
    assert "No image is given" in error_of(capsys)
    assert "No image is given" in error_of(capsys, *out)
    assert f"No image is given, only the bundle {bundle}: " in error_of(capsys, bundle, *out)
    assert "--out is missing" in error_of(capsys, SAMPLE)
    assert "No image, DICOM file or video" in error_of(capsys, tmp_path / "empty", *out)
    assert "No image, DICOM file or video" in error_of(capsys, "--bundle", bundle, tmp_path / "missing.png", *out)
    assert not (tmp_path / "out").exists()


def test_the_card_of_the_package_or_of_a_bundle_is_printed(bundle, capsys):
    assert predict.main(["--card"]) == 0
    assert capsys.readouterr().out == (SHIPPED / CARD).read_text(encoding="utf-8")
    for arguments in (["--card", "--bundle", str(bundle)], ["--card", str(bundle)], [str(bundle), "--card"]):
        assert predict.main(arguments) == 0
        assert capsys.readouterr().out == (bundle / CARD).read_text(encoding="utf-8")
    assert "leave the images out" in error_of(capsys, "--card", SAMPLE)


def test_the_model_is_small_and_names_its_run_and_no_machine():
    files = [file for file in SHIPPED.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 12 * MB
    origin = json.loads((SHIPPED / MANIFEST).read_text())["made_from"]["joint"]
    assert re.fullmatch(r"[0-9a-f]{40}", origin["commit"])
    assert "data.split.fold-0" in origin["run"]
    assert origin["seed"] == 0
    for file in files:
        assert not re.search(rb"/(work|home|tmp|root)/", file.read_bytes()), file.name


def test_results_are_written_into_no_bundle_whichever_answers(bundle, tmp_path, capsys):
    out = Path(shutil.copytree(bundle, tmp_path / "other")) / "results" / "of today"
    assert "lies in a bundle" in error_of(capsys, SAMPLE, "--out", out)
    assert "lies in a bundle" in error_of(capsys, bundle, SAMPLE, "--out", out.parents[1])
    assert files_of(out.parents[1]) == files_of(bundle)


def test_a_bundle_among_the_images_is_refused_and_nothing_else_answers(bundle, tmp_path, capsys):
    out = ("--out", tmp_path / "out")
    assert "A bundle stands among the images" in error_of(capsys, SAMPLE, bundle, *out)
    assert "A bundle stands among the images" in error_of(capsys, "--bundle", bundle, bundle, SAMPLE, *out)
    assert not (tmp_path / "out").exists()


def test_a_precision_that_the_bundle_lacks_claims_no_folder(tmp_path, capsys):
    out = ("--out", tmp_path / "out")
    assert "has no int8: choose one of fp32" in error_of(capsys, SAMPLE, "--precision", "int8", *out)
    assert not (tmp_path / "out").exists()
