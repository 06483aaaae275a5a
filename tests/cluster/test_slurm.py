"""A grid on a real Slurm: jobs that are pre-empted, queued again, cut off or cancelled."""

import os
import signal
import subprocess
import time

import pytest

pytestmark = pytest.mark.cluster
SLURM = ("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=4")


@pytest.fixture
def ask(slurm):
    """Run one of Slurm's programs and return what it prints."""

    def call(*command):
        done = subprocess.run(command, env=os.environ | slurm, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.strip()

    return call


@pytest.fixture(autouse=True)
def empty_queue(ask):
    """Leave no job of a test that failed to the next one."""
    yield
    ask("scancel", f"--user={os.geteuid()}")
    while ask("squeue", "--noheader"):
        time.sleep(0.2)


def the_job(ask):
    """Tell the id of the job, or of the array, in the queue."""
    (job,) = set(ask("squeue", "--noheader", "--name=train", "--format=%F").split())
    return job


def output_of(grids, where):
    """Tell what the jobs have printed."""
    return "".join(file.read_text() for file in (grids.runs / where / ".slurm").glob("*/*.out"))


def test_three_jobs_give_the_bits_of_the_basic_launcher(slurm, check_three_jobs, grids):
    check_three_jobs("slurm", *SLURM, env=slurm)
    assert output_of(grids, "slurm").count("complete, skipped") == 3
    assert not list(grids.runs.glob("slurm/.jobs-*"))


def test_a_failed_job_does_not_stop_the_others_and_the_table_has_all(slurm, check_one_failure):
    check_one_failure("slurm_failed", *SLURM, env=slurm)


def test_a_preempted_job_is_queued_again_and_ends_with_the_bits_of_an_undisturbed_one(slurm, grids, ask):
    cores = os.cpu_count()  # all of them, so that there is no room for the urgent job
    grid = grids.start("preempted", *grids.LONG, *SLURM, f"hydra.launcher.cpus_per_task={cores}", env=slurm)
    grids.wait_for_epoch("preempted", "long", 3)
    ask("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 2")
    assert grids.ended(grid, "preempted") == 0
    output = output_of(grids, "preempted")
    assert "this job is preempted" in output
    assert "long: continuing" in output
    assert not grids.differing("preempted")


def test_a_warning_does_not_end_a_job_that_slurm_will_queue_again(slurm, grids, ask):
    """Slurm does not queue a job again that ends by itself between SIGTERM and the end of the grace time."""
    grid = grids.start("requeued", *grids.LONG, *SLURM, env=slurm)
    grids.wait_for_epoch("requeued", "long", 3)
    job = the_job(ask)
    ask("scancel", "--signal=TERM", job)
    time.sleep(2)
    assert ask("squeue", "--noheader", f"--job={job}", "--format=%T") == "RUNNING"
    ask("scontrol", "requeue", job)
    assert grids.ended(grid, "requeued") == 0
    assert "long: continuing" in output_of(grids, "requeued")
    assert not grids.differing("requeued")


def test_a_job_that_runs_out_of_time_is_queued_again_and_ends_with_the_same_bits(slurm, grids):
    """Slurm looks at the clock twice a minute, and warns a minute too early rather than too late."""
    more = ("name=timed_out", "trainer.max_epochs=300")
    limits = ("hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=1")
    code, printed = grids.run("timed_out", *more, *SLURM, *limits, env=slurm)
    assert code == 0, printed
    output = output_of(grids, "timed_out")
    assert "this job is timed-out" in output
    assert "timed_out: continuing" in output
    assert grids.run("basic", *more)[0] == 0
    assert not grids.differing("timed_out")


def test_a_job_killed_outright_ends_the_command_and_not_the_other_jobs(slurm, grids, ask):
    """As Slurm does it to a job that takes more memory than it asked for."""
    longer = (*grids.THREE, "trainer.max_epochs=20")
    grid = grids.start("killed", *longer, *SLURM, env=slurm)
    grids.wait_for_epoch("killed", "seed0", 1)
    os.kill(grids.owner("killed", "seed0"), signal.SIGKILL)
    assert grids.ended(grid, "killed") == 1
    assert "seed0" in grids.printed("killed")
    assert "(killed)" in grids.printed("killed")
    while ask("squeue", "--noheader", "--name=train"):
        time.sleep(0.5)
    assert [grids.state("killed", f"seed{k}") for k in (1, 2)] == ["complete", "complete"]
    assert grids.run("killed", *longer, *SLURM, env=slurm)[0] == 0
    assert grids.run("basic_20", *longer)[0] == 0
    assert not grids.differing("killed", "basic_20")
