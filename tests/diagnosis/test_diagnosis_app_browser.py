"""The page in a real Chromium: a visitor can use it, and nothing leaves the machine or stays on it."""

import re
from io import BytesIO
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
from page_server import NAME, Server, drop_files, make_page_bundle, save, save_given
from PIL import Image
from tiny_bundle import speckled, with_disc

pytest.importorskip("gradio", reason="needs gradio: pip install 'bus_lightning[app]'")

from bus_lightning.diagnosis.reading import fingerprint

pytestmark = pytest.mark.browser

# Of each text: its name, its colour, and the colour behind it.
COLORS = """[...document.querySelectorAll(
    "#notice p, .invite, .drop .small, :is(#answer, #details) :is(p, li, th, td, h2), figcaption, .samples button, " +
    "#card :is(p, td)"
)].map((one) => {
    const colorOf = (element) => getComputedStyle(element).backgroundColor;
    let ground = one;
    while (ground.parentElement && colorOf(ground).endsWith(", 0)")) ground = ground.parentElement;
    return [one.className || one.tagName, getComputedStyle(one).color, colorOf(ground)];
})"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_page_bundle(tmp_path_factory.mktemp("page") / "bundle")


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    return save_given(tmp_path_factory.mktemp("given"))


@pytest.fixture(scope="module")
def server(bundle, tmp_path_factory):
    running = Server(bundle, tmp_path_factory.mktemp("server"))
    yield running
    assert running.end() == 0


@pytest.fixture
def visit(browser, server):
    """A function that opens the page as another visitor; nobody may ask for anything outside, or fail."""
    contexts, requests, console_errors = [], [], []

    def enter(width=1280, height=900, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: console_errors.append(str(error)))
        page.on("console", lambda message: console_errors.append(message.text) if message.type == "error" else None)
        page.goto(server.address)
        page.wait_for_selector(".drop")
        return page

    yield enter
    for context in contexts:
        context.close()
    outside = [url for url in requests if not url.startswith((server.address, "data:", f"blob:{server.address}"))]
    assert outside == []
    assert console_errors == []


def give(page, path):
    page.set_input_files("input[type=file]", path)
    page.wait_for_selector(".answer, .failure")


def test_an_image_is_answered_and_neither_its_name_nor_its_file_stays(visit, server, picture):
    page = visit()
    assert "NOT A MEDICAL DEVICE" in page.inner_text("#notice")
    give(page, picture)
    for part, expected in (("answer", "Most likely"), ("details", "out-of-fold"), ("details", "Long axis")):
        assert expected in page.inner_text(f"#{part}")
    assert page.locator(".doubts li").count() >= 1
    assert page.locator(".layers img").count() == 3
    assert all(page.evaluate("[...document.querySelectorAll('.layers img')].map((one) => one.naturalWidth > 0)"))
    held = page.evaluate(
        "document.documentElement.outerHTML + [...document.querySelectorAll('input')].map(one => one.value + one.title)"
    )
    assert NAME not in held
    assert "NAMED" not in server.log_text()  # it did not even reach the server
    assert server.uploaded_files() == []
    assert NAME not in server.log_text()
    assert not [path for path in [*server.temporary.rglob("*"), *server.work.rglob("*")] if NAME in path.name]


def test_the_slider_changes_the_picture_without_asking_the_server(visit, picture):
    page = visit()
    give(page, picture)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    slider = page.locator("#strength input[type=range]")
    pictures = {}
    for value in ("0", "1"):
        slider.fill(value)
        page.wait_for_timeout(300)
        assert float(page.evaluate("getComputedStyle(document.querySelector('.heat')).opacity")) == float(value)
        pictures[value] = np.asarray(Image.open(BytesIO(page.locator(".layers").screenshot())).convert("RGB"), float)
    assert np.abs(pictures["0"] - pictures["1"]).mean() > 1
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == []


def test_a_bad_file_gives_one_line_and_takes_the_former_answer_away(visit, server, picture, tmp_path):
    page = visit()
    give(page, picture)
    wrong = {
        "text.png": (b"no picture at all", "The file is a text file"),
        "empty.png": (b"", "0 bytes"),
        "large.png": (b"\x89PNG\r\n\x1a\n" + bytes(3_000_000), "more than 2 MB"),
        "cut.png": (picture.read_bytes()[:2000], "cannot be decoded"),
    }
    for name, (content, expected) in wrong.items():
        file = tmp_path / f"{NAME}-{name}"
        file.write_bytes(content)
        page.set_input_files("input[type=file]", file)
        line = page.locator(".failure", has_text=expected)
        line.wait_for()
        assert "\n" not in line.inner_text()
        assert page.locator(".answer, .layers").count() == 0
        assert page.locator("#pdf").is_disabled()
    assert server.uploaded_files() == []
    assert NAME not in server.log_text() + page.content()
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


def test_a_file_that_arrives_late_does_not_replace_a_later_refusal(visit, picture):
    page, held = visit(), []
    page.route("**/gradio_api/upload", lambda route: held.append(route))
    drop_files(page, picture)
    page.wait_for_selector(".drop.busy")
    drop_files(page, picture, picture)
    refusal = page.get_by_text("2 files were dropped: drop one at a time.")
    refusal.wait_for()
    held[0].continue_()
    page.wait_for_selector(".drop:not(.busy)")
    page.evaluate("() => new Promise((resolve) => setTimeout(resolve, 2000))")  # a diagnosis takes less
    assert refusal.is_visible()
    assert page.locator(".answer, .layers").count() == 0
    page.unroute("**/gradio_api/upload")
    drop_files(page, picture)
    page.wait_for_selector(".answer")
    assert not refusal.is_visible()


def test_two_visitors_at_once_see_only_their_own_answers(visit, picture, tmp_path):
    other = save(with_disc(speckled(1, seed=7)[0], (100, 50), 12), tmp_path / "other.png")
    first, second = visit(), visit()
    for page, path in ((first, picture), (second, other)):
        page.set_input_files("input[type=file]", path)
    for page, own, foreign in ((first, picture, other), (second, other, picture)):
        page.wait_for_selector(".answer")
        names = {path: fingerprint(path) for path in (own, foreign)}
        assert names[own] in page.inner_text("#details")
        assert names[foreign] not in page.content()
        with page.expect_download() as download:
            page.click("#pdf")
        assert download.value.suggested_filename == f"{names[own]}.pdf"


def test_the_report_is_downloaded_as_pdf_and_png(visit, server, picture):
    page = visit()
    give(page, picture)
    starts = {"pdf": b"%PDF-", "png": b"\x89PNG"}
    for kind, start in starts.items():
        with page.expect_download() as download:
            page.click(f"#{kind}")
        content = Path(download.value.path()).read_bytes()
        assert content.startswith(start)
        assert NAME not in download.value.suggested_filename
        assert NAME.encode() not in content
    assert server.uploaded_files() == []


def test_the_model_card_is_one_click_away(visit):
    page = visit()
    assert not page.get_by_text("A tiny bundle.").is_visible()
    page.get_by_text("Model card").first.click()
    page.get_by_text("A tiny bundle.").wait_for()


def luminance(color):
    """Relative luminance of `rgb(r, g, b)`, as WCAG 2.2 defines it."""
    channels = np.array([float(value) for value in re.findall(r"[\d.]+", color)[:3]]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_is_readable_light_and_dark(visit, picture, scheme, width):
    page = visit(width, 844, scheme)
    give(page, picture)
    page.get_by_text("Model card").first.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.evaluate("scrollTo(0, 500)")
    assert page.evaluate("document.querySelector('#notice').getBoundingClientRect().top") >= 0  # it stays in sight
    colors = page.evaluate(COLORS)
    assert len(colors) > 20
    for name, text, ground in colors:
        light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, text, ground)
    is_dark = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) < 0.2
    assert is_dark == (scheme == "dark")


@pytest.mark.parametrize("width", [390, 1280])
def test_on_a_phone_the_class_and_the_doubts_come_before_the_picture(visit, picture, width):
    page = visit(width, 844)
    give(page, picture)
    page.wait_for_selector(".layers img")
    boxes = {part: page.locator(part).bounding_box() for part in (".drop", ".doubts", ".answer", ".layers", ".sizes")}
    tops = [boxes[part]["y"] for part in (".drop", ".doubts", ".answer", ".layers", ".sizes")]
    if width == 390:
        assert tops == sorted(tops)
        assert len(set(tops)) == 5
        assert boxes[".answer"]["y"] + boxes[".answer"]["height"] <= boxes[".layers"]["y"]
        page.wait_for_function("document.querySelector('.doubts').getBoundingClientRect().top >= 0")
        page.wait_for_function("document.querySelector('.probabilities').getBoundingClientRect().bottom <= innerHeight")
    else:  # next to each other
        assert boxes[".doubts"]["x"] >= boxes[".layers"]["x"] + boxes[".layers"]["width"]


def test_the_server_gives_out_no_file_of_the_machine(bundle, server):
    for path in ("/etc/passwd", bundle / "bundle.json", *bundle.glob("samples/*"), server.log, "pyproject.toml"):
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{server.address}gradio_api/file={path}")
        assert refused.value.code in (403, 404)
        refused.value.close()


def test_the_server_asks_nobody_and_ends_with_ctrl_c_leaving_nothing(bundle, tmp_path):
    server = Server(bundle, tmp_path)
    assert server.end() == 0
    assert "OUTSIDE" not in server.log_text()
    assert "Traceback" not in server.log_text()
    assert list(server.temporary.glob("bus_lightning-page-*")) == []
    assert [file for file in server.work.rglob("*") if file.is_file()] == []
