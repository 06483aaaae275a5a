"""The processes that srun starts agree on whether a run is trained, and none waits for one that has ended."""

import os
import socket
import subprocess
import sys

import pytest

LIMIT_S = 200
PROCESS = """
import sys
from datetime import timedelta
from bus_lightning.core.errors import UserError
from bus_lightning.core.ranks import adopt_ranks_of_srun
from bus_lightning.training import agreement
from bus_lightning.training.agreement import _store, announce_decision, await_decision, open_store

adopt_ranks_of_srun()
try:
    for step in sys.argv[1:]:
        if step == "hurry":
            agreement._CONNECT = timedelta(seconds=2)
        elif step == "open":
            open_store()
            print("opened", flush=True)
        elif step == "meet":  # both are connected
            _store(opens="open" in sys.argv).set(f"{'open' in sys.argv}", "")
            _store(opens="open" in sys.argv).wait(["True", "False"])
        elif step == "skip":
            announce_decision(is_trained=False)
        elif step == "wait":
            print("trains" if await_decision() else "skips")
except UserError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(node, port, *steps, address="127.0.0.1"):
    """Start a process as srun does on one of two nodes."""
    step = {"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "2",
            "SLURM_STEP_TASKS_PER_NODE": "1(x2)", "SLURM_STEP_NODELIST": "vm[1-2]", "SLURM_NODEID": str(node),
            "SLURM_LOCALID": "0", "MASTER_ADDR": address, "MASTER_PORT": str(port)}  # fmt: skip
    return subprocess.Popen([sys.executable, "-c", PROCESS, *steps], env=os.environ | step, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip


def end(process):
    out, err = process.communicate(timeout=LIMIT_S)
    return process.returncode, out.strip(), err.strip().splitlines()[-1:]


@pytest.mark.slow
def test_the_first_process_stays_until_the_others_know_that_the_run_is_skipped(port):
    first = start(0, port, "open", "skip")
    assert first.stdout.readline() == "opened\n"
    other = start(1, port, "wait")  # it comes late
    assert end(other) == (0, "skips", [])
    assert end(first)[0] == 0


def test_a_first_process_that_ends_before_its_decision_ends_the_others(port):
    first, other = start(0, port, "open", "meet"), start(1, port, "meet", "wait")
    assert end(first)[0] == 0
    code, out, (line,) = end(other)
    assert (code, out) == (1, "")
    assert line == "The first process has ended before the training, or took too long; its output says why."


def test_a_port_that_is_taken_is_named_with_the_variables_to_set():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, (line,) = end(start(0, port, "open"))
    assert code == 1
    assert line == f"No store can be opened at 127.0.0.1:{port}: set MASTER_ADDR and MASTER_PORT for srun."


@pytest.mark.slow
def test_a_first_process_at_an_unknown_address_fails_at_once(port):
    code, _, (line,) = end(start(0, port, "hurry", "open", address="no-machine.invalid"))
    assert code == 1
    assert line == f"No store can be opened at no-machine.invalid:{port}: set MASTER_ADDR and MASTER_PORT for srun."
