"""Run folders and a bundle of an earlier commit, kept in tests/kept: they are read, skipped, gone on with, reported."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from small_runs import evaluate_again

from bus_lightning.data.index import read_image
from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame
from bus_lightning.launch.report import main as report
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import fit, train
from bus_lightning.training.evaluate import evaluate_run

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "tests" / "kept"
FINISHED = ("classification/finished", "joint/finished", "two_stage/segmenter-null", "two_stage/classifier-null")
# Another kind of CPU adds in another order.
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("kept") / "cache"


@pytest.fixture
def project(tmp_path, monkeypatch, cache):
    """A folder like the one in which the runs were made, with copies of them; it is the working directory."""
    shutil.copytree(KEPT / "runs", tmp_path / "runs")
    for config in tmp_path.glob("runs/*/*/config.yaml"):
        os.link(shutil.copy(KEPT / "fingerprints.npz", config.with_name("copy")), config.with_name("fingerprints.npz"))
        config.with_name("copy").unlink()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "phantom").symlink_to(KEPT / "data" / "phantom")
    (tmp_path / "data" / "cache").symlink_to(cache, target_is_directory=True)
    cache.mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fit, "save_sheet", lambda *_: None)
    return tmp_path


def same_command(run, *more):
    """Compose the config of the command that made a run, with the config files of today."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=[*run.status["command"].split()[1:], *more])
    assert (cfg.group, cfg.name) == run.path.parts[-2:]
    return cfg


def files_of(run):
    return {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file() and file != run.log}


@pytest.mark.parametrize("name", FINISHED)
def test_a_finished_run_of_an_earlier_version_is_skipped(project, name, caplog):
    run = RunDir(Path("runs", name))
    before = files_of(run)
    with caplog.at_level("INFO"):
        assert train.run(same_command(run)) == run.status["score"]
    assert "complete, skipped" in caplog.text
    assert files_of(run) == before


def test_more_epochs_extend_a_finished_run_of_an_earlier_version(project):
    run = RunDir(Path("runs/classification/finished"))
    before = run.history.read_text()
    train.run(same_command(run, "trainer.max_epochs=4", "logger=none"))
    assert run.history.read_text().startswith(before)
    assert (run.count_epochs(), run.status["epochs"], run.is_complete) == (4, 4, True)
    assert [folder.name for folder in run.path.parent.iterdir() if ".old-" in folder.name] == []


def test_a_stopped_run_of_an_earlier_version_reaches_the_numbers_that_it_reached_there(project):
    run = RunDir(Path("runs/classification/stopped"))
    before = run.history.read_text()
    train.run(same_command(run, "logger=none"))
    assert run.history.read_text().startswith(before)
    expected = pd.read_csv(KEPT / "expected" / "history.csv")
    pd.testing.assert_frame_equal(run.read_history(), expected, **CLOSE)
    metrics = json.loads((KEPT / "expected" / "metrics.json").read_text())
    for part in ("val", "test"):
        assert run.metrics[part]["loss"] == pytest.approx(metrics[part]["loss"], rel=CLOSE["rtol"])
        assert run.metrics[part].keys() >= metrics[part].keys()  # later versions measure more


@pytest.mark.parametrize("name", FINISHED)
def test_a_run_of_an_earlier_version_is_evaluated_to_the_same_cases(project, name):
    run = RunDir(Path("runs", name))
    expected = pd.read_csv(run.cases).query("split == 'test'").reset_index(drop=True)
    cases = pd.read_csv(evaluate_again(run).cases)
    pd.testing.assert_frame_equal(cases[expected.columns], expected, **CLOSE)  # later versions count lesions, too


def test_the_fingerprints_of_an_earlier_version_name_the_images_that_its_run_has_seen(project):
    run, renamed = RunDir(Path("runs/classification/finished")), project / "renamed"
    for file in (KEPT / "data" / "phantom").glob("*/*.png"):
        (renamed / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, renamed / file.parent.name / f"new {file.name}")
    shutil.rmtree(project / "data")
    (project / "data").mkdir()
    request = {"part": "test", "split": "unseen", "progress": False}
    request |= {"data": {"root": str(renamed), "skip_unreadable": False}}
    tested = pd.read_csv(evaluate_run(run, OmegaConf.create(request)).cases)["id"]
    held_out = pd.read_csv(run.cases).query("split == 'test'")["id"]
    assert sorted(tested) == sorted(id_.replace("/", "/new ") for id_ in held_out)


@pytest.mark.slow
def test_runs_of_an_earlier_version_are_reported(project):
    groups = [f"runs/{name}" for name in ("classification", "joint", "two_stage")]
    assert report([*groups, "--out", "report", "--no-wandb"]) == 0
    tables = Path("report", "tables")
    assert pd.read_csv(tables / "left_out.csv")[["run", "state"]].values.tolist() == [["stopped", "interrupted"]]
    page = Path("report", "index.html").read_text()
    assert ("small_resnet" in page, "small_unet" in page) == (True, True)


def test_a_bundle_of_an_earlier_version_answers_as_it_did():
    bundle = load_bundle(KEPT / "bundle")
    expected = json.loads((KEPT / "expected" / "diagnosis.json").read_text())
    images = [read_image(KEPT / "data" / "phantom" / f"{id_}.png") for id_ in expected]
    for diagnosis, answer in zip(
        Diagnoser(bundle, "fp32").diagnose([Frame(image) for image in images]), expected.values(), strict=True
    ):
        assert diagnosis.calibrated
        assert diagnosis.heat_map is not None
        assert diagnosis.probabilities == pytest.approx(answer["probabilities"], abs=1e-4)
        assert np.mean(diagnosis.mask) == pytest.approx(answer["mask"], abs=0.01)


def test_kept_files_name_no_machine():
    for file in KEPT.rglob("*"):
        if file.suffix in (".yaml", ".json", ".csv", ".log", ".md") and file.is_file():
            text = file.read_text().replace("/tmp/project", "")  # the folder they were made in
            assert not re.search(r"(?<![\w.*\]])/(home|root|tmp|var|mnt|work|Users)/|\.jobs-", text), file
