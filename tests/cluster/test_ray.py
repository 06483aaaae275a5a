"""A grid on a real Ray cluster, and on one that the grid starts itself."""

import os
import signal

import pytest

pytestmark = pytest.mark.cluster
CLUSTER = ("hydra/launcher=ray", "hydra.launcher.ray.init.address=auto")


def test_three_jobs_on_a_cluster_give_the_bits_of_the_basic_launcher(ray_cluster, check_three_jobs, grids):
    check_three_jobs("ray", *CLUSTER, env=ray_cluster)


def test_a_failed_job_does_not_stop_the_others_and_the_table_has_all(ray_cluster, check_one_failure):
    check_one_failure("ray_failed", *CLUSTER, env=ray_cluster)


def test_a_job_whose_process_is_killed_is_started_again_and_ends_with_the_same_bits(ray_cluster, grids):
    grid = grids.start("ray_killed", *grids.LONG, *CLUSTER, env=ray_cluster)
    grids.wait_for_epoch("ray_killed", "long", 3)
    os.kill(grids.owner("ray_killed", "long"), signal.SIGKILL)
    assert grids.ended(grid, "ray_killed") == 0
    assert "long: going on" in (grids.folder("ray_killed", "long") / "train.log").read_text()
    assert not grids.differing("ray_killed")


def test_without_a_cluster_ray_is_started_for_the_grid(check_three_jobs):
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    check_three_jobs("ray_local", "hydra/launcher=ray")
