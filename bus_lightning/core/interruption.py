"""Handle signals: outside of training, stop at once; during training, finish and save the running step first."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_STOPS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
# Slurm sends it through submitit shortly before the time limit, and we send it to workers when the command stops.
# It is handled only where a handler is installed.
WARNINGS = [getattr(signal, name) for name in ("SIGUSR2",) if hasattr(signal, name)]
_early: list[int] = []  # signals that a worker has received between two runs


class Interrupted(SystemExit):
    """A signal stops the process; as a SystemExit it also stops Hydra's grid.

    Args:
        number: The signal; the exit code is 128 more, as in shells.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let pickle send it from a worker process."""
        return Interrupted, (int(self.signal),)

    def __str__(self) -> str:
        return f"stopped by {self.signal.name}"


@contextmanager
def interruptible(received: list[int] | None = None, keyboard: bool = True) -> Iterator[None]:
    """Let SIGTERM and Ctrl-C raise `Interrupted` while the block runs, so that open files can be cleaned up.

    A handler that another library has installed stays. submitit ignores SIGTERM: Slurm sends it as a warning before it
    pre-empts a job, and does not queue a job again that ends at the warning.

    Args:
        received: Gets the signal, because some libraries replace `Interrupted` by another exception.
        keyboard: False leaves Ctrl-C as it is.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if before.get(number) is _keep:
            _keep(number, frame)  # the worker's next runs must not start
        if received is not None:
            received.append(number)
        raise Interrupted(number)

    free = [number for number in _STOPS if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)]
    free += [number for number in (*_STOPS, *WARNINGS) if signal.getsignal(number) is _keep]
    free = [number for number in free if keyboard or number != signal.SIGINT]
    before: dict[Any, Any] = {number: signal.getsignal(number) for number in free}
    _install(dict.fromkeys(free, stop))
    try:
        if _early:
            raise Interrupted(_early[0])
        yield
    finally:
        _install(before)


@contextmanager
def at_first_signal(react: Callable[[int], None]) -> Iterator[None]:
    """Call a function at the first SIGTERM or Ctrl-C while the block runs; a second one ends the process at once.

    In a thread, which gets no signals, nothing changes.

    Args:
        react: Gets the signal; it may raise.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        react(number)

    before = _install(dict.fromkeys((signal.SIGINT, signal.SIGTERM), stop))
    try:
        yield
    finally:
        _install(before)


def keep_signals() -> None:
    """Keep signals that a worker receives between two runs, so that its next run does not start.

    The signal must not end the worker: joblib kills all workers when one is missing.
    """
    for number in (*_STOPS, *WARNINGS):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _keep)


def _keep(number: int, frame: FrameType | None) -> None:
    _early.append(number)


class Deferral:
    """Hold signals back until training has saved its state, then raise them again.

    Attributes:
        received: The held signal; a warning comes before others, because it has a handler. None without one.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._meant = False  # whether a signal other than a warning was received
        self._before: dict[Any, Any] = {}

    def hold(self) -> None:
        """Hold signals back from now on, except ignored ones and warnings without a handler."""
        if not self._before:
            held = [number for number in _STOPS if signal.getsignal(number) != signal.SIG_IGN]
            held += [number for number in WARNINGS if callable(signal.getsignal(number))]
            self._before = _install(dict.fromkeys(held, self._note))

    def release(self) -> None:
        """Stop holding signals back, and raise the held one."""
        if (number := self.drop()) is not None:
            signal.raise_signal(number)

    def drop(self) -> int | None:
        """Stop holding signals back, and return the held one."""
        before, self._before = self._before, {}
        _install(before)
        number, self.received, self._meant = self.received, None, False
        return number

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number not in WARNINGS and self._meant:  # the second one: stop at once
            self.release()
            return
        first = self.received is None
        self._meant = self._meant or number not in WARNINGS
        if first or number in WARNINGS:
            self.received = number
        if not first:
            return
        # Not through a logger: the interrupted code may hold its lock.
        name = signal.Signals(number).name
        os.write(2, f"{name}: finishing this step and saving, then stopping; repeat to stop at once.\n".encode())


def leave_to_the_parent(worker: int) -> None:
    """Ignore signals in a process that reads data: the parent gets them too, and still needs its batches."""
    for number in (*_STOPS, *WARNINGS):
        signal.signal(number, signal.SIG_IGN)


def _install(handlers: dict[Any, Any]) -> dict[Any, Any]:
    """Install signal handlers and return the previous ones; nothing happens in a thread, where Python forbids it."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler) for number, handler in handlers.items()}
