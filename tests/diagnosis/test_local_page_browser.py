"""The page that diagnoses in a real Chromium: its answers are the server's, and no image leaves the browser."""

import re

import numpy as np
import pytest
from local_page import KEPT, MAKERS, ask, compare_measurements, find_engine, png, recording_server, save_pictures
from page_server import NAME, Server, drop_files, make_page_bundle, save_given
from PIL import Image

pytest.importorskip("uvicorn", reason="needs uvicorn: pip install 'bus_lightning[app]'")

from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.doubt import strangeness
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.page.view import make_view
from bus_lightning.diagnosis.page.wording import describe, percent_in_tenths
from bus_lightning.diagnosis.reading import read_frames

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def engine():
    return find_engine()


@pytest.fixture(scope="module")
def serve(engine, tmp_path_factory):
    """A function that serves the page of a bundle; each server ends with the tests."""
    servers = []

    def start(bundle):
        server = Server(bundle, tmp_path_factory.mktemp("server"), options=("--local", "--runtime", str(engine)))
        servers.append(server)
        return server

    yield start
    for server in servers:
        assert server.end() == 0
        assert "OUTSIDE" not in server.log_text()
        assert "Traceback" not in server.log_text()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_page_bundle(tmp_path_factory.mktemp("page") / "bundle")


@pytest.fixture(scope="module")
def server(serve, bundle):
    return serve(bundle)


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    return save_given(tmp_path_factory.mktemp("given"))


