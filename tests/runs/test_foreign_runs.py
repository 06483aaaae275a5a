"""A run folder from elsewhere never stops a command: what it cannot hold is named, and the other runs are answered."""

import json
import logging
import os
import shutil
import tempfile
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from damaged_files import DAMAGES, KEPT, copy_run, replaced
from omegaconf import OmegaConf
from PIL import Image
from rich.console import Console

from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.data.splits import load_split
from bus_lightning.export.predictions import read_folds
from bus_lightning.launch.report import main as report
from bus_lightning.runs.finished import open_run
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.record import recorded
from bus_lightning.runs.table import collect, show
from bus_lightning.statistics.checks import find_problems
from bus_lightning.statistics.conditions import read_group
from bus_lightning.training.evaluate import evaluate_runs

pytestmark = pytest.mark.usefixtures("no_hanging")
FILES = ("status.json", "split.json", "metrics.json", "cases.csv", "history.csv", "config.yaml", "fingerprints.npz",
         "sets.json", "images.csv")  # fmt: skip
NOBODY = 65534


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_of_a_run_is_named_and_the_other_runs_are_answered(tmp_path, file):
    copy_run(tmp_path / "group" / "whole", "two_stage/segmenter-null")
    for number, do in enumerate(DAMAGES.values()):
        do(copy_run(tmp_path / "group" / f"run{number}").path / file)
    group = read_group(tmp_path / "group")
    assert [run.path.name for condition in group.conditions for run in condition.runs][-1] == "whole"
    table = collect([run for run in sorted((tmp_path / "group").iterdir()) if run.is_dir()])
    show(table, console=Console(file=StringIO(), width=150))
    left_out, states = group.left_out.set_index("run"), table.set_index("run")["state"]
    assert states["whole"] == "complete"
    problems = {problem.about: problem.text for problem in find_problems(group.conditions) if problem.kind == "files"}
    for number, damage in enumerate(DAMAGES):
        name, why = f"run{number}", f"{file}, {damage}"
        if file == "fingerprints.npz" or (
            file in ("status.json", "history.csv", "sets.json", "images.csv") and damage == "missing"
        ):
            assert name not in left_out.index, why  # nothing that is shown depends on it
        elif file in ("history.csv", "sets.json", "images.csv"):
            assert f"{name}/{file} is damaged" in problems[name], why
        elif file == "metrics.json" and damage == "missing":
            assert left_out.loc[name, "reason"] == "is not complete: complete", why
        else:
            assert left_out.loc[name, "state"] == "damaged", why
            assert f"{name}/{file} is damaged" in left_out.loc[name, "reason"], why
            assert "\n" not in left_out.loc[name, "reason"]
        if file in ("status.json", "metrics.json", "cases.csv") and damage != "missing":
            assert states[name] == "damaged", why


@pytest.mark.slow
def test_a_report_of_damaged_runs_has_the_whole_ones_and_a_line_for_each_other(tmp_path, capsys):
    copy_run(tmp_path / "group" / "whole__$\\frac{$\x1b[2J")
    for file in FILES[:4] + FILES[5:6]:
        for damage in ("nested", "a pipe"):
            DAMAGES[damage](copy_run(tmp_path / "group" / f"{file}-{damage}").path / file)
    masks = copy_run(tmp_path / "group" / "masks", "two_stage/segmenter-null").masks
    first, second, *_ = sorted(masks.rglob("*.png"))
    replaced(os.mkfifo)(first)
    replaced(lambda file: file.symlink_to("/dev/zero"))(second)
    (masks.parent / "explain").mkdir()
    os.mkfifo(masks.parent / "explain" / "maps.csv")
    os.mkfifo(masks.parent / "explain" / "heatmaps.png")
    assert report([str(tmp_path / "group"), "--no-wandb"]) == 0
    tables = tmp_path / "group" / "report" / "tables"
    left_out = pd.read_csv(tables / "left_out.csv")
    assert sorted(left_out["run"]) == sorted(f"{file}-{damage}" for file in FILES[:4] + FILES[5:6]
                                             for damage in ("nested", "a pipe"))  # fmt: skip
    assert set(left_out["state"]) == {"damaged"}
    checks = " ".join(pd.read_csv(tables / "checks.csv")["what was found"])
    for file in ("maps.csv", "heatmaps.png", f"{first.name} is damaged"):
        assert file in checks
    assert "whole__$\\frac{$" in (tmp_path / "group" / "report" / "index.html").read_text()
    assert "\x1b" not in (tmp_path / "group" / "report" / "report.md").read_text() + "".join(capsys.readouterr())


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder like the one that the kept runs were made in; it is the working directory."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "phantom").symlink_to(KEPT / "data" / "phantom")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluated(runs):
    data = {"root": None, "skip_unreadable": False}
    return OmegaConf.create({"runs": runs, "part": "test", "split": None, "progress": False, "data": data})


