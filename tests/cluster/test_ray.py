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
    assert "long: continuing" in (grids.folder("ray_killed", "long") / "train.log").read_text()
    assert not grids.differing("ray_killed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_stopped_command_says_how_to_go_on_and_goes_on_to_the_same_bits(ray_cluster, grids, number):
    where = f"ray_stopped_{number}"
    grid = grids.start(where, *grids.LONG, *CLUSTER, env=ray_cluster)
    grids.wait_for_epoch(where, "long", 3)
    grid.send_signal(number)
    assert grids.ended(grid, where) == 128 + number
    assert "The same command skips what is complete" in grids.printed(where)
    code, printed = grids.run(where, *grids.LONG, *CLUSTER, env=ray_cluster)
    assert code == 0, printed
    assert not grids.differing(where)


def test_fail_fast_stops_at_the_first_failure_without_trying_it_again(ray_cluster, grids):
    bad = ("model.weights=/no/file.pth", "name=bad", "fail_fast=true")
    code, printed = grids.run("ray_fail_fast", *bad, *CLUSTER, env=ray_cluster)
    assert code == 1, printed
    assert "(failed)" in printed
    assert (grids.folder("ray_fail_fast", "bad") / "train.log").read_text().count(": starting") == 1


def test_without_a_cluster_ray_is_started_for_the_grid(check_three_jobs):
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    check_three_jobs("ray_local", "hydra/launcher=ray")
