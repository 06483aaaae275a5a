"""The folder of each paper can be deleted: everything else works without it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bus_lightning
from bus_lightning.launch import report
from bus_lightning.paper.additions import EXTENSION

PACKAGE = Path(bus_lightning.__file__).parent
CODE = """
import pkgutil, sys
from importlib import import_module
import bus_lightning.launch as launch
from bus_lightning.launch.report import extensions, main
for module in pkgutil.iter_modules(launch.__path__):
    import_module(f"bus_lightning.launch.{module.name}")
assert extensions() == []
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_report_of_a_copy_without_the_papers_has_everything_but_the_papers(finished, tmp_path):
    run = finished("model=resnet34")
    copy = tmp_path / "copy"
    folders = [paper.removeprefix("bus_lightning.") for paper in report.PAPERS]
    shutil.copytree(PACKAGE, copy / PACKAGE.name, ignore=shutil.ignore_patterns(*folders, "__pycache__"))
    (copy / PACKAGE.name / "paper" / "__pycache__").mkdir(parents=True)  # what git leaves of a deleted folder
    command = [sys.executable, "-c", CODE, str(run.path.parent), "--no-wandb"]
    subprocess.run(command, check=True, cwd=copy, env=os.environ | {"PYTHONPATH": str(copy)})
    text = (run.path.parent / "report" / "report.md").read_text()
    assert "Classification" in text
    assert "The networks and what they cost" in text
    assert "Li, Niu" not in text
    assert "paper" not in text


def test_the_papers_folder_is_found_and_another_paper_is_one_more_name(monkeypatch, tmp_path):
    before = report.extensions()
    assert EXTENSION in before
    (tmp_path / "second_paper").mkdir()
    (tmp_path / "second_paper" / "additions.py").write_text("EXTENSION = 'the second'")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(report, "PAPERS", (*report.PAPERS, "second_paper", "no_such_paper"))
    assert report.extensions() == [*before, "the second"]
