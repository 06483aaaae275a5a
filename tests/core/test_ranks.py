"""The processes that srun starts together get their ranks, and a single process has none."""

import os

import pytest

from bus_lightning.config.rules import check
from bus_lightning.core.errors import UserError
from bus_lightning.core.ranks import adopt_ranks_of_srun, is_first_process, processes_started_together, starter
from bus_lightning.launch import evaluate, train

STEP = {"SLURM_JOB_ID": "412", "SLURM_STEP_ID": "3", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2",
        "SLURM_STEP_TASKS_PER_NODE": "4(x2)", "SLURM_STEP_NODELIST": "gpu[07-08]", "SLURM_NODEID": "1",
        "SLURM_LOCALID": "2"}  # fmt: skip
RANKS = ("LOCAL_RANK", "GROUP_RANK", "RANK", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture
def step(monkeypatch):
    """Make the environment of a process of srun; without arguments, of the third one on the second of two machines."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for name in [*RANKS, "WORLD_SIZE", "TORCHELASTIC_RUN_ID"]:
        os.environ.pop(name, None)

    def make(**changes):
        os.environ |= STEP | changes

    return make


def test_a_process_of_srun_gets_the_variables_of_torchrun(step):
    step()
    adopt_ranks_of_srun()
    values = ("2", "1", "6", "4", "2", "gpu07", str(15000 + 31 * 412 % 10000 + 3))
    assert tuple(os.environ[name] for name in RANKS) == values
    assert (starter(), processes_started_together(), is_first_process()) == ("srun", (2, 4), False)


def test_the_first_process_of_srun_writes_the_run(step):
    step(SLURM_NODEID="0", SLURM_LOCALID="0")
    adopt_ranks_of_srun()
    assert is_first_process()


@pytest.mark.parametrize(
    ("machines", "first"),
    [("vm,vm-second", "vm"), ("gpu[7]", "gpu7"), ("n[10-12,20]-ib[3-4],cpu1", "n10-ib3"), ("login-a", "login-a")],
)
def test_the_processes_meet_on_the_first_machine(step, machines, first):
    step(SLURM_STEP_NODELIST=machines)
    adopt_ranks_of_srun()
    assert os.environ["MASTER_ADDR"] == first


def test_an_address_and_a_port_that_are_set_stay(step):
    step(MASTER_ADDR="10.0.0.1", MASTER_PORT="4000")
    adopt_ranks_of_srun()
    assert (os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]) == ("10.0.0.1", "4000")


def test_one_process_of_srun_and_a_torchrun_below_it_stay_as_they_are(step):
    step(SLURM_STEP_NUM_TASKS="1", SLURM_STEP_NUM_NODES="1", SLURM_NODEID="0", SLURM_LOCALID="0")
    adopt_ranks_of_srun()
    assert (starter(), processes_started_together()) == (None, None)
    step(TORCHELASTIC_RUN_ID="none", LOCAL_RANK="5", LOCAL_WORLD_SIZE="8", GROUP_WORLD_SIZE="1")
    adopt_ranks_of_srun()
    assert (starter(), os.environ["LOCAL_RANK"], processes_started_together()) == ("torchrun", "5", (1, 8))


@pytest.mark.parametrize(("processes", "each"), [("3", "2,1"), ("4", "3,1")])
def test_machines_with_different_numbers_of_processes_are_refused_in_one_line(step, capsys, processes, each):
    step(SLURM_STEP_NUM_TASKS=processes, SLURM_STEP_TASKS_PER_NODE=each)
    assert train.main() == 1
    expected = f"Error: srun has started {processes} processes on 2 machines: give it --ntasks-per-node.\n"
    assert capsys.readouterr().err == expected


def test_a_grid_is_not_started_once_for_each_process_of_srun(step, composed):
    step()
    adopt_ranks_of_srun()
    with pytest.raises(UserError, match="srun starts this grid in each of its processes: start a grid without srun"):
        check(composed("model=alexnet"), in_grid=True)


TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "LOCAL_RANK": "0", "GROUP_RANK": "0", "RANK": "0", "LOCAL_WORLD_SIZE": "1",
            "GROUP_WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("srun", "SLURM_STEP_NUM_TASKS", "many"),
        ("srun", "SLURM_STEP_NUM_NODES", "0"),
        ("srun", "SLURM_LOCALID", "-1"),
        ("srun", "SLURM_STEP_NODELIST", None),
        ("srun", "MASTER_PORT", "0"),
        ("torchrun", "LOCAL_RANK", ""),
        ("torchrun", "GROUP_WORLD_SIZE", None),
        ("torchrun", "RANK", None),
        ("torchrun", "MASTER_ADDR", None),
        ("torchrun", "MASTER_PORT", "port"),
        ("torchrun", "MASTER_PORT", "70000"),
    ],
)
def test_a_wrong_or_missing_variable_of_the_processes_is_one_line(step, capsys, kind, name, value):
    os.environ |= STEP if kind == "srun" else TORCHRUN
    os.environ.pop(name, None)
    os.environ |= {} if value is None else {name: value}
    assert train.main() == 1
    error = capsys.readouterr().err
    assert error.startswith(f"Error: {name}")
    assert "docs/grids.md" in error
    assert error.count("\n") == 1


def test_an_evaluation_with_a_wrong_rank_is_one_line(step, capsys):
    os.environ["LOCAL_RANK"] = "first"
    assert evaluate.main() == 1
    assert capsys.readouterr().err.startswith("Error: LOCAL_RANK=first is not a whole number")
