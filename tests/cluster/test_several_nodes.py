"""One run on two nodes of a real Slurm, started by srun: the same experiment as on one."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[2]
LIMIT_S = 400
ON_TWO = ("trainer=ddp", "trainer.devices=1", "trainer.num_nodes=2")


def train(arguments, *srun, env=()):
    """Run `train.py`, by srun if its options are given."""
    command = ["srun", *srun] if srun else []
    return subprocess.run([*command, sys.executable, "train.py", *arguments], cwd=ROOT, text=True, capture_output=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"} | dict(env), timeout=LIMIT_S)  # fmt: skip


def test_two_nodes_write_one_run_with_the_metrics_of_one_and_skip_it_when_it_is_complete(slurm, options_of_two):
    two_nodes = ("--partition=pair", "--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1", "--kill-on-bad-exit=1")
    alone, single = options_of_two("one")
    together, pair = options_of_two("two", *ON_TWO)
    assert train(alone).returncode == 0
    done = train(together, *two_nodes, "--label", env=slurm)
    assert done.returncode == 0, done.stderr
    writers = {line.partition(":")[0].strip() for line in done.stdout.splitlines()}
    assert writers == {"0"}  # the second process prints nothing
    assert "Test results" in done.stdout
    assert (pair.status["state"], pair.status["epochs"]) == ("complete", 1)
    assert sorted(path.name for path in pair.path.parent.iterdir() if path.is_dir()) == ["one", "two"]
    pd.testing.assert_frame_equal(pd.read_csv(pair.cases), pd.read_csv(single.cases), rtol=1e-3)
    again = train(together, *two_nodes, env=slurm)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("complete, skipped") == 1
    refused = train(alone, *two_nodes, env=slurm)
    expected = f"srun has started 1 processes on each of 2 machines: add {' '.join(ON_TWO)}."
    assert refused.returncode  # of the first process, or of the other one, which srun ends
    assert expected in refused.stderr
    assert "Traceback" not in refused.stderr
