"""The commands as a user types them, in separate processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import warm
from held import LIMIT_S
from recordings import of_kind, read_records

ROOT = Path(__file__).parents[2]


def run(*arguments):
    return warm.run(arguments, ROOT, LIMIT_S)


def run_in_new_python(*arguments):
    command = [sys.executable, "-X", "importtime", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)


@pytest.fixture
def train(command):
    """Run train.py on the phantom; return its output and its exit code."""

    def go(*arguments, by=run):
        return by("train.py", *command(*arguments))

    return go


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_help_shows_examples_and_does_not_wait_for_torch(script):
    done = run_in_new_python(script, "--help")
    assert done.returncode == 0
    assert f"python {script}" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "hydra" in imported
    assert not imported & {"torch", "lightning", "numpy"}


@pytest.mark.slow
def test_a_finished_grid_does_not_wait_for_torch(train):
    grid = ("-m", "model=alexnet", "debug=fast", "rerun=false", "seed=0,1", "logger=csv")
    assert train(*grid).returncode == 0
    again = train(*grid, by=run_in_new_python)
    assert again.returncode == 0
    assert again.stderr.count("complete, skipped") + again.stdout.count("complete, skipped") == 2
    assert "macro F1" in again.stdout
    imported = {line.rpartition("|")[2].strip() for line in again.stderr.splitlines()}
    assert "pandas" in imported
    assert not imported & {"torch", "lightning", "albumentations"}


@pytest.mark.slow
def test_jobs_side_by_side_end_in_one_table(train, tmp_path):
    done = train("-m", "model=alexnet,resnet34", "debug=fast", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert "alexnet" in done.stdout
    assert "resnet34" in done.stdout
    states = [json.loads(file.read_text())["state"] for file in (tmp_path / "runs").glob("debug/*/status.json")]
    assert states == ["complete", "complete"]


def test_a_mistyped_model_is_refused_before_the_first_job_with_the_names_that_exist(train, tmp_path):
    done = train("-m", "model=alexnet,resnet5", "debug=fast")
    assert done.returncode == 1
    assert "resnet5" in done.stderr
    assert "deepcardinal50" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "runs").glob("*/*"))


def test_a_mistyped_option_is_refused_in_one_line_with_the_nearest_name(train, tmp_path):
    done = train("model=alexnet", "data.batchsize=4")
    assert done.returncode == 1
    assert "Did you mean 'batch_size'?" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list((tmp_path / "runs").glob("*/*"))


def test_a_failed_job_does_not_stop_a_grid_and_the_table_still_comes(train, tmp_path):
    done = train("-m", "model=alexnet", "debug=fast", "model.weights=/no/file.pth,null", "logger=csv")
    assert done.returncode == 1
    assert "(failed)" in done.stdout
    assert "/no/file.pth" in done.stdout
    assert "macro F1" in done.stdout
    states = [json.loads(file.read_text())["state"] for file in (tmp_path / "runs").glob("debug/*/status.json")]
    assert sorted(states) == ["complete", "failed"]
    assert done.stderr.count("No checkpoint at /no/file.pth") == 1, "the mistake is said once"
    assert "Traceback" not in done.stdout + done.stderr


def test_fail_fast_stops_a_grid_at_its_first_failure(train, tmp_path):
    done = train("-m", "model=alexnet", "debug=fast", "model.weights=/no/file.pth,null", "fail_fast=true")
    assert done.returncode == 1
    assert len(list((tmp_path / "runs").glob("debug/*/status.json"))) == 1


def test_several_devices_in_a_grid_are_refused(train):
    done = train("-m", "model=alexnet", "trainer.devices=2", "logger=csv")
    assert done.returncode == 1
    assert "would start the whole grid again" in done.stderr


def test_a_refused_job_shows_the_refusal_and_not_the_other_experiments_scores(train):
    assert train("model=alexnet", "debug=fast", "rerun=false", "name=mine", "logger=csv").returncode == 0
    done = train("model=alexnet", "debug=fast", "rerun=false", "name=mine", "logger=csv", "seed=7")
    assert done.returncode == 1
    assert "(refused)" in done.stdout
    assert "seed (folder: 0, requested: 7)" in done.stdout


def test_a_name_that_is_no_folder_name_is_refused(train):
    done = train("model=alexnet", "name=a/b")
    assert done.returncode == 1
    assert "name=a/b" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_data_folder_is_one_line_that_says_how_to_get_it():
    done = run("train.py", "model=alexnet", "data.root=/no/such/folder", "logger=csv", "runs_dir=/tmp/unused")
    assert done.returncode == 1
    assert "bus_lightning.data.download" in done.stderr
    assert "data=phantom" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_each_job_of_a_grid_is_a_separate_run_on_wandb(train, tmp_path):
    done = train("-m", "model=alexnet,resnet34", "debug=fast", "logger=wandb", "group=mine")
    assert done.returncode == 0, done.stderr
    seen = set()
    for folder in (file.parent for file in (tmp_path / "runs" / "mine").glob("*/wandb")):
        (recorded,) = [record for record in of_kind(read_records(folder), "run") if "display_name" in record]
        assert recorded["display_name"] == folder.name
        assert (recorded["run_group"], recorded["job_type"]) == ("mine", "classification")
        seen.add(recorded["display_name"].partition("__")[0])
    assert seen == {"alexnet", "resnet34"}


def test_several_evaluations_with_one_command_leave_no_folder_that_is_named_after_the_date(tmp_path):
    done = warm.run((str(ROOT / "evaluate.py"), "-m", "part=val,test", "runs=nothing"), tmp_path, LIMIT_S)
    assert "matches no run folder" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["runs", "multirun.yaml"]
