"""No visitor of the page can stop the others: who gets a turn, and what ends it."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.page.turns import Turns
from bus_lightning.diagnosis.page.visitors import Visitors


class Desk:
    """Turns with real threads, and visitors whose streams stay open until they leave."""

    def __init__(self, pool, at_once=2, **bounds):
        self.visitors = Visitors()
        self.turns = Turns(pool, at_once, self.visitors, **bounds)
        self.order, self.streams = [], {}
        self.go_on = threading.Event()  # ends the work that waits

    async def enter(self, visitor, path="/gradio_api/queue/data"):
        """Open a visitor's stream; cancelling the task that is returned closes it."""
        is_open = asyncio.Event()

        async def app(scope, receive, send):
            is_open.set()
            await asyncio.Event().wait()

        query = f"session_hash={visitor}".encode()
        scope = {"type": "http", "path": path, "query_string": query}
        task = asyncio.create_task(self.visitors.watch(app)(scope, None, None))
        self.streams.setdefault(visitor, []).append(task)
        await is_open.wait()
        return task

    def ask(self, visitor, address="a", waits=False, name=None, until=None):
        """Ask for a turn: its work notes its name, and may wait until it is stopped or `until` or `go_on` is set."""
        until = until or self.go_on

        def work(stop):
            self.order.append(name or visitor)
            while waits and not (until.is_set() or self.go_on.is_set()):
                if stop.wait(0.01):
                    raise UserError("stopped")
            return visitor

        return asyncio.create_task(self.turns.run(visitor, address, work))

    async def close(self):
        self.go_on.set()
        for task in [task for tasks in self.streams.values() for task in tasks]:
            task.cancel()
        await asyncio.sleep(0)


@asynccontextmanager
async def desk(**bounds):
    with ThreadPoolExecutor(8) as pool:
        opened = Desk(pool, **bounds)
        async with asyncio.timeout(60):
            try:
                yield opened
            finally:
                await opened.close()


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


def test_a_visitor_with_many_images_waits_behind_one_with_a_single_image():
    async def attempt():
        async with desk(quick_s=60) as visit:
            for visitor in ("busy", "second", "third"):
                await visit.enter(visitor)
            first = visit.ask("busy", waits=True, name="busy 1")
            await until(lambda: visit.order == ["busy 1"])
            rest = [visit.ask("busy", name="busy 2"), visit.ask("busy", name="busy 3"), visit.ask("second")]
            assert await rest[2] == "second"  # the second place is not for the busy one
            assert visit.order == ["busy 1", "second"]
            visit.go_on.set()
            await asyncio.gather(first, *rest)
            assert visit.order == ["busy 1", "second", "busy 2", "busy 3"]

    asyncio.run(attempt())


def test_a_second_question_of_a_visitor_comes_after_the_first_ones_of_others():
    async def attempt():
        async with desk(quick_s=60) as visit:
            for visitor in ("busy", "long", "third"):
                await visit.enter(visitor)
            ends = threading.Event()
            tasks = [visit.ask("busy", waits=True, name="busy 1", until=ends), visit.ask("long", waits=True)]
            await until(lambda: len(visit.order) == 2)
            tasks += [visit.ask("busy", name="busy 2"), visit.ask("third")]
            await asyncio.sleep(0.05)
            ends.set()
            await until(lambda: len(visit.order) == 4)
            assert visit.order[2:] == ["third", "busy 2"]
            visit.go_on.set()
            await asyncio.gather(*tasks)

    asyncio.run(attempt())


def test_of_two_addresses_the_one_with_fewer_turns_comes_first():
    async def attempt():
        async with desk(quick_s=60) as visit:
            for visitor in ("a1", "a2", "a3", "b1"):
                await visit.enter(visitor)
            running = [visit.ask("a1", waits=True), visit.ask("a2", waits=True)]
            await until(lambda: len(visit.order) == 2)
            waiting = [visit.ask("a3"), visit.ask("b1", address="b")]
            await asyncio.sleep(0.05)
            visit.go_on.set()
            await asyncio.gather(*running, *waiting)
            assert visit.order[2:] == ["b1", "a3"]

    asyncio.run(attempt())


def test_slow_work_leaves_a_place_to_the_others_and_is_done_later():
    async def attempt():
        async with desk(quick_s=0.2) as visit:
            for number in range(4):
                await visit.enter(f"slow {number}")
            await visit.enter("quick")
            slow = [visit.ask(f"slow {number}", waits=True) for number in range(4)]
            await until(lambda: len(visit.order) >= 2)
            for _ in range(6):
                assert await visit.ask("quick") == "quick"  # although all places were taken, and none of the slow ends
            assert not any(task.done() for task in slow)
            visit.go_on.set()
            assert await asyncio.gather(*slow) == [f"slow {number}" for number in range(4)]
            assert all(visit.order.count(f"slow {number}") <= 2 for number in range(4))  # sent back once, at most

    asyncio.run(attempt())


