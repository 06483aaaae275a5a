"""The chaos test kills what it says it kills, and sees what differs."""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch

from benchmarks.chaos import results
from benchmarks.chaos.grids import Grid
from benchmarks.chaos.kills import SIGNALS, TARGETS, Pace, Plan, deal, draw
from benchmarks.chaos.leftovers import MARK, processes_left
from benchmarks.chaos.recordings import recordings
from benchmarks.chaos.tables import is_well, tables
from benchmarks.processes import start

# Writes last.ckpt aside, and never comes to an end with it.
WRITER = """
import sys, time
from pathlib import Path
from bus_lightning.core.files import aside
with aside(Path(sys.argv[1])) as path:
    path.write_text("half")
    time.sleep(60)
"""


@pytest.fixture
def grid(tmp_path):
    """Two finished jobs of one epoch, as far as the comparison looks."""
    grid = Grid(tmp_path / "grid", ("alexnet",), (0, 1), 1)
    for name, run in grid.runs.items():
        run.checkpoints.mkdir(parents=True)
        for file in (run.cases, run.metrics_file, run.history, run.split):
            file.write_text(f"{name} {file.name}")
        run.status_file.write_text('{"state": "complete", "score": 0.5, "epochs": 1}')
        torch.save({"state_dict": {"weight": torch.ones(2)}}, run.best)
    grid.witness.write_text("1.0 alexnet__seed-0 training 0 0\n2.0 alexnet__seed-0 training 0 1\n")
    return grid


@pytest.fixture
def other(grid, tmp_path):
    shutil.copytree(grid.folder, tmp_path / "other")
    return replace(grid, folder=tmp_path / "other")


def test_equal_grids_do_not_differ(grid, other):
    assert results.differences(grid, other) == {}
    assert results.lost(other) == []
    assert list(other.half_written()) == []


@pytest.mark.parametrize("file", ["cases.csv", "metrics.json", "history.csv", "split.json"])
def test_a_byte_that_differs_is_seen(grid, other, file):
    (other.runs["alexnet__seed-1"].path / file).write_text("another")
    assert results.differences(grid, other) == {"alexnet__seed-1": [file]}


def test_a_weight_that_differs_is_seen(grid, other):
    torch.save({"state_dict": {"weight": torch.tensor([1.0, 1.0000001])}}, other.runs["alexnet__seed-0"].best)
    assert results.differences(grid, other) == {"alexnet__seed-0": ["best.ckpt"]}


def test_a_batch_that_was_left_out_is_seen_and_a_repeated_one_is_counted(grid, other):
    other.witness.write_text("1.0 alexnet__seed-0 training 0 0\n2.0 alexnet__seed-0 training 0 0\n")
    assert results.differences(grid, other) == {"alexnet__seed-0": ["batches"]}
    assert (results.steps(other)["trained"], results.steps(other)["repeated"]) == (2, 1)


def test_a_lost_job_and_a_half_written_file_are_seen(grid, other):
    run = other.runs["alexnet__seed-0"]
    run.metrics_file.rename(run.path / ".metrics.json.12-345")
    assert results.lost(other) == ["alexnet__seed-0"]
    assert [name for _, name in other.half_written()] == ["metrics.json"]
    assert other.doing(0.0) == "writing metrics.json"


def test_one_failed_check_fails_the_whole_result():
    kill = {"sent": "SIGTERM", "doing": "training", "marked": True, "code": 143}
    steps = {"trained": 10, "repeated": 2, "seconds_per_step": 0.1}
    good = {"kills": [kill], "launches": [{"seconds": 9.0, "start_up": 5.0}], "errors": 0, "lost": [], "differ": {},
            "half_written": [], "rerun_touched": [], "disturbed": steps, "kind": "W&B offline", "left": [],
            "wandb": {"jobs": 6, "recordings": 9, "strayed": []},
            "undisturbed": steps | {"seconds": 6.0, "start_up": 4.0}}  # fmt: skip
    results = {"jobs": 6, "grids": [good]}
    assert is_well(results)
    assert "| jobs marked interrupted, of those that were asked to stop | 1 of 1 |" in tables(results)["chaos"]
    assert "| **what the kills cost** | 3 | 3.0 |" in tables(results)["chaos_cost"]
    assert "| ... of them W&B offline, with 1 kills | 1 |" in tables(results)["chaos"]
    assert "| W&B records kept offline, of 6 jobs | 9 |" in tables(results)["chaos"]
    for bad in ({"lost": ["one"]}, {"differ": {"one": ["cases.csv"]}, "half_written": ["cases.csv"]}, {"errors": 1},
                {"left": ["python"]}, {"wandb": {"jobs": 6, "recordings": 9, "strayed": ["one"]}},
                {"kills": [kill | {"code": -9}]}):  # fmt: skip
        assert not is_well({"jobs": 6, "grids": [good, good | bad]})


