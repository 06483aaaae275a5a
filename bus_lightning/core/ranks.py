"""The rank of this process among those that train one network.

Every function here raises a UserError, in one line, for a variable that is missing or impossible.
"""

import os
import re

from bus_lightning.core.errors import UserError


def local_rank() -> int:
    """Return the rank of this process on its machine, as torchrun and Lightning set it; 0 for a single process."""
    return _number("LOCAL_RANK", "0")


def is_first_process() -> bool:
    """Return whether this process writes the run's files; the others only compute."""
    return local_rank() == 0 and _number("GROUP_RANK", "0") == 0


def starter() -> str | None:
    """Return the program that has started the processes of one network together: torchrun, srun or None."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "torchrun"
    return "srun" if "GROUP_WORLD_SIZE" in os.environ else None


def processes_started_together() -> tuple[int, int] | None:
    """Return the numbers of machines and of processes on each, if torchrun or srun has started them; else None."""
    if starter() is None:
        return None
    return _number("GROUP_WORLD_SIZE", least=1), _number("LOCAL_WORLD_SIZE", least=1)


def check_ranks() -> None:
    """Check all variables that say which process this is, and where the processes meet."""
    is_first_process()
    if processes_started_together():
        _number("RANK")
        _text("MASTER_ADDR")
        _number("MASTER_PORT", least=1, most=65535)


def adopt_ranks_of_srun() -> None:
    """Set the variables that torchrun sets, if srun has started several processes; Lightning and this module read them.

    Raises:
        UserError: If the machines have different numbers of processes, or a variable is missing or impossible.
    """
    processes = _number("SLURM_STEP_NUM_TASKS", "1", least=1)
    if processes == 1 or starter() == "torchrun":  # srun may start one torchrun on each machine
        return
    machines = _number("SLURM_STEP_NUM_NODES", least=1)
    each, rest = divmod(processes, machines)
    if rest or "," in os.environ.get("SLURM_STEP_TASKS_PER_NODE", ""):  # such as "4(x2)", or "3,1" if they differ
        raise UserError(f"srun has started {processes} processes on {machines} machines: give it --ntasks-per-node.")
    node, local = _number("SLURM_NODEID"), _number("SLURM_LOCALID")
    numbers = {"LOCAL_RANK": local, "GROUP_RANK": node, "RANK": node * each + local}
    sizes = {"LOCAL_WORLD_SIZE": each, "GROUP_WORLD_SIZE": machines, "WORLD_SIZE": processes}
    os.environ |= {name: str(value) for name, value in (numbers | sizes).items()}
    os.environ.setdefault("MASTER_ADDR", _first_machine(_text("SLURM_STEP_NODELIST")))
    # Steps that run at the same time, of one job or of several, should not meet at one port.
    step = 31 * _number("SLURM_JOB_ID") + _number("SLURM_STEP_ID")
    os.environ.setdefault("MASTER_PORT", str(15000 + step % 10000))


def _text(name: str) -> str:
    """Return a variable that is set where processes are started together; by hand, one may be left out."""
    if not (value := os.environ.get(name)):
        raise _wrong(f"{name} is not set")
    return value


def _number(name: str, default: str | None = None, least: int = 0, most: int = 10**18) -> int:
    """Return a variable that is a whole number from `least` to `most`."""
    value = default if default is not None and name not in os.environ else _text(name)
    if not re.fullmatch("[0-9]{1,18}", value) or not least <= int(value) <= most:
        raise _wrong(f"{name}={value} is not a whole number in its range")
    return int(value)


def _wrong(problem: str) -> UserError:
    return UserError(
        f"{problem}, which torchrun or srun sets for each process: start the command with one of them as docs/grids.md "
        "shows, or unset their variables."
    )


def _first_machine(machines: str) -> str:
    """Return the first name of a list as Slurm writes it, such as `gpu07` of `gpu[07-09,12],cpu1`."""
    return re.sub(r"\[(\d+)[^]]*]", r"\1", machines).partition(",")[0]