@pytest.mark.slow
def test_damaged_runs_are_refused_by_evaluation_and_the_whole_one_is_evaluated(project, caplog, capsys):
    whole = copy_run(project / "runs" / "group" / "whole", "classification/finished")
    bad = []
    for file in ("status.json", "split.json", "config.yaml"):
        for damage in ("nested", "a pipe", "another type"):
            run = copy_run(project / "runs" / "group" / f"{file}-{damage}", "classification/finished")
            DAMAGES[damage](run.path / file)
            bad.append(f"{run.path.relative_to(project)}/{file} is damaged")
    lacks = copy_run(project / "runs" / "group" / "lacks", "classification/finished")
    cut = yaml.safe_load(lacks.config.read_text())
    del cut["data"]["workers"], cut["trainer"]["precision"]
    lacks.config.write_text(yaml.safe_dump(cut))
    bad.append(f"{lacks.config.relative_to(project)} is damaged")
    with pytest.raises(UserError, match="10 of 11 runs could not be evaluated"):
        evaluate_runs(evaluated("runs/group/*"))
    for line in bad:
        assert line in caplog.text
    (evaluation,) = (whole.path / "evaluations").iterdir()
    assert RunDir(evaluation).metrics["test"]["n"] > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.pop("std"), "it lacks 'std'"),
        (lambda data: data.pop("balance"), "it lacks 'balance'"),
        (lambda data: data.update(classes=["benign", "malignant", "cyst"]), "data.classes: no images of class 'cyst'"),
        (lambda data: data.update(classes=["malignant", "normal"]), "data.classes lacks the class of 'benign"),
    ],
)
def test_a_config_whose_data_does_not_fit_costs_its_own_run_only(project, caplog, change, words):
    whole, bad = (copy_run(project / "runs" / "group" / name, "classification/finished") for name in ("whole", "bad"))
    config = yaml.safe_load(bad.config.read_text())
    change(config["data"])
    bad.config.write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="1 of 2 runs could not be evaluated"):
        evaluate_runs(evaluated("runs/group/*"))
    assert words in caplog.text
    assert len(list((whole.path / "evaluations").iterdir())) == 1


def test_a_damaged_fold_is_left_out_of_the_calibration(tmp_path, caplog):
    classifier = copy_run(tmp_path / "exported")
    for file in ("status.json", "split.json", "config.yaml", "cases.csv"):
        DAMAGES["nested"](copy_run(tmp_path / "folds" / file).path / file)
    with pytest.raises(UserError, match="matches no classification run"):
        read_folds(str(tmp_path / "folds" / "*"), [open_run(classifier.path)])
    for file in ("status.json", "split.json", "config.yaml", "cases.csv"):
        assert f"Left out of the calibration: {tmp_path}/folds/{file}/{file} is damaged" in caplog.text


