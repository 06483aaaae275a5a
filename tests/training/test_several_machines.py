"""One run on two machines, here two torchrun on this one: the same experiment as on one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from held import LIMIT_S, environment

from bus_lightning.core.errors import UserError
from bus_lightning.training import train

ROOT = Path(__file__).parents[2]
ON_TWO = ("trainer=ddp", "trainer.devices=1", "trainer.num_nodes=2")


def on_two_machines(arguments):
    """Start the same command by a torchrun for each machine; return exit code, stdout and stderr of both."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1",
             "--master_addr=127.0.0.1", f"--master_port={port}"]  # fmt: skip
    processes = [
        subprocess.Popen([*start, f"--node_rank={rank}", "train.py", *arguments], cwd=ROOT, text=True,
                         env=environment() | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for rank in (0, 1)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=LIMIT_S) for process in processes]
    return [(process.returncode, *texts) for process, texts in zip(processes, outputs, strict=True)]


@pytest.mark.slow
def test_two_machines_give_the_metrics_of_one_and_a_complete_run_is_skipped_on_both(options_of_two):
    single_options, single = options_of_two("one")
    together, two = options_of_two("two", *ON_TWO)
    subprocess.run(
        [sys.executable, "train.py", *single_options], cwd=ROOT, check=True, timeout=LIMIT_S, env=environment()
    )
    (first_code, first_said, first_log), (other_code, other_said, other_log) = on_two_machines(together)
    assert (first_code, other_code) == (0, 0), first_log + other_log
    assert "Test results" in first_said
    assert "Test results" not in other_said
    pd.testing.assert_frame_equal(pd.read_csv(two.cases), pd.read_csv(single.cases), rtol=1e-3)
    assert two.status["state"] == "complete"
    again = on_two_machines(together)
    assert [code for code, *_ in again] == [0, 0]
    assert "complete, skipped" in again[0][2]


def test_numbers_that_differ_from_those_of_torchrun_are_refused_with_the_options_to_add(composed, monkeypatch):
    with pytest.raises(UserError, match=r"trainer.num_nodes=2: start the same command on each machine with torchrun"):
        train.run(composed("model=alexnet", *ON_TWO))
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "GROUP_WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setitem(os.environ, name, value)
    expected = r"4 processes on each of 2 machines: add trainer=ddp trainer\.devices=4 trainer\.num_nodes=2\."
    with pytest.raises(UserError, match=expected):
        train.run(composed("model=alexnet"))


def test_a_grid_stays_on_one_machine(composed):
    with pytest.raises(UserError, match="in a grid"):
        train.run(composed("model=alexnet", *ON_TWO), in_grid=True)
