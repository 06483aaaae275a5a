"""Jobs side by side share the GPUs of a machine; here the GPUs are pretended."""

from contextlib import ExitStack

import pytest
import torch

from bus_lightning.training.gpus import one_gpu


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with so many GPUs, where nobody else trains."""

    def make(gpus, visible=None):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return make


def test_each_job_takes_the_gpu_with_the_fewest_jobs(machine):
    machine(gpus=2)
    with ExitStack() as running:
        assert [running.enter_context(one_gpu(1, "auto")) for _ in range(5)] == [[0], [1], [0], [1], [0]]


def test_a_user_without_a_name_gets_a_gpu_too(machine, monkeypatch):
    machine(gpus=2)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # as in a container that is started with --user=12345
    with one_gpu(1, "auto") as devices:
        assert devices == [0]


def test_a_job_that_ends_makes_room(machine):
    machine(gpus=2)
    with ExitStack() as running:
        with one_gpu(1, "auto") as first:
            second = running.enter_context(one_gpu(1, "auto"))
            assert (first, second) == ([0], [1])
        assert running.enter_context(one_gpu(1, "auto")) == [0]


def test_processes_that_see_different_gpus_do_not_get_into_each_others_way(machine):
    machine(gpus=2, visible="0,1")
    with one_gpu(1, "auto") as first:
        machine(gpus=2, visible="2,3")
        with one_gpu(1, "auto") as second:
            assert (first, second) == ([0], [0])
        machine(gpus=2, visible="1,0")
        with one_gpu(1, "auto") as second:
            assert second == [0]


@pytest.mark.parametrize(("devices", "accelerator"), [([1], "auto"), (2, "auto"), (1, "cpu")])
def test_chosen_devices_stay(machine, devices, accelerator):
    machine(gpus=2)
    with one_gpu(devices, accelerator) as used:
        assert used == devices


@pytest.mark.parametrize("gpus", [0, 1])
def test_where_there_is_no_choice_nothing_changes(machine, gpus, tmp_path):
    machine(gpus=gpus)
    with one_gpu(1, "auto") as used:
        assert used == 1
    assert not list(tmp_path.iterdir())