def test_a_folder_that_may_not_be_read_is_listed(monkeypatch):
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        copy_run(folder / "group" / "whole")
        closed = copy_run(folder / "group" / "closed")
        copy_run(folder / "group" / "file").status_file.chmod(0)
        for path in (folder / "group").rglob("*"):
            os.chown(path, NOBODY, NOBODY) if os.geteuid() == 0 else None
        closed.path.chmod(0)
        runs = [folder / "group" / name for name in ("whole", "closed", "file")]
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
        group, table = read_group(folder / "group"), collect(runs)
        with pytest.raises(UserError, match="could not be evaluated"):
            evaluate_runs(evaluated(f"{folder}/group/[!w]*"))
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        closed.path.chmod(0o700)
        shutil.rmtree(folder)
    assert group.left_out[["run", "state"]].values.tolist() == [["closed", "damaged"], ["file", "damaged"]]
    assert table["state"].tolist() == ["complete", "damaged", "damaged"]


@pytest.mark.parametrize("damage", ["a folder", "a pipe", "an endless device"])
@pytest.mark.parametrize("name", ["config.yaml", "status.json", "train.log", "error.txt", "metrics.json"])
def test_a_run_is_not_trained_where_something_else_has_the_name_of_one_of_its_files(tmp_path, damage, name):
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    (run.path / name).touch()
    DAMAGES[damage](run.path / name)
    with pytest.raises(DamagedError, match=name), recorded(run, "model"):
        pytest.fail("it is trained")


@pytest.mark.parametrize("id_", ["/etc/hostname", "../../secret", "benign/../../x", "a\0b", "\ud800"])
def test_an_id_is_a_path_below_the_data_folder(tmp_path, id_):
    run = copy_run(tmp_path / "run")
    content = json.loads(run.split.read_text())
    content["groups"][id_] = 1
    run.split.write_text(json.dumps(content))
    with pytest.raises(DamagedError, match="not a path below the data folder"):
        load_split(run.split)


def test_a_picture_that_is_no_picture_is_a_finding_though_the_report_is_made(tmp_path, caplog):
    run = copy_run(tmp_path / "group" / "run", "two_stage/segmenter-null")
    file = sorted(run.masks.rglob("*.png"))[0]
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(file)
    with caplog.at_level(logging.WARNING):
        problems = [problem.text for problem in find_problems(read_group(run.path.parent).conditions)]
    assert any(f"{file} is damaged: it has 9 pixels" in text for text in problems)


def test_a_run_from_elsewhere_makes_no_new_folder_outside_of_the_working_folder(tmp_path, monkeypatch):
    run, elsewhere, own = copy_run(tmp_path / "run"), tmp_path / "elsewhere", tmp_path / "own"
    own.mkdir()
    monkeypatch.chdir(own)
    config = OmegaConf.load(run.config)
    config.data.root, config.data.cache = str(elsewhere / "images"), str(elsewhere / "cache")
    config.data.phantom = {"images": 12, "seed": 0}
    OmegaConf.save(config, run.config)
    opened = open_run(run.path).config.data
    assert opened.phantom is None
    assert opened.cache == "data/cache"
    with pytest.raises(UserError, match="could not be evaluated"):
        evaluate_runs(evaluated(str(run.path)))
    assert not elsewhere.exists()
    config.data.root, config.data.cache = "data/phantom", str(own / "cache")
    OmegaConf.save(config, run.config)
    assert open_run(run.path).config.data.phantom == config.data.phantom
    assert open_run(run.path).config.data.cache == config.data.cache


@pytest.mark.parametrize("key", ["root", "cache"])
def test_a_folder_of_another_user_or_with_an_impossible_name_stops_no_report(tmp_path, key, monkeypatch):
    closed, is_dir = tmp_path / "another user" / "images", Path.is_dir

    def look(path):
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", look)
    for name, folder in {"closed": str(closed), "long": "a" * 300, "zero": "a\0b"}.items():
        config = OmegaConf.load(copy_run(tmp_path / "group" / name).config)
        config.data[key] = folder
        OmegaConf.save(config, tmp_path / "group" / name / "config.yaml")
    group = read_group(tmp_path / "group")
    assert {run.path.name for condition in group.conditions for run in condition.runs} == {"closed", "long"}
    (left_out,) = group.left_out.to_dict("records")
    assert (left_out["run"], left_out["state"]) == ("zero", "damaged")
    assert f"data.{key} is 'a\\x00b', which is not a value" in left_out["reason"]
