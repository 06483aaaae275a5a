"""Which of several processes this is that train one network."""

import os


def local_rank() -> int:
    """Number this process among those on its machine, as torchrun and Lightning do; 0 where it is alone."""
    return int(os.environ.get("LOCAL_RANK", 0))


def is_first_process() -> bool:
    """Tell whether this process keeps the run's record; the others only compute."""
    return local_rank() == 0
