"""Put the page together as one ASGI application: Gradio, the uploads, and what bounds them."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI

from bus_lightning.diagnosis.decoding import Decoders
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.page.asgi import Receive, Scope, Send
from bus_lightning.diagnosis.page.building import FOLDER, build_page, forget, make_theme
from bus_lightning.diagnosis.page.failures import replace_tracebacks
from bus_lightning.diagnosis.page.kept import Kept
from bus_lightning.diagnosis.page.turns import Turns
from bus_lightning.diagnosis.page.uploads import PATH, Uploads
from bus_lightning.diagnosis.page.visitors import Visitors

_SWEEP_S = 5.0


class Application:
    """The page; it needs `Doors` in front of it, because Gradio has many more routes than the page uses.

    Args:
        diagnoser: The networks.
        decoders: What reads the visitors' files.
        folder: For the uploads; nothing else is in it.
        limits: The largest file that is read.
        threads: Where the work runs.
        at_once: Images that are worked on at once.

    Attributes:
        app: The application that Gradio is mounted in.
    """

    def __init__(
        self, diagnoser: Diagnoser, decoders: Decoders, folder: Path, limits: Limits, threads: Executor, at_once: int
    ) -> None:
        replace_tracebacks()
        self._visitors, self._kept, self._uploads = Visitors(), Kept(), Uploads(folder, limits)
        turns = Turns(threads, at_once, self._visitors)
        self._page = build_page(diagnoser, decoders, limits, self._uploads, turns, self._kept)
        self.app: Any = gr.mount_gradio_app(
            FastAPI(openapi_url=None, lifespan=self._sweeping), self._page, "/", footer_links=[], run_history=False,
            allowed_paths=[], show_error=False, max_file_size=limits.file_bytes, ssr_mode=False, pwa=False,
            enable_monitoring=False, mcp_server=False, theme=make_theme(), css_paths=[FOLDER / "page.css"],
        )  # fmt: skip
        self._gradio: Any = self.app.routes[-1].app
        self._watched = self._visitors.watch(self.app)
        self._visitors.on_leaving.append(self._forget)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._forgetting: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await (self._uploads if scope.get("path") == PATH else self._watched)(scope, receive, send)

    def end(self) -> None:
        """Close the streams of all visitors; any thread may do so."""

        def close() -> None:
            self._page.close(verbose=False)
            self._gradio.stop_event.set()

        if self._loop is not None:
            self._loop.call_soon_threadsafe(close)

    @asynccontextmanager
    async def _sweeping(self, app: FastAPI) -> AsyncIterator[None]:
        """Remove what nobody uses, until the end of the block."""
        self._loop = asyncio.get_running_loop()

        async def sweep() -> None:
            while True:
                await asyncio.sleep(_SWEEP_S)
                self._uploads.sweep()
                self._visitors.sweep()
                self._kept.sweep(self._visitors.is_here)

        sweeping = asyncio.create_task(sweep())
        try:
            yield
        finally:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping

    def _forget(self, visitor: str) -> None:
        task = asyncio.get_running_loop().create_task(forget(self._page, self._gradio, visitor))
        self._forgetting.add(task)  # the loop itself would not keep it alive
        task.add_done_callback(self._forgetting.discard)
