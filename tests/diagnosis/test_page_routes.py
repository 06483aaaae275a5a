"""Every route of the application that Gradio is mounted in is closed, but those that the page needs."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgi_client import FILLED, METHODS, NEEDED, Inside, ask
from page_server import make_page_bundle

pytest.importorskip("gradio", reason="needs gradio: pip install -e '.[app]'")

from starlette.routing import Mount

from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.decoding import Decoders
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.page.addresses import Addresses
from bus_lightning.diagnosis.page.application import Application
from bus_lightning.diagnosis.page.doors import Doors


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    diagnoser = Diagnoser(load_bundle(make_page_bundle(folder / "bundle")), threads=1)

    async def build(decoders, pool):
        return Application(diagnoser, decoders, folder, Limits(), pool, 2)

    with ThreadPoolExecutor(2) as pool, Decoders(1) as decoders:
        yield asyncio.run(build(decoders, pool))  # Gradio leaves a loop open if none runs


def routes_of(app, before=""):
    """List the paths of all routes, also of those in mounted applications and included routers."""
    for route in app.routes:
        if isinstance(route, Mount):
            yield from routes_of(route.app, before + route.path)
        elif (router := getattr(route, "original_router", None)) is not None:
            yield from routes_of(router, before)
        else:
            yield before + route.path


def test_every_route_of_the_mounted_application_that_the_page_does_not_need_is_closed(application):
    inside = Inside()
    doors = Doors(inside, Addresses("127.0.0.1", 7860))
    gradio = application.app.routes[-1].app
    gradio.add_api_route("/gradio_api/of_a_newer_gradio/{name}", lambda name: name, methods=["GET", "POST"])
    paths = sorted(set(routes_of(application.app)))
    assert len(paths) > 60
    assert "/gradio_api/proxy={url_path:path}" in paths
    assert "/gradio_api/of_a_newer_gradio/{name}" in paths
    open_ones = set()
    for path in paths:
        filled = {FILLED.get(path, path)}
        for value in ("x", "1", "https://example.org/x.png", "/etc/passwd", "x.js", "..", "%2e%2e"):
            filled.add(re.sub(r"\{.*?\}", value, path))
        for method in METHODS:
            for target in filled:
                before = len(inside.passed)
                answer = ask(doors, method, target)
                if len(inside.passed) > before:
                    open_ones.add((method, path))
                else:
                    assert answer.status == 404, (method, target)
    assert open_ones == NEEDED
