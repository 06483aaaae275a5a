"""A grid that is stopped, fails or is started twice saves its jobs, and the same command ends with the same bits."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import warm
from held import CALLBACK, LIMIT_S, environment, is_gone, steps_of, wait_for

ROOT = Path(__file__).parents[2]
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


@pytest.mark.slow
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
        assert launch.returncode == (1 if "is in use by process" in errors else 0), errors
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_fail_fast_lets_the_other_running_jobs_save(command, tmp_path):
    rates = "optimizer.lr=1e-4,1e30"  # the second one diverges
    launch = start(*command("-m", "model=alexnet", "debug_size=true", "logger=csv", "data.batch_size=8",
                            "trainer.max_epochs=500", "fail_fast=true", rates, *JOBLIB))  # fmt: skip
    output, errors = launch.communicate(timeout=LIMIT_S)
    assert launch.returncode == 1, errors
    assert is_gone(launch.pid), "a worker was left behind"
    states = [json.loads(file.read_text())["state"] for file in (tmp_path / "runs").glob("*/*/status.json")]
    assert sorted(states) == ["failed", "interrupted"], output


@pytest.mark.slow
def test_a_worker_that_dies_is_named_with_its_job(command, tmp_path):
    kill = "+callbacks.kill._target_=os.abort"  # dies while the job is built, as if the kernel had killed it
    launch = start(*command("-m", "model=alexnet", "debug=fast", "seed=0,1", "hydra/launcher=joblib", kill))
    output, errors = launch.communicate(timeout=LIMIT_S)
    assert launch.returncode == 1
    assert "the grid was cut short" in errors
    assert "(killed)" in output
