"""One run on two devices, here two processes on the CPU: the same experiment as on one."""

import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import warm
from held import CALLBACK, LIMIT_S, environment, is_gone, steps_of, wait_for

from bus_lightning.core.errors import UserError
from bus_lightning.data.dataset import EpochBatches, EpochSampler
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import train

ROOT = Path(__file__).parents[2]
EXACT = ["trainer.precision=32-true", "channels_last=false", "model=alexnet", "model.net.dropout=0.0"]


@pytest.fixture
def command(phantom, audit_cache, tmp_path):
    """Make the command line of a small training, and the folder that it writes."""

    def make(name, *overrides):
        fixed = [f"data.root={phantom}", f"data.cache={audit_cache}", f"runs_dir={tmp_path / 'runs'}", "group=mine",
                 f"name={name}", "data.size=64", "data.batch_size=8", "debug_size=true", "logger=csv",
                 "callbacks.progress=null", "trainer.max_epochs=2"]  # fmt: skip
        return ["train.py", *fixed, *overrides], RunDir(tmp_path / "runs" / "mine" / name)

    return make


def run(command):
    done = warm.run(command, ROOT, LIMIT_S, environment())
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_two_devices_see_the_same_images_and_give_the_metrics_of_one(command):
    single_command, single = command("one", *EXACT)
    together, two = command("two", *EXACT, "trainer=ddp")
    run(single_command)
    done = run(together)
    assert done.stdout.count("Test results") == 1, "the second process spoke, too"
    expected, actual = pd.read_csv(single.cases), pd.read_csv(two.cases)
    pd.testing.assert_frame_equal(actual, expected, rtol=1e-3)
    pd.testing.assert_frame_equal(pd.read_csv(two.history), pd.read_csv(single.history), rtol=1e-3)
    assert two.metrics["test"]["n"] == single.metrics["test"]["n"] == actual["split"].eq("test").sum()
    assert two.status["state"] == "complete"
    assert not two.last.exists()


@pytest.mark.slow
def test_two_devices_stopped_at_any_step_go_on_to_the_same_bits(command, tmp_path):
    overrides = ["model=alexnet", "trainer=ddp", "trainer.max_epochs=4", CALLBACK]
    holding = tmp_path / "waiting"
    holding.mkdir()
    whole, undisturbed = command("whole", *overrides)
    broken, disturbed = command("broken", *overrides)
    run(whole)
    process = warm.Process(broken, ROOT, environment(holding), new_session=True)
    wait_for(lambda: any(holding.iterdir()))
    process.send_signal(signal.SIGTERM)
    _, said_at_end = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 128 + signal.SIGTERM, said_at_end
    assert disturbed.status["state"] == "interrupted"
    assert "The same command" in said_at_end
    assert is_gone(process.pid), "a process was left behind"
    run(broken)
    assert disturbed.cases.read_bytes() == undisturbed.cases.read_bytes()
    assert disturbed.history.read_bytes() == undisturbed.history.read_bytes()
    assert steps_of(disturbed.path) == steps_of(undisturbed.path), "a step was repeated or left out"


@pytest.mark.slow
def test_two_devices_write_each_case_and_mask_once(command):
    together, two = command(
        "two", "model=u2net_lite", "trainer=ddp", "trainer.max_epochs=1", "data.split.val_from_train=1"
    )
    run(together)
    cases = pd.read_csv(two.cases)
    assert cases["id"].is_unique
    assert sorted(
        path.relative_to(two.masks).with_suffix("").as_posix() for path in two.masks.rglob("*.png")
    ) == sorted(cases["id"])
    assert torch.load(two.best, weights_only=True)["epoch"] == 0


@pytest.mark.parametrize(("images", "world"), [(53, 2), (50, 2), (64, 2), (33, 2), (37, 3)])
def test_every_image_of_an_epoch_goes_to_one_process(images, world):
    ids = [f"image {k}" for k in range(images)]
    shares = [
        list(EpochBatches(EpochSampler(ids, [0] * images, seed=0), 16, images % 16 == 1, rank, world))
        for rank in range(world)
    ]
    alone = list(EpochBatches(EpochSampler(ids, [0] * images, seed=0), 16, images % 16 == 1))
    assert len({len(share) for share in shares}) == 1, "a process would wait for ever"
    for step, batch in enumerate(alone):
        parts = [share[step] for share in shares]
        assert sorted(draw for part in parts for draw in part) == sorted(batch)
        assert np.ptp([len(part) for part in parts]) <= 1
        assert all(parts)


def test_several_devices_need_the_strategy_and_no_grid(composed):
    with pytest.raises(UserError, match="several devices need trainer=ddp"):
        train.run(composed("model=alexnet", "trainer.devices=2"))
    with pytest.raises(UserError, match="seed=null"):
        train.run(composed("model=alexnet", "trainer=ddp", "seed=null"))
    with pytest.raises(UserError, match="in a grid"):
        train.run(composed("model=alexnet", "trainer=ddp"), in_grid=True)
