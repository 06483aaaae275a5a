"""The page in the browser, where something is not as usual: a file that is missing, or plain HTTP."""

import zlib
from contextlib import contextmanager

import pytest
from local_page import find_engine
from page_server import Server, make_page_bundle, save_given

pytest.importorskip("uvicorn", reason="needs uvicorn: pip install 'bus_lightning[app]'")

from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.page.addresses import Addresses
from bus_lightning.diagnosis.page.local.serving import contents_of, guard
from bus_lightning.diagnosis.page.server import running
from bus_lightning.diagnosis.page.serving import listen

pytestmark = pytest.mark.browser
OTHER_MACHINE = "other-machine.test"  # which Chromium takes for this one


@pytest.fixture(scope="module")
def engine():
    return find_engine()


@contextmanager
def serve(contents):
    """Serve a page of these contents, and yield its address."""
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with running(guard(contents, Addresses("127.0.0.1", port, ())), listener):
            yield f"http://127.0.0.1:{port}/"


@pytest.mark.parametrize(("address", "line"), [
    ("samples/0.png", "synthetic image cannot be fetched"), ("networks/0.onnx", "cannot open its networks"),
    ("bundle.json", "The page is incomplete"),
])  # fmt: skip
def test_what_cannot_be_fetched_gives_one_line_each_time(browser, engine, tmp_path, address, line):
    picture = save_given(tmp_path)
    contents = contents_of(load_bundle(make_page_bundle(tmp_path / "bundle")), "fp32", 1, Limits(), engine)
    del contents[f"/{address}"]
    with serve(contents) as root:
        page = browser.new_page()
        page.goto(root)
        ask = page.locator("[data-sample]").first.click if address.startswith("samples") else None
        for _ in range(2):  # the second time, the networks are known to be missing
            page.evaluate("document.querySelector('#message').replaceChildren()")
            (ask or (lambda: page.set_input_files("input[type=file]", picture)))()
            page.locator(".failure", has_text=line).wait_for()
            assert page.locator(".drop.busy").count() == 0
        page.close()


@pytest.mark.parametrize("late", ["page.js", "bundle.json"])
def test_a_file_that_is_chosen_while_the_page_loads_is_answered_and_can_be_chosen_again(
    browser, engine, tmp_path, late
):
    picture = save_given(tmp_path)
    contents = contents_of(load_bundle(make_page_bundle(tmp_path / "bundle")), "fp32", 1, Limits(), engine)
    with serve(contents) as address:
        page = browser.new_page()
        held = []

        def hold(request):
            if chosen:
                request.continue_()
            else:
                held.append(request)

        chosen = False
        page.route(f"**/{late}", hold)
        page.goto(address, wait_until="commit")
        while not held:
            page.wait_for_timeout(20)
        page.set_input_files("input[type=file]", picture)
        assert not page.locator(".answer").count()
        chosen = True
        for request in held:
            request.continue_()
        page.wait_for_selector(".answer")
        assert page.evaluate("document.querySelector('input[type=file]').files.length") == 0
        page.evaluate("document.querySelector('#answer').replaceChildren()")
        page.set_input_files("input[type=file]", picture)
        page.wait_for_selector(".answer")
        page.close()


def test_a_page_that_came_by_plain_http_from_another_machine_answers_too(browser, engine, tmp_path):
    picture = save_given(tmp_path)
    options = ("--local", "--runtime", str(engine), "--allow-host", OTHER_MACHINE)
    server = Server(make_page_bundle(tmp_path / "bundle"), tmp_path, options=options)
    page = browser.new_page()
    page.goto(server.address.replace("127.0.0.1", OTHER_MACHINE))
    assert page.evaluate("[isSecureContext, typeof crypto.subtle]") == [False, "undefined"]
    page.set_input_files("input[type=file]", picture)
    page.wait_for_selector(".answer")
    name = f"{zlib.crc32(picture.read_bytes()):08x}"
    assert f"Image {name}, " in page.inner_text("#details")
    page.close()
    assert server.end() == 0
