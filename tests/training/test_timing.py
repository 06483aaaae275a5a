"""Every run says how fast it trained and how long it waited for data; nothing that must repeat holds a time."""

import itertools
from types import SimpleNamespace

import pandas as pd
import pytest

from bus_lightning.training.callbacks import timing
from bus_lightning.training.callbacks.timing import Timing

ALONE = SimpleNamespace(world_size=1)  # the trainer of a single process


class Module:
    """What a callback needs of a task."""

    def __init__(self):
        self.logged = []

    def log_dict(self, values):
        self.logged.append(values)


def test_speed_and_wait_are_those_of_the_clock(monkeypatch):
    seconds = itertools.chain([0, 8], [10, 18], [20, 28], [100, 101], [104, 105])  # start and end of each step
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(seconds))
    module, clock = Module(), Timing()
    for steps in (3, 2):
        for number in range(steps):
            batch = {"id": ["some image"] * 5}
            clock.on_train_batch_start(None, module, batch, number)
            clock.on_train_batch_end(None, module, None, batch, number)
        clock.on_train_epoch_end(ALONE, module)
    assert module.logged == [
        {"time/images_per_second": pytest.approx(10 / 20), "time/data_fraction": pytest.approx(4 / 20)},
        {"time/images_per_second": pytest.approx(5 / 4), "time/data_fraction": pytest.approx(3 / 4)},
    ]
    assert clock.summary() == {"images_per_second": 0.625, "data_fraction": pytest.approx(7 / 24, abs=1e-4)}


def test_the_speed_of_several_processes_is_that_of_all_their_images(monkeypatch):
    seconds = iter([0, 1, 2, 3])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(seconds))
    others = SimpleNamespace(root_device="cpu", reduce=lambda images, reduce_op: images + 7)  # they had 7 images
    module, clock, batch = Module(), Timing(), {"id": ["some image"] * 8}
    for number in (0, 1):
        clock.on_train_batch_start(None, module, batch, number)
        clock.on_train_batch_end(None, module, None, batch, number)
    clock.on_train_epoch_end(SimpleNamespace(world_size=2, strategy=others), module)
    assert module.logged == [{"time/images_per_second": 15 / 2, "time/data_fraction": 0.5}]
    assert clock.summary()["images_per_second"] == 7.5


def test_a_validation_between_two_steps_is_no_wait_for_data(monkeypatch):
    seconds = iter([0, 1, 50, 51, 52])  # a step, the end of a validation, a step
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(seconds))
    module, clock, batch = Module(), Timing(), {"id": ["some image"]}
    clock.on_train_batch_start(None, module, batch, 0)
    clock.on_train_batch_end(None, module, None, batch, 0)
    clock.on_validation_end(None, module)
    clock.on_train_batch_start(None, module, batch, 1)
    clock.on_train_batch_end(None, module, None, batch, 1)
    clock.on_train_epoch_end(ALONE, module)
    assert module.logged == [{"time/images_per_second": 0.5, "time/data_fraction": 0.5}]


def test_the_first_step_after_resuming_within_an_epoch_has_no_step_before_it(monkeypatch):
    seconds = iter([1000, 1001, 1003, 1004])  # the clock of a computer that has run for a while
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(seconds))
    module, clock, batch = Module(), Timing(), {"id": ["some image"] * 6}
    for number in (5, 6):
        clock.on_train_batch_start(None, module, batch, number)
        clock.on_train_batch_end(None, module, None, batch, number)
    clock.on_train_epoch_end(ALONE, module)
    assert module.logged == [{"time/images_per_second": 6 / 3, "time/data_fraction": pytest.approx(2 / 3)}]


def test_every_run_logs_its_speed_and_its_wait_but_not_in_the_history(trained):
    run = trained("model=resnet34", "logger=csv", "data.batch_size=8")
    assert run.status["images_per_second"] > 0
    assert 0 <= run.status["data_fraction"] <= 1
    logged = pd.read_csv(run.path / "csv/version_0/metrics.csv")
    assert logged["time/data_fraction"].dropna().between(0, 1).sum() == 1
    assert not any(name.startswith("time/") for name in pd.read_csv(run.history))