@pytest.fixture
def visit(browser, server):
    """A function that opens the page; nobody may ask for anything outside, send a body, or fail."""
    contexts, requests, failed = [], [], []

    def enter(address=server.address, width=1280, height=900, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        context.on(
            "request", lambda request: requests.append((address, request.method, request.url, request.post_data))
        )
        page = context.new_page()
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.on("console", lambda message: failed.append(message.text) if message.type == "error" else None)
        page.goto(address)
        page.wait_for_selector("#loading:empty", state="attached")
        return page

    yield enter
    for context in contexts:
        context.close()
    assert requests
    assert [request for request in requests if request[1] != "GET" or request[3] is not None] == []
    assert [url for address, _, url, _ in requests if not url.startswith(address)] == []
    assert failed == []


def give(page, path):
    page.set_input_files("input[type=file]", path)
    page.wait_for_selector(".answer, .failure")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.mark.parametrize("kind", MAKERS)
def test_the_browser_answers_as_the_server(visit, serve, pictures, tmp_path, kind):
    folder = MAKERS[kind](tmp_path / "bundle")
    page = visit(serve(folder).address)
    bundle = load_bundle(folder)
    diagnoser = Diagnoser(bundle, "fp32", threads=1)
    phantoms = [KEPT / "data" / "phantom" / name for name in ("benign/benign (3).png", "normal/normal (1).png")]
    for path in (*pictures, *phantoms):
        (frame,) = read_frames(path)
        (expected,) = diagnoser.diagnose([frame])
        actual = ask(page, path)
        assert actual["image"] == frame.image.ravel().tolist(), path.name
        assert actual["probabilities"] == pytest.approx(expected.probabilities, abs=1e-3), path.name
        assert (actual["answer"], actual["flagged"]) == (expected.answer, expected.malignant_flag), path.name
        assert actual["strangeness"] == pytest.approx(strangeness(frame.image, bundle.reference), rel=1e-3)
        assert actual["doubts"] == [doubt.code for doubt in expected.doubts], path.name
        if expected.heat_map is None:
            assert actual["heat"] is None
        else:
            assert np.abs(np.array(actual["heat"]) - expected.heat_map.ravel()).max() < 0.01, path.name
        if expected.mask is None:
            assert actual["mask"] is None
            continue
        assert np.mean(np.array(actual["mask"], bool) != expected.mask.ravel()) < 0.001, path.name
        compare_measurements(actual["measurements"], expected.measurements, path.name)


def test_the_page_says_what_the_page_of_the_server_says(visit, bundle, picture, decoders):
    page = visit()
    give(page, picture)
    opened = load_bundle(bundle)
    words = describe(make_view(Diagnoser(opened, threads=1), decoders, picture, Limits()), opened)
    cells = "(row) => [...row.cells].map((cell) => cell.innerText)"
    assert page.locator(".doubts li").all_inner_texts() == words.doubts
    assert page.inner_text(".answer") == words.answer
    assert page.inner_text(".unflagged, .flagged") == words.malignant
    assert page.inner_text("figcaption") == words.caption
    assert page.get_attribute(".layers", "aria-label") == words.picture
    assert page.inner_text("#details section:first-child") == words.calibration
    rows = page.evaluate(f"[...document.querySelectorAll('.sizes tr')].map({cells})")
    assert [tuple(row) for row in rows] == words.measurements
    rows = page.evaluate(f"[...document.querySelectorAll('.probabilities tr')].map({cells})")
    assert [(name, share) for name, _, share in rows] == [(name, share) for name, share, _ in words.probabilities]
    for note in words.notes[1:]:
        assert note in page.inner_text("#details")
    assert "NOT A MEDICAL DEVICE" in page.inner_text("#notice")
    assert "Not computed in the browser" in page.inner_text("#details")


def test_an_answer_asks_nothing_of_any_server_and_keeps_no_name(visit, server, picture):
    page = visit()
    requests = []
    page.context.on("request", lambda request: requests.append(request.url))
    give(page, picture)
    page.locator("#strength input").fill("1")
    assert page.inner_text(".answer").startswith("Most likely")
    assert requests == []
    held = page.evaluate("document.documentElement.outerHTML + document.querySelector('input[type=file]').value")
    assert NAME not in held
    assert NAME not in server.log_text()
    assert "NAMED" not in server.log_text()
    assert server.uploaded_files() == []


def test_the_page_cannot_send_anything_to_another_server(browser, server):
    page = browser.new_page()
    page.goto(server.address)
    with recording_server() as (address, arrived):
        sent = page.evaluate(
            """async (other) => {
                const ended = (promise) => promise.then(() => "sent", () => "refused");
                const image = new Image();
                const loaded = new Promise((onload, onerror) => Object.assign(image, {onload, onerror}));
                image.src = `${other}picture?an-image`;
                const script = document.createElement("script");
                script.textContent = "window.ran = true";
                document.body.append(script);
                navigator.sendBeacon(other, "an image");
                return [
                    await ended(fetch(other, {method: "POST", body: "an image", mode: "no-cors"})),
                    await ended(loaded), window.ran ?? "refused",
                ];
            }""",
            address,
        )
    page.close()
    assert sent == ["refused"] * 3
    assert arrived == []


def test_a_bad_file_gives_one_line_and_takes_the_former_answer_away(visit, picture, tmp_path):
    page = visit()
    give(page, picture)
    whole = picture.read_bytes()
    photo = tmp_path / "photo.jpg"
    Image.open(picture).save(photo)
    see_through = tmp_path / "see_through.png"
    Image.open(picture).convert("RGBA").point(lambda level: level // 2).save(see_through)
    wrong = {
        "text.png": (b"no picture at all", "The file is a text file"),
        "empty.png": (b"", "0 bytes"),
        "heavy.png": (b"\x89PNG\r\n\x1a\n" + bytes(3_000_000), "more than 2 MB"),
        "wide.png": (png(70_000, 20), "70000 x 20 pixels, more than 65535 on a side"),
        "large.png": (png(6_000, 5_000), "6000 x 5000 pixels, more than 25 million"),
        "small.png": (png(8, 8), "give one of at least 16 x 16"),
        "hollow.png": (png(64, 64), "The PNG cannot be decoded"),
        "cut.png": (whole[:2000], "The PNG cannot be decoded"),
        "edited.png": (whole[:33] + b"\0\0\0\4tEXtname\0\0\0\0" + whole[33:], "The PNG cannot be decoded"),
        "cut.jpg": (photo.read_bytes()[:1500], "The JPEG cannot be decoded"),
        "deep.png": (png(64, 64, depth=16), "levels of more than 8 bits"),
        "page.tif": (b"II*\0" + bytes(200), "not TIFF"),
        "scan.dcm": (bytes(128) + b"DICM" + bytes(50), "not DICOM"),
        "clip.mp4": (b"\0\0\0\x18ftypisom" + bytes(50), "not video"),
        "photo.heic": (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC"),
        "page.pdf": (b"%PDF-1.7 and more", "The file is a PDF"),
        "see_through.png": (see_through.read_bytes(), "transparent"),
    }
    for name, (content, expected) in wrong.items():
        file = tmp_path / f"{NAME}-{name}"
        file.write_bytes(content)
        page.set_input_files("input[type=file]", file)
        line = page.locator(".failure", has_text=expected)
        line.wait_for(timeout=120_000)
        assert "\n" not in line.inner_text()
        assert page.locator(".answer, .layers").count() == 0
        assert page.locator("#print").is_disabled()
    assert NAME not in page.content()
    give(page, picture)
    page.wait_for_selector(".answer")
    assert page.locator(".failure").count() == 0


def test_a_sample_is_answered_by_the_keyboard_alone(visit):
    page = visit()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.sample === '1'"):
            break
    else:
        pytest.fail("no sample comes up")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer")


def test_shares_are_rounded_as_python_rounds_them_and_none_is_certain(visit):
    shares = [0.625, 0.99996, 0.0005, 0.0002]
    said = visit().evaluate(
        """async (shares) => {
            const [{describe}, answer] = [await import("./words.js"), await fetch("bundle.json")];
            const bundle = await answer.json();
            bundle.sentences.flagged = "{share}";
            const of = (share) => ({doubts: [], answer: "malignant", probabilities: [["malignant", share]],
                                    measurements: null, flagged: true, mask: null, heat: null});
            return shares.map((share) => describe({image: {}, name: "x", diagnosis: of(share)}, bundle));
        }""", shares)  # fmt: skip
    assert f"about {round(62.5)} should be malignant" in said[0]["calibration"]
    assert [words["malignant"] for words in said] == [percent_in_tenths(share) for share in shares]


def test_a_dropped_file_is_answered(visit, picture):
    page = visit()
    drop_files(page, picture)
    page.wait_for_selector(".answer")


def test_several_dropped_files_are_refused_and_no_answer_stays(visit, picture):
    page = visit()
    drop_files(page, picture)
    page.wait_for_selector(".answer")
    drop_files(page, picture, picture)
    page.get_by_text("2 files were dropped: drop one at a time.").wait_for()
    assert page.locator(".answer, .layers").count() == 0


def test_a_sample_that_arrives_late_does_not_replace_the_answer_to_a_file(visit, picture):
    page, held = visit(), []
    page.route("**/samples/0.png", lambda route: held.append(route))
    page.locator("[data-sample]").first.click()
    give(page, picture)
    answered = page.inner_text("#details")
    with page.expect_request_finished():
        held[0].continue_()
    page.evaluate("() => new Promise((resolve) => setTimeout(resolve, 500))")
    assert page.locator(".drop.busy").count() == 0
    assert page.inner_text("#details") == answered


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_follows_the_scheme(visit, picture, width, scheme):
    page = visit(width=width, height=844, scheme=scheme)
    give(page, picture)
    page.locator("#card summary").click()
    page.get_by_text("A tiny bundle.").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) < 200) == (scheme == "dark")
    tops = [page.locator(part).bounding_box()["y"] for part in (".drop", ".doubts", ".answer", ".layers", ".sizes")]
    if width == 390:
        assert tops == sorted(tops)
    page.evaluate("scrollTo(0, 500)")
    assert page.evaluate("document.querySelector('#notice').getBoundingClientRect().top") >= 0  # it stays in sight
