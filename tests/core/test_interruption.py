"""Pull the plug in any way: what was complete stays whole, and the same command ends with the same bits."""

import signal

import pandas as pd
import pytest
import torch
from interrupted import ALEXNET, U2NET_LITE, kill, raise_later, results_of
from small_runs import folder_of

from bus_lightning.core.interruption import Interrupted
from bus_lightning.training import train

MOMENTS = [
    *((ALEXNET, signal.SIGTERM, moment) for moment in ((1, 1), (0, 0), (1, "last"), (1, "validation"), "test")),
    *((U2NET_LITE, signal.SIGTERM, moment) for moment in ((1, 1), (1, "last"), "test")),  # has no validation set
    (ALEXNET, signal.SIGINT, (1, 1)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("overrides", "number", "moment"), MOMENTS)
def test_a_stopped_run_saves_and_goes_on_to_the_same_bits(
    composed, undisturbed, watch, overrides, number, moment, caplog
):
    expected, steps = undisturbed(*overrides)
    per_epoch = len(steps) // 3
    cfg = composed(*overrides)
    watch.at[(1, per_epoch - 1) if moment == (1, "last") else moment] = raise_later(number)
    with pytest.raises(Interrupted) as stop:
        train.run(cfg)
    assert stop.value.code == 128 + number
    run = folder_of(cfg)
    assert run.status["state"] == "interrupted"
    assert run.last.is_file()
    assert "the same command continues it" in caplog.text
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    train.run(composed(*overrides))
    assert results_of(run) == expected
    assert watch.steps == steps, "a batch was repeated or left out"
    assert run.status["state"] == "complete"


def test_a_run_that_an_older_version_began_goes_on(composed, undisturbed, watch):
    expected, _ = undisturbed(*ALEXNET)
    watch.at[1, 2] = kill
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train.run(composed(*ALEXNET))
    run = folder_of(composed(*ALEXNET))
    checkpoint = torch.load(run.last, weights_only=True)
    del checkpoint["epoch_sums"], checkpoint["epoch_images"], checkpoint["BusDataModule"]
    checkpoint["callbacks"] = {key: state for key, state in checkpoint["callbacks"].items() if "Resume" not in key}
    torch.save(checkpoint, run.last)
    train.run(composed(*ALEXNET))
    assert results_of(run) == expected


@pytest.mark.slow
def test_a_job_that_one_launch_starts_twice_goes_on_in_spite_of_rerun(composed, undisturbed, watch):
    expected, steps = undisturbed(*ALEXNET)
    watch.at[1, 2] = raise_later(signal.SIGTERM)
    with pytest.raises(Interrupted):
        train.run(composed(*ALEXNET, "rerun=true"), launch="first")
    train.run(composed(*ALEXNET, "rerun=true"), launch="first")
    assert results_of(folder_of(composed(*ALEXNET))) == expected
    assert watch.steps == steps
    train.run(composed(*ALEXNET, "rerun=true"), launch="second")
    assert watch.steps == 2 * steps, "another launch starts afresh"


def test_a_second_ctrl_c_stops_at_once(composed, watch):
    cfg = composed(*ALEXNET)

    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it went on")

    watch.at[1, 1] = twice
    with pytest.raises(Interrupted):
        train.run(cfg)
    assert torch.load(folder_of(cfg).last, weights_only=True)["epoch"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides", [ALEXNET, U2NET_LITE, [*ALEXNET, "data.workers=2"]], ids=["alexnet", "u2net_lite", "workers"]
)
def test_a_killed_run_goes_on_from_the_last_epoch_to_the_same_bits(composed, undisturbed, watch, overrides):
    expected, steps = undisturbed(*overrides)
    watch.at[1, 2] = kill
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train.run(composed(*overrides))
    done = len(watch.steps)
    train.run(composed(*overrides))
    assert results_of(folder_of(composed(*overrides))) == expected
    assert watch.steps[done:] == [step for step in steps if step[0] >= 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [(), ("trainer.accumulate_grad_batches=3",), ("data.workers=2",), ("data.balance=oversample",)], ids=str
)
def test_a_checkpoint_within_an_epoch_neither_repeats_nor_leaves_out_a_batch(composed, undisturbed, watch, more):
    overrides = [*ALEXNET, "callbacks.checkpoint.every_n_train_steps=2", *more]
    expected, steps = undisturbed(*overrides)
    assert len(steps) // 3 > 6
    watch.at[1, 6] = kill
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train.run(composed(*overrides))
    done = len(watch.steps)
    train.run(composed(*overrides))
    first = watch.steps[done]
    assert first[0] == 1, "it began the epoch again"
    assert first[1] > 0, "it began the epoch again"
    assert watch.steps[done:] == steps[steps.index(first) :]
    assert results_of(folder_of(composed(*overrides))) == expected


@pytest.mark.slow
def test_an_early_stopped_run_that_was_killed_before_its_test_does_not_train_on(composed, undisturbed, watch):
    overrides = [*ALEXNET, "callbacks=early_stopping", "callbacks.progress=null", "callbacks.early_stopping.patience=1",
                 "callbacks.early_stopping.min_delta=1", "trainer.max_epochs=6"]  # fmt: skip
    expected, steps = undisturbed(*overrides)
    assert steps[-1][0] < 5
    watch.at["test"] = kill
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train.run(composed(*overrides))
    train.run(composed(*overrides))
    assert results_of(folder_of(composed(*overrides))) == expected
    assert watch.steps == steps


@pytest.mark.slow
def test_history_has_no_gap_and_no_repeated_row(composed, watch):
    cfg = composed(*ALEXNET)
    for moment in ((0, 1), (1, 3), (2, 2)):
        watch.at[moment] = raise_later(signal.SIGTERM)
        with pytest.raises(Interrupted):
            train.run(composed(*ALEXNET))
    train.run(cfg)
    assert pd.read_csv(folder_of(cfg).history)["epoch"].tolist() == [0, 1, 2]
