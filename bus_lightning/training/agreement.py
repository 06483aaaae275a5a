"""Processes that torchrun or srun starts together: the first one decides whether the run is trained, the others wait.

Lightning starts its own processes after this decision; those of torchrun and srun all begin at once, and would read the
run's folder while the first one clears it.
"""

import os
from contextlib import suppress
from datetime import timedelta
from functools import cache
from typing import Any

from bus_lightning.core.errors import UserError
from bus_lightning.core.ranks import processes_started_together, starter

_KEY = "bus_lightning/is_trained"
_CONNECT = timedelta(minutes=1)  # to a store that is open, or that this process opens
_START = timedelta(minutes=10)  # with srun, the first process opens the store, and may start later than the others
_WAIT = timedelta(hours=2)  # the first process may decode a large data set before it decides
_LEAVE = timedelta(minutes=10)  # the slowest of the others may start as much later


def open_store() -> None:
    """Open the store of the processes that srun has started; torchrun has opened its own.

    It stays open until this process ends.

    Raises:
        UserError: If the port is taken, or the address is not of this machine.
    """
    if starter() != "srun":
        return
    from torch.distributed import DistError  # not needed for a run on one device

    try:
        _store(opens=True)
    except DistError as error:
        raise UserError(f"No store can be opened at {_place()}: set MASTER_ADDR and MASTER_PORT for srun.") from error


def announce_decision(is_trained: bool) -> None:
    """Tell the other processes whether they train; does nothing if this process is alone.

    Raises:
        UserError: If torchrun has opened no store.
    """
    if not (started := processes_started_together()):
        return
    from torch.distributed import DistError

    by_srun = starter() == "srun"
    try:
        store = _store(opens=by_srun)
        store.set(_name(), str(is_trained))
    except DistError as error:
        raise UserError(f"torchrun has opened no store at {_place()}: start it as docs/grids.md shows.") from error
    if by_srun and not is_trained:  # this process ends now, and its store too; a training waits for the others anyway
        with suppress(DistError):
            store.wait([_name(rank) for rank in range(1, started[0] * started[1])], _LEAVE)


def await_decision() -> bool:
    """Wait until the first process has decided; if this process is alone, training has been decided.

    Raises:
        UserError: If the first process has ended before, or took too long.
    """
    if not processes_started_together():
        return True
    from torch.distributed import DistError

    try:
        store = _store(opens=False)
        decision: bytes = store.get(_name())
        store.set(_name(os.environ["RANK"]), "")
    except DistError as error:
        raise UserError(
            "The first process has ended before the training, or took too long; its output says why."
        ) from error
    return decision == b"True"


def _name(reader: int | str | None = None) -> str:
    """Name the decision, or the mark that a process has read it."""
    name = f"{_KEY}/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
    return name if reader is None else f"{name}/{reader}"


def _place() -> str:
    return f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"


@cache  # the store is closed with its last object
def _store(opens: bool) -> Any:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # documented, but not in its __all__

    store = TCPStore(
        os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=opens, wait_for_workers=False,
        timeout=_START if starter() == "srun" and not opens else _CONNECT, multi_tenant=opens,
    )  # fmt: skip
    store.set_timeout(_WAIT)
    return store
