"""The rank of this process among those that train one network."""

import os
import re

from bus_lightning.core.errors import UserError


def local_rank() -> int:
    """Return the rank of this process on its machine, as torchrun and Lightning set it; 0 for a single process."""
    return int(os.environ.get("LOCAL_RANK", 0))


def is_first_process() -> bool:
    """Return whether this process writes the run's files; the others only compute."""
    return local_rank() == 0 and int(os.environ.get("GROUP_RANK", 0)) == 0


def starter() -> str | None:
    """Return the program that has started the processes of one network together: torchrun, srun or None."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "torchrun"
    return "srun" if "GROUP_WORLD_SIZE" in os.environ else None


def processes_started_together() -> tuple[int, int] | None:
    """Return the numbers of machines and of processes on each, if torchrun or srun has started them; else None."""
    if starter() is None:
        return None
    return int(os.environ["GROUP_WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])


def adopt_ranks_of_srun() -> None:
    """Set the variables that torchrun sets, if srun has started several processes; Lightning and this module read them.

    Raises:
        UserError: If the machines have different numbers of processes.
    """
    processes = int(os.environ.get("SLURM_STEP_NUM_TASKS", 1))
    if processes == 1 or starter() == "torchrun":  # srun may start one torchrun on each machine
        return
    machines = int(os.environ["SLURM_STEP_NUM_NODES"])
    each, rest = divmod(processes, machines)
    if rest or "," in os.environ.get("SLURM_STEP_TASKS_PER_NODE", ""):  # such as "4(x2)", or "3,1" if they differ
        raise UserError(f"srun has started {processes} processes on {machines} machines: give it --ntasks-per-node.")
    node, local = int(os.environ["SLURM_NODEID"]), int(os.environ["SLURM_LOCALID"])
    numbers = {"LOCAL_RANK": local, "GROUP_RANK": node, "RANK": node * each + local}
    sizes = {"LOCAL_WORLD_SIZE": each, "GROUP_WORLD_SIZE": machines, "WORLD_SIZE": processes}
    os.environ |= {name: str(value) for name, value in (numbers | sizes).items()}
    os.environ.setdefault("MASTER_ADDR", _first_machine(os.environ["SLURM_STEP_NODELIST"]))
    # Steps that run at the same time, of one job or of several, should not meet at one port.
    step = 31 * int(os.environ["SLURM_JOB_ID"]) + int(os.environ["SLURM_STEP_ID"])
    os.environ.setdefault("MASTER_PORT", str(15000 + step % 10000))


def _first_machine(machines: str) -> str:
    """Return the first name of a list as Slurm writes it, such as `gpu07` of `gpu[07-09,12],cpu1`."""
    return re.sub(r"\[(\d+)[^]]*]", r"\1", machines).partition(",")[0]
