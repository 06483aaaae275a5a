"""A grid in several processes of one machine."""

import os
import signal

import pytest

pytestmark = pytest.mark.cluster
pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def test_three_jobs_give_the_bits_of_the_basic_launcher(check_three_jobs):
    assert check_three_jobs("joblib", *JOBLIB).count("complete, skipped") == 3


def test_a_failed_job_does_not_stop_the_others_and_the_table_has_all(check_one_failure):
    check_one_failure("joblib_failed", *JOBLIB)


def test_after_the_kill_of_a_worker_the_same_command_ends_with_the_same_bits(grids):
    grid = grids.start("joblib_killed", *grids.LONG, *JOBLIB)
    grids.wait_for_epoch("joblib_killed", "long", 3)
    os.kill(grids.owner("joblib_killed", "long"), signal.SIGKILL)
    assert grids.ended(grid, "joblib_killed") == 1
    code, printed = grids.run("joblib_killed", *grids.LONG, *JOBLIB)
    assert code == 0, printed
    assert "long: continuing" in printed
    assert not grids.differing("joblib_killed")
