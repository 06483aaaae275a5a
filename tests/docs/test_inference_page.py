"""The Python of docs/inference.md runs as it is written, and so does its command that answers images."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from pages import ROOT
from PIL import Image

from bus_lightning.diagnosis.predict import main
from bus_lightning.export.__main__ import main as export

PAGE = ROOT / "docs" / "inference.md"
KEPT = ROOT / "tests" / "kept"
PLACES = {
    "runs/demo/joint": "runs/joint/finished",
    "runs/two_stage/segmenter": "runs/two_stage/segmenter-null",
    "runs/two_stage/classifier": "runs/two_stage/classifier-null",
    "bundle": "bundle",
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the runs, the bundle and the images that the page names; it is the working directory."""
    for name, kept in PLACES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(KEPT / kept)
    first, second = (KEPT / "data" / "phantom" / "benign" / f"benign ({number}).png" for number in (2, 4))
    shutil.copy(first, tmp_path / "image.png")
    Image.open(first).save(tmp_path / "clip.tif", save_all=True, append_images=[Image.open(second)])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(kind):
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return [block for name, block in fenced if name == kind]


def test_the_python_of_the_page_runs_from_top_to_bottom(place, capsys):
    code = blocks("python")
    assert len(code) == 5
    names = {}
    for block in code:
        exec(compile(block, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    assert names["run"].metrics["test"]["n"] > 0
    assert str(names["prediction"].probabilities) in printed
    assert np.asarray(Image.open(place / "outlined.png")).shape == names["prediction"].image.shape
    assert all(doubt.text in printed for doubt in names["model"].answer("image.png").doubts)
    assert printed.splitlines()[-2:] == [names["model"].answer("image.png").answer, names["answer"].answer]


def test_the_command_of_the_page_answers_the_image(place):
    (command,) = [line for block in blocks("") for line in block.splitlines() if "diagnosis.predict" in line]
    program, arguments = shlex.split(command)[:3], shlex.split(command)[3:]
    assert program == ["python", "-m", "bus_lightning.diagnosis.predict"]
    assert main(arguments) == 0
    assert len(list((place / "results/mine").glob("*_mask.png"))) == 1


@pytest.mark.nightly
def test_the_export_of_the_page_makes_the_bundle(place):
    (place / "bundle").unlink()
    (place / "data").mkdir()
    (place / "data" / "phantom").symlink_to(KEPT / "data" / "phantom")
    (command,) = [line for block in blocks("") for line in block.splitlines() if "bus_lightning.export" in line]
    assert export(shlex.split(command)[3:]) == 0
    assert (Path("bundle") / "bundle.json").is_file()
