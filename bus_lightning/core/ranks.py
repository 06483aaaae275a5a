"""The rank of this process among those that train one network."""

import os


def local_rank() -> int:
    """Return the rank of this process on its machine, as torchrun and Lightning set it; 0 for a single process."""
    return int(os.environ.get("LOCAL_RANK", 0))


def is_first_process() -> bool:
    """Return whether this process writes the run's files; the others only compute."""
    return local_rank() == 0
