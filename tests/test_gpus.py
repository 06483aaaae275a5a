"""Jobs side by side share the GPUs of a machine; here the GPUs are pretended."""

from contextlib import ExitStack

import pytest
import torch
from omegaconf import OmegaConf

from bus_lightning.training.gpus import gpu_of_its_own


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


def config(devices=1, accelerator="auto"):
    return OmegaConf.create({"trainer": {"devices": devices, "accelerator": accelerator}})


def test_each_job_takes_the_gpu_with_the_fewest_jobs(machine):
    machine(gpus=2)
    jobs = [config() for _ in range(5)]
    with ExitStack() as running:
        for job in jobs[:4]:
            running.enter_context(gpu_of_its_own(job))
        assert [job.trainer.devices for job in jobs[:4]] == [[0], [1], [0], [1]]
    assert [job.trainer.devices for job in jobs] == 5 * [1]


def test_a_job_that_ends_makes_room(machine):
    machine(gpus=2)
    first, second, third = config(), config(), config()
    with ExitStack() as running:
        with gpu_of_its_own(first):
            running.enter_context(gpu_of_its_own(second))
            assert (first.trainer.devices, second.trainer.devices) == ([0], [1])
        running.enter_context(gpu_of_its_own(third))
        assert third.trainer.devices == [0]


def test_processes_that_see_different_gpus_do_not_get_into_each_others_way(machine):
    machine(gpus=2, visible="0,1")
    first, second = config(), config()
    with gpu_of_its_own(first):
        machine(gpus=2, visible="2,3")
        with gpu_of_its_own(second):
            assert (first.trainer.devices, second.trainer.devices) == ([0], [0])
        machine(gpus=2, visible="1,0")
        with gpu_of_its_own(second):
            assert second.trainer.devices == [0]


@pytest.mark.parametrize("said", [{"devices": [1]}, {"devices": 2}, {"accelerator": "cpu"}])
def test_what_was_said_stays(machine, said):
    machine(gpus=2)
    cfg = config(**said)
    with gpu_of_its_own(cfg):
        assert cfg == config(**said)


@pytest.mark.parametrize("gpus", [0, 1])
def test_where_there_is_no_choice_nothing_changes(machine, gpus, tmp_path):
    machine(gpus=gpus)
    cfg = config()
    with gpu_of_its_own(cfg):
        assert cfg.trainer.devices == 1
    assert not list(tmp_path.iterdir())
