"""The rank of this process among those that train one network."""

import os


def local_rank() -> int:
    """Return the rank of this process on its machine, as torchrun and Lightning set it; 0 for a single process."""
    return int(os.environ.get("LOCAL_RANK", 0))


def is_first_process() -> bool:
    """Return whether this process writes the run's files; the others only compute."""
    return local_rank() == 0 and int(os.environ.get("GROUP_RANK", 0)) == 0


def processes_of_torchrun() -> tuple[int, int] | None:
    """Return the numbers of machines, and of processes on each, that torchrun has started; None without torchrun."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    return int(os.environ["GROUP_WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
