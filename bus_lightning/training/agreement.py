"""Processes that torchrun starts together: the first one decides whether the run is trained, the others wait for it.

Lightning starts its own processes after this decision; those of torchrun all begin at once, and would read the run's
folder while the first one clears it.
"""

import os
from datetime import timedelta
from typing import Any

from bus_lightning.core.errors import UserError
from bus_lightning.core.ranks import processes_of_torchrun

_KEY = "bus_lightning/is_trained"
_CONNECT = timedelta(minutes=1)  # torchrun has opened the store before; later it is gone
_WAIT = timedelta(hours=2)  # the first process may decode a large data set before it decides


def announce_decision(is_trained: bool) -> None:
    """Tell the other processes of torchrun whether they train; does nothing without torchrun.

    Raises:
        UserError: If torchrun has opened no store.
    """
    if not processes_of_torchrun():
        return
    from torch.distributed import DistError  # not needed for a run on one device

    try:
        _store().set(_name(), str(is_trained))
    except DistError as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise UserError(f"torchrun has opened no store at {where}: start it as docs/grids.md shows.") from error


def await_decision() -> bool:
    """Wait until the first process of torchrun has decided; without torchrun, training has been decided.

    Raises:
        UserError: If the first process has ended before, or took too long.
    """
    if not processes_of_torchrun():
        return True
    from torch.distributed import DistError

    try:
        decision: bytes = _store().get(_name())
    except DistError as error:
        raise UserError(
            "The first process has ended before the training, or took too long; its output says why."
        ) from error
    return decision == b"True"


def _name() -> str:
    return f"{_KEY}/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"


def _store() -> Any:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # documented, but not in its __all__

    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=_CONNECT)
    store.set_timeout(_WAIT)
    return store
