"""A signal with another handler reaches it, and a worker that is stopped starts no further run."""

import signal

import pytest
from interrupted import ALEXNET, raise_later
from small_runs import folder_of

from bus_lightning.core import interruption
from bus_lightning.core.interruption import Deferral, Interrupted, keep_signals
from bus_lightning.training import train


def test_a_signal_with_another_handler_reaches_it_after_the_state_is_saved(composed, watch):
    cfg = composed(*ALEXNET)
    was_saved = []
    before = signal.signal(signal.SIGUSR2, lambda *_: was_saved.append(folder_of(cfg).last.is_file()))
    try:
        watch.at[0, 2] = raise_later(signal.SIGUSR2)
        train.run(cfg)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert was_saved == [True]
    assert folder_of(cfg).status["state"] == "complete"


def test_signals_without_a_handler_are_left_alone():
    deferral = Deferral()
    deferral.hold()
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL
    deferral.release()


def test_a_warning_signal_is_not_counted_as_a_second_signal_and_is_not_lost():
    heard = []
    before = signal.signal(signal.SIGUSR2, lambda number, _: heard.append(number))
    deferral = Deferral()
    try:
        deferral.hold()
        for number in (
            signal.SIGINT,
            signal.SIGUSR2,
            signal.SIGUSR2,
        ):  # Ctrl-C of the group, and its parent's signal
            signal.raise_signal(number)
        assert deferral.received == signal.SIGUSR2
        assert not heard
        deferral.release()
        assert heard == [signal.SIGUSR2]
    finally:
        deferral.drop()
        signal.signal(signal.SIGUSR2, before)


@pytest.fixture
def as_a_worker(monkeypatch):
    """Handle signals like a worker that runs next to others."""
    stops = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
    before = {number: signal.getsignal(number) for number in stops}
    monkeypatch.setattr(interruption, "_early", [])
    keep_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_worker_that_is_stopped_between_two_runs_lives_on_and_does_not_start_the_next(as_a_worker, composed, watch):
    signal.raise_signal(signal.SIGUSR2)
    cfg = composed(*ALEXNET)
    with pytest.raises(Interrupted):
        train.run(cfg)
    assert not folder_of(cfg).config.exists()


def test_a_worker_that_is_stopped_within_a_run_saves_it_and_does_not_start_the_next(as_a_worker, composed, watch):
    cfg = composed(*ALEXNET)
    watch.at[1, 1] = raise_later(signal.SIGUSR2)
    with pytest.raises(Interrupted):
        train.run(cfg)
    assert folder_of(cfg).status["state"] == "interrupted"
    done = len(watch.steps)
    with pytest.raises(Interrupted):
        train.run(composed(*ALEXNET, "name=next"))
    assert len(watch.steps) == done
