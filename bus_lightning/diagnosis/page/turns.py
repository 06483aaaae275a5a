"""Give the visitors turns at what takes long, so that none of them can stop the others."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.page.visitors import Visitors

_QUICK_S = 2.0  # nearly every image takes less
_UNHEARD_S = 10.0  # a browser listens for the answer at once
_MOST_WAITING, _MOST_OF_VISITOR = 64, 4
_TOO_MANY = "Too many images wait at the moment: try again in a minute."
_WAIT = "Your earlier images still wait: give more when they are answered."
_LEFT = "The visitor has left."
T = TypeVar("T")


@dataclass(eq=False)
class _Turn:
    """A turn that is waited for, or taken."""

    visitor: str
    address: str
    place: int  # in the order of waiting
    start: asyncio.Future[None]
    stop: threading.Event = field(default_factory=threading.Event)  # ends the work
    began: float | None = None  # in the event loop's time
    is_slow: bool = False
    is_sent_back: bool = False

    def fail(self, line: str) -> None:
        """End it: the visitor gets a line."""
        self.stop.set()
        if not self.start.done():
            self.start.set_exception(UserError(line))


class Turns:
    """A fair queue in front of a pool of threads; everything here runs in one event loop.

    A visitor has one turn at a time, in the order of waiting; of two addresses, the one with fewer turns comes first. A
    visitor who does not listen for the answer waits, and one who leaves loses all turns. Slow work never keeps all
    places: if all running work has lasted longer than `quick_s` while others wait, the latest is stopped and repeated
    later. Work is sent back only once.

    Args:
        threads: Where the work runs.
        at_once: Places, at least 2.
        visitors: Who listens, and who leaves.
        waiting: Turns that may be waited for, half of them from one address, and `per_visitor` by one visitor.
        quick_s: Seconds after which work is slow.
        unheard_s: Seconds within which a visitor must begin to listen.
    """

    def __init__(
        self, threads: Executor, at_once: int, visitors: Visitors, waiting: int = _MOST_WAITING,
        per_visitor: int = _MOST_OF_VISITOR, quick_s: float = _QUICK_S, unheard_s: float = _UNHEARD_S,
    ) -> None:  # fmt: skip
        self._threads, self._at_once, self._is_listening = threads, at_once, visitors.is_listening
        self._most_waiting, self._most_of_visitor = waiting, per_visitor
        self._quick_s, self._unheard_s = quick_s, unheard_s
        self._waiting: list[_Turn] = []
        self._running: list[_Turn] = []
        self._places = count()
        self._timer: asyncio.TimerHandle | None = None  # of the next look, while others wait
        visitors.on_listening.append(lambda _: self._look())
        visitors.on_leaving.append(self._leave)

    async def run(self, visitor: str, address: str, work: Callable[[threading.Event], T]) -> T:
        """Do a visitor's work when it is its turn; `work` gets an event that is set when it must end early.

        Raises:
            UserError: When too much waits, or the visitor leaves; and what `work` raises.
        """
        self._check_room(visitor, address)
        loop = asyncio.get_running_loop()
        turn = _Turn(visitor, address, next(self._places), loop.create_future())
        unheard = loop.call_later(self._unheard_s, self._end_if_unheard, turn)
        try:
            while True:
                await self._wait(turn)
                try:
                    return await loop.run_in_executor(self._threads, work, turn.stop)
                except UserError:
                    if not turn.is_sent_back:
                        raise
                finally:
                    self._running.remove(turn)
                    self._renew(visitor)
                    self._look()
                turn = _Turn(visitor, address, next(self._places), loop.create_future(), is_slow=True)
        finally:
            unheard.cancel()

    def _leave(self, visitor: str) -> None:
        """End all turns of a visitor."""
        for turn in [*self._waiting, *self._running]:
            if turn.visitor == visitor:
                turn.is_sent_back = False
                turn.fail(_LEFT)

    def _look(self) -> None:
        """Start what can start."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while len(self._running) < self._at_once and (turn := self._next()) is not None:
            turn.began = loop.time()
            self._waiting.remove(turn)
            self._running.append(turn)
            turn.start.set_result(None)
        if self._next() is not None:
            self._send_back()

    async def _wait(self, turn: _Turn) -> None:
        """Wait until a turn has begun; it is then one of those that run."""
        self._waiting.append(turn)
        self._look()
        try:
            await turn.start
        except BaseException:
            if turn in self._running:  # cancelled when it had just begun
                self._running.remove(turn)
            self._waiting = [other for other in self._waiting if other is not turn]
            raise

    def _next(self) -> _Turn | None:
        """Choose who is next."""
        busy = {turn.visitor for turn in self._running}
        takes_slow = sum(self._is_slow(turn) for turn in self._running) < self._at_once - 1
        ready = [
            turn for turn in self._waiting
            if turn.visitor not in busy and (takes_slow or not turn.is_slow) and not turn.start.done()
            and self._is_listening(turn.visitor)
        ]  # fmt: skip
        return min(ready, key=lambda turn: (self._running_from(turn.address), turn.place), default=None)

    def _send_back(self) -> None:
        """Free a place if slow work has all of them, now or as soon as the next quick one has become slow."""
        if any(turn.is_sent_back for turn in self._running):  # it is about to end
            return
        loop = asyncio.get_running_loop()
        quick = [turn for turn in self._running if not self._is_slow(turn)]
        if quick:
            begins = min(turn.began or 0.0 for turn in quick)
            self._timer = loop.call_later(max(0.01, begins + self._quick_s - loop.time()), self._look)
            return
        # Work that was sent back before is not sent back again.
        latest = max(self._running, key=lambda turn: (not turn.is_slow, turn.began or 0.0))
        latest.is_sent_back = True
        latest.stop.set()

    def _is_slow(self, turn: _Turn) -> bool:
        return turn.is_slow or asyncio.get_running_loop().time() - (turn.began or 0.0) >= self._quick_s

    def _running_from(self, address: str) -> int:
        return sum(turn.address == address for turn in self._running)

    def _renew(self, visitor: str) -> None:
        """Put what a visitor still waits for behind what the others wait for."""
        for turn in self._waiting:
            if turn.visitor == visitor:
                turn.place = next(self._places)

    def _check_room(self, visitor: str, address: str) -> None:
        of_visitor = sum(turn.visitor == visitor for turn in [*self._waiting, *self._running])
        if of_visitor >= self._most_of_visitor:
            raise UserError(_WAIT)
        from_address = sum(turn.address == address for turn in self._waiting)
        if len(self._waiting) >= self._most_waiting or from_address >= self._most_waiting // 2:
            raise UserError(_TOO_MANY)

    def _end_if_unheard(self, turn: _Turn) -> None:
        if turn in self._waiting and not self._is_listening(turn.visitor):
            turn.fail(_LEFT)
