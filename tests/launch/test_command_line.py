"""The commands as a user types them, in separate processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import warm
from held import CALLBACK, LIMIT_S, environment, is_gone, steps_of, wait_for
from recordings import of_kind, read_records

ROOT = Path(__file__).parents[2]


def run(*arguments):
    return warm.run(arguments, ROOT, LIMIT_S)


def run_in_new_python(*arguments):
    command = [sys.executable, "-X", "importtime", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)


@pytest.fixture
def command(phantom, audit_cache, tmp_path):
    """Make the arguments of a training on the phantom."""

    def make(*arguments):
        return [*arguments, f"data.root={phantom}", f"data.cache={audit_cache}", f"runs_dir={tmp_path / 'runs'}",
                "data.size=64"]  # fmt: skip

    return make


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


def test_jobs_side_by_side_end_in_one_table(train, tmp_path):
    done = train("-m", "model=alexnet,resnet34", "debug=fast", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert done.returncode == 0, done.stderr
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


STARTED = []


@pytest.fixture
def holding(tmp_path):
    """Make the folder in which runs that are held until a signal comes say that they wait."""
    folder = tmp_path / "waiting"
    folder.mkdir()
    return folder


def start(*arguments, hold=None):
    """Start train.py; with `hold`, its runs wait in the middle of their second epoch for a signal."""
    launch = warm.Process(["train.py", *arguments], ROOT, environment(hold), new_session=True)
    STARTED.append(launch)
    return launch


@pytest.fixture(autouse=True)
def nothing_runs_on():
    """End what a test that failed has started."""
    yield
    while STARTED:
        launch = STARTED.pop()
        if launch.poll() is None:
            os.killpg(launch.pid, signal.SIGKILL)
            launch.communicate()


def test_two_launches_of_one_grid_share_its_jobs_and_never_a_folder(command, tmp_path):
    grid = command("-m", "model=alexnet", "debug_size=true", "seed=0,1,2", "logger=csv", "trainer.max_epochs=2")
    launches = [start(*grid), start(*grid)]
    outputs = [launch.communicate(timeout=LIMIT_S) for launch in launches]
    runs = sorted((tmp_path / "runs" / "classification").glob("alexnet*"))
    assert len(runs) == 3
    for run_folder in runs:
        log = (run_folder / "train.log").read_text()
        assert log.count(": starting") == 1, "trained twice"
    for launch, (_, errors) in zip(launches, outputs, strict=True):
        assert launch.returncode == (1 if "is being trained by process" in errors else 0), errors
    again = start(*grid)
    output, errors = again.communicate(timeout=LIMIT_S)
    assert again.returncode == 0, errors
    assert (output + errors).count("complete, skipped") == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_stopped_grid_says_how_to_go_on_and_goes_on(command, tmp_path, holding, number):
    more = ["data.workers=2"] if number == signal.SIGINT else []
    grid = command("-m", "model=alexnet", "debug_size=true", "seed=0,1", "logger=csv", "trainer.max_epochs=60",
                   "data.batch_size=8", CALLBACK, *more)  # fmt: skip
    launch = start(*grid, hold=holding)
    wait_for(lambda: any(holding.iterdir()))
    os.killpg(launch.pid, number)  # as a terminal does, workers that read data among them
    output, errors = launch.communicate(timeout=LIMIT_S)
    assert launch.returncode == 128 + number, errors
    assert "The same command skips what is complete" in errors
    assert "seed=0,1" in errors.splitlines()[-1]
    assert "(interrupted)" in output
    assert "Traceback" not in errors
    assert not list((tmp_path / "runs").glob(".jobs*"))
    (status,) = (tmp_path / "runs").glob("*/*/status.json")
    assert json.loads(status.read_text())["state"] == "interrupted"


SIDE_BY_SIDE = ("-m", "model=alexnet", "debug_size=true", "seed=0,1", "name=seed${seed}", "logger=csv",
                "data.batch_size=8", "trainer.max_epochs=4", CALLBACK)  # fmt: skip
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


@pytest.fixture(scope="module")
def undisturbed(phantom, audit_cache, tmp_path_factory):
    """Train the grid that others are compared with, one job after the other."""
    runs = tmp_path_factory.mktemp("undisturbed")
    launch = start(*SIDE_BY_SIDE, f"data.root={phantom}", f"data.cache={audit_cache}", f"runs_dir={runs}",
                   "data.size=64")  # fmt: skip
    _, errors = launch.communicate(timeout=LIMIT_S)
    assert launch.returncode == 0, errors
    return results_in(runs), {folder.name: steps_of(folder) for folder in runs.glob("*/seed*")}


def results_in(runs):
    files = [file for name in ("cases.csv", "metrics.json", "history.csv") for file in runs.glob(f"*/*/{name}")]
    assert files
    return {str(file.relative_to(runs)): file.read_bytes() for file in files}


@pytest.mark.parametrize(
    ("number", "tell"), [(signal.SIGTERM, os.kill), (signal.SIGINT, os.killpg)], ids=["SIGTERM", "Ctrl-C to all"]
)
def test_a_stopped_grid_of_jobs_side_by_side_saves_each_and_goes_on_to_the_same_bits(
    command, tmp_path, undisturbed, holding, number, tell
):
    grid, runs = command(*SIDE_BY_SIDE, *JOBLIB), tmp_path / "runs"
    launch = start(*grid, hold=holding)
    wait_for(lambda: len(list(holding.iterdir())) == 2)
    tell(launch.pid, number)
    output, errors = launch.communicate(timeout=LIMIT_S)
    assert launch.returncode == 128 + number, errors
    assert "The same command skips what is complete" in errors
    assert output.count("(interrupted)") == 2
    assert "Traceback" not in errors
    assert is_gone(launch.pid), "a worker was left behind"
    states = [json.loads(file.read_text())["state"] for file in runs.glob("*/*/status.json")]
    assert states == ["interrupted", "interrupted"]
    again = start(*grid)
    _, errors = again.communicate(timeout=LIMIT_S)
    assert again.returncode == 0, errors
    assert errors.count(": continuing") == 2
    results, steps = undisturbed
    assert results_in(runs) == results
    trained = {folder.name: steps_of(folder) for folder in runs.glob("*/seed*")}
    assert trained == steps, "a step was repeated or left out"


def test_a_second_signal_ends_jobs_side_by_side_at_once(command, tmp_path):
    launch = start(*command(*SIDE_BY_SIDE, *JOBLIB, "trainer.max_epochs=500", "data.workers=1"))
    wait_for(lambda: len(list((tmp_path / "runs").glob("*/*/history.csv"))) == 2)
    for file in (tmp_path / "runs").glob("*/.*.lock"):
        os.kill(json.loads(file.read_text())["pid"], signal.SIGSTOP)  # a job that does not come to an end
    launch.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        launch.wait(2)
    launch.send_signal(signal.SIGTERM)
    _, errors = launch.communicate(timeout=LIMIT_S)
    assert launch.returncode == 128 + signal.SIGTERM, errors
    assert is_gone(launch.pid), "a worker was left behind"


def test_fail_fast_lets_the_other_running_jobs_save(command, tmp_path):
    rates = "optimizer.lr=1e-4,1e30"  # the second one diverges
    launch = start(*command("-m", "model=alexnet", "debug_size=true", "logger=csv", "data.batch_size=8",
                            "trainer.max_epochs=500", "fail_fast=true", rates, *JOBLIB))  # fmt: skip
    output, errors = launch.communicate(timeout=LIMIT_S)
    assert launch.returncode == 1, errors
    assert is_gone(launch.pid), "a worker was left behind"
    states = [json.loads(file.read_text())["state"] for file in (tmp_path / "runs").glob("*/*/status.json")]
    assert sorted(states) == ["failed", "interrupted"], output


def test_a_worker_that_dies_is_named_with_its_job(command, tmp_path):
    kill = "+callbacks.kill._target_=os.abort"  # dies while the job is built, as if the kernel had killed it
    launch = start(*command("-m", "model=alexnet", "debug=fast", "seed=0,1", "hydra/launcher=joblib", kill))
    output, errors = launch.communicate(timeout=LIMIT_S)
    assert launch.returncode == 1
    assert "the grid was cut short" in errors
    assert "(killed)" in output


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