def test_all_work_of_a_visitor_ends_when_the_visitor_leaves():
    async def attempt():
        async with desk(quick_s=60) as visit:
            stream = await visit.enter("gone")
            heartbeat = await visit.enter("gone", path="/gradio_api/heartbeat/gone")
            running, waiting = visit.ask("gone", waits=True), visit.ask("gone")
            await until(lambda: visit.order == ["gone"])
            stream.cancel()
            await asyncio.sleep(0.1)
            assert not running.done()  # the page is still open
            heartbeat.cancel()
            for task in (running, waiting):
                with pytest.raises(UserError):
                    await task
            assert visit.order == ["gone"]

    asyncio.run(attempt())


def test_no_work_is_done_for_a_visitor_without_an_open_answer():
    async def attempt():
        async with desk(unheard_s=0.2) as visit:
            await visit.enter("only open", path="/gradio_api/heartbeat/only open")
            for visitor in ("absent", "only open"):
                with pytest.raises(UserError, match="left"):
                    await visit.ask(visitor)
            assert visit.order == []
            late = visit.ask("late")
            await asyncio.sleep(0.05)
            await visit.enter("late")
            assert await late == "late"

    asyncio.run(attempt())


def test_no_work_is_done_for_a_visitor_who_does_not_read_the_last_answer():
    async def attempt():
        async with desk(unheard_s=0.3) as visit:

            async def app(scope, receive, send):
                await send({})

            async def send(message):
                await asyncio.Event().wait()  # the connection is full

            scope = {"type": "http", "path": "/gradio_api/queue/data", "query_string": b"session_hash=stuck"}
            stream = asyncio.create_task(visit.visitors.watch(app)(scope, None, send))
            await asyncio.sleep(0.05)
            with pytest.raises(UserError, match="left"):
                await visit.ask("stuck")
            stream.cancel()

    asyncio.run(attempt())


def test_too_much_is_refused_in_one_line():
    async def attempt():
        async with desk(quick_s=60, waiting=8, per_visitor=3) as visit:
            for visitor in ("x", "y"):
                await visit.enter(visitor)
            own = [visit.ask("x", waits=True) for _ in range(3)] + [visit.ask("y", waits=True)]
            await until(lambda: len(visit.order) == 2)
            with pytest.raises(UserError, match="earlier images still wait"):
                await visit.ask("x")
            # Two of x wait, and two others from the same address may.
            others = [visit.ask(f"z{number}") for number in range(3)]
            await asyncio.sleep(0.05)
            assert [task.done() for task in others] == [False, False, True]
            assert "Too many images wait" in str(others[2].exception())
            elsewhere = [visit.ask(f"w{number}", address="b") for number in range(4)]
            last = visit.ask("last", address="c")
            await asyncio.sleep(0.05)
            assert [task.done() for task in elsewhere] == [False] * 4
            assert "Too many images wait" in str(last.exception())
            for task in own + others + elsewhere:
                task.cancel()

    asyncio.run(attempt())


def test_visitors_who_ask_without_an_open_answer_are_few_and_soon_forgotten():
    async def attempt():
        left, passed = [], []

        async def app(scope, receive, send):
            passed.append((await receive())["body"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        async def ask(body):
            sent = []

            async def receive():
                return {"type": "http.request", "body": body, "more_body": False}

            async def send(message):
                sent.append(message)

            await watched({"type": "http", "path": "/gradio_api/queue/join", "query_string": b""}, receive, send)
            return sent[0]["status"]

        def question(visitor):
            return json.dumps({"session_hash": visitor}).encode()

        visitors = Visitors(most_expected=2, expected_s=0.05)
        visitors.on_leaving.append(left.append)
        watched = visitors.watch(app)
        assert [await ask(question(visitor)) for visitor in ("a", "b", "c", "a")] == [200, 200, 503, 200]
        for wrong in (
            b"",
            b"{}",
            b"[]",
            b"1",
            b"[" * 50_000,
            question(None),
            question(3),
            question("a" * 65),
            question("a b"),
        ):
            assert await ask(wrong) == 400
        with visitors._open("a", has_answers=True):
            assert await ask(question("c")) == 200  # instead of a, who listens
            await asyncio.sleep(0.1)
            visitors.sweep()
            assert left == ["b", "c"]
        assert left == ["b", "c", "a"]
        assert len(passed) == 4

    asyncio.run(attempt())