def test_chance_deals_every_kind_of_kill_and_the_same_seed_the_same_kills():
    drawn = [[draw(rng, Pace(10.0, 8.0), 3) for _ in range(500)] for rng in (Random(0), Random(0))]
    assert drawn[0] == drawn[1]
    assert {plan.sent for plan in drawn[0]} == SIGNALS.keys()
    assert {plan.target for plan in drawn[0]} == {None, *TARGETS}
    assert sum(plan.sent == signal.SIGKILL for plan in drawn[0]) > 350
    assert all(draw(Random(seed), Pace(10.0, 8.0), 0).target is None for seed in range(20))  # into a cold start-up


def test_a_kill_meets_the_half_written_file_that_it_is_aimed_at(grid, tmp_path):
    run = grid.runs["alexnet__seed-1"]
    run.metrics_file.unlink()  # the job is not complete
    script = tmp_path / "writer.py"
    script.write_text(WRITER)
    with (tmp_path / "log").open("w") as stream:
        started = time.time()
        process = start([sys.executable, script, run.last], stream)
        kill = deal(process, Plan(signal.SIGKILL, 50.0, False, "last.ckpt"), grid, started)
    assert (kill.sent, kill.target, kill.doing, kill.code) == ("SIGKILL", "last.ckpt", "writing last.ckpt", -9)
    assert kill.after < 40
    assert [name for _, name in grid.half_written()].count("last.ckpt") == 1
    assert not run.last.exists()


def test_a_process_that_ends_before_its_kill_was_not_killed(grid, tmp_path):
    with (tmp_path / "log").open("w") as stream:
        process = start([sys.executable, "-c", ""], stream)
        assert deal(process, Plan(signal.SIGKILL, 50.0), grid, time.time()) is None


def test_a_process_that_outlives_its_launch_is_found_even_in_another_session(tmp_path):
    sleeper = "import time; time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleeper!r}], start_new_session=True)"
    with (tmp_path / "log").open("w") as stream:
        process = start([sys.executable, "-c", parent], stream, **{MARK: str(tmp_path)})
        process.wait(60)
    assert processes_left(str(tmp_path / "another"), patience=0) == []
    (name,) = processes_left(str(tmp_path), patience=0.3)
    assert name.startswith("python")
    for pid in pids_of(tmp_path):
        os.kill(pid, signal.SIGKILL)
    assert processes_left(str(tmp_path)) == []


def pids_of(value):
    pids = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"{MARK}={value}".encode() in file.read_bytes().split(b"\0"):
                pids.append(int(file.parent.name))
    return pids


def test_a_recording_under_another_id_and_a_missing_recording_are_found(grid):
    with_wandb = replace(grid, options=("logger=wandb",))
    for run in with_wandb.runs.values():
        (run.path / "wandb_id.txt").write_text("aaaa1111")
        for moment in ("20260101_000000", "20260101_000001"):
            (run.path / "wandb" / f"offline-run-{moment}-aaaa1111").mkdir(parents=True)
    assert recordings(with_wandb) == {"jobs": 2, "recordings": 4, "strayed": []}
    first, second = (run.path for run in with_wandb.runs.values())
    (first / "wandb" / "offline-run-20260101_000002-bbbb2222").mkdir()
    shutil.rmtree(second / "wandb")
    assert recordings(with_wandb)["strayed"] == [first.name, second.name]
    (first / "wandb_id.txt").unlink()
    assert recordings(with_wandb)["strayed"] == [first.name, second.name]
    assert recordings(grid) == {"jobs": 0, "recordings": 0, "strayed": []}
