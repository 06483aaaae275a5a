"""Interruptions: outside of training they stop at once, within it after the running step, when all is saved."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_STOPS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
# Slurm's way, through submitit, to say that the time is nearly over, and ours to tell workers that the command stops.
# Where nobody listens to it, it is left alone.
WARNINGS = [getattr(signal, name) for name in ("SIGUSR2",) if hasattr(signal, name)]
_early: list[int] = []  # what has come to a worker while it had no run


class Interrupted(SystemExit):
    """A signal stops the process; as a SystemExit it also stops Hydra's grid.

    Args:
        number: The signal; the exit code is 128 more, as shells have it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way from a worker process."""
        return Interrupted, (int(self.signal),)

    def __str__(self) -> str:
        return f"stopped by {self.signal.name}"


@contextmanager
def interruptible(received: list[int] | None = None) -> Iterator[None]:
    """Let SIGTERM and Ctrl-C raise `Interrupted` while the block runs, so that whoever holds a file can clean up.

    A handler that somebody installed stays. submitit lets SIGTERM pass: Slurm warns with it before it pre-empts a job,
    and does not queue a job again that ends at the warning.

    Args:
        received: Gets the signal, for callers of libraries that make something else of `Interrupted`.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if before.get(number) is _keep:
            _keep(number, frame)  # for the worker's next runs, which are not to start
        if received is not None:
            received.append(number)
        raise Interrupted(number)

    free = [number for number in _STOPS if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)]
    free += [number for number in (*_STOPS, *WARNINGS) if signal.getsignal(number) is _keep]
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
    """Keep the signals that come to a worker between two runs for the next one, which then does not start.

    A worker that a signal ends would take the others with it: joblib kills them when one is missing.
    """
    for number in (*_STOPS, *WARNINGS):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _keep)


def _keep(number: int, frame: FrameType | None) -> None:
    _early.append(number)


class Deferral:
    """Hold signals back until training has saved its state, then let them do what they would have done.

    Attributes:
        received: The signal that waits, a warning before others, for somebody listens to it; None without one.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._meant = False  # whether one of them was no mere warning
        self._before: dict[Any, Any] = {}

    def hold(self) -> None:
        """Hold signals back from now on, but for those that are ignored, or warnings that nobody listens to."""
        if not self._before:
            held = [number for number in _STOPS if signal.getsignal(number) != signal.SIG_IGN]
            held += [number for number in WARNINGS if callable(signal.getsignal(number))]
            self._before = _install(dict.fromkeys(held, self._note))

    def release(self) -> None:
        """Hold no more signals back, and let the one that waited come through."""
        if (number := self.drop()) is not None:
            signal.raise_signal(number)

    def drop(self) -> int | None:
        """Hold no more signals back, and return the one that waited."""
        before, self._before = self._before, {}
        _install(before)
        number, self.received, self._meant = self.received, None, False
        return number

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number not in WARNINGS and self._meant:  # the second time somebody means it
            self.release()
            return
        first = self.received is None
        self._meant = self._meant or number not in WARNINGS
        if first or number in WARNINGS:
            self.received = number
        if not first:
            return
        # Not through a logger, whose locks whatever was interrupted may hold.
        name = signal.Signals(number).name
        os.write(2, f"{name}: stopping after this step, when its state is saved; again to stop at once.\n".encode())


def leave_to_the_parent(worker: int) -> None:
    """Ignore signals in a process that reads data: a whole group gets them, and the parent still needs its batches."""
    for number in (*_STOPS, *WARNINGS):
        signal.signal(number, signal.SIG_IGN)


def _install(handlers: dict[Any, Any]) -> dict[Any, Any]:
    """Install signal handlers and return those that were there; none in a thread, which Python forbids."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler) for number, handler in handlers.items()}
