"""The page of a report in Chromium, offline: on a phone and on a desk, light and dark."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bus_lightning.report.sections import FigureItem, Note, Section, TableItem
from bus_lightning.report.writing import write_report

pytestmark = pytest.mark.browser

SIZES = {"phone": (360, 740), "desk": (1280, 900)}
NAME = "efficientnet_lite0__leak-class_mark__data.split.method-random__data.preprocess.size-{}"


def drawn(points):
    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    axis.scatter(np.arange(points), np.random.default_rng(0).random(points))
    return figure


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A report of ten sections, with tables of 12 columns, long names, figures as SVG and as PNG."""
    scores = pd.DataFrame({"condition": [NAME.format(size) for size in range(60)]})
    for column in range(11):
        scores[f"malignant_vs_benign_score_{column}"] = "0.812 (0.784, 0.841)"
    sections = [
        Section(f"{number}. {NAME.format('x')}", f"All of {NAME.format('x')}. " * 9, [
            TableItem(f"scores-{number}", f"Scores of {NAME.format('x')}", scores if number == 3 else scores[:5]),
            Note(f"Beware of {NAME.format('x')}: {'x' * 90}", "warning"),
            Note("No twins in training.", "good"),
            Note(f"Of {NAME.format('x')}"),
            FigureItem(f"figure-{number}", f"Dice of {NAME.format('x')}", drawn(6000 if number == 1 else 20), "Dice"),
        ])
        for number in range(10)
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("made") / "report"
    write_report(folder, f"Report of {NAME.format('x')}", "On BUSI", sections, {"Code": "f" * 40, NAME: "0.1"})
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="module", params=["light", "dark"])
def scheme(request):
    return request.param


@pytest.fixture(scope="module", params=SIZES)
def size(request):
    return request.param


@pytest.fixture
def page(browser, address, size, scheme):
    """The open page; what it logged on the console and requested is in `page.logged` and `page.requested`."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.logged, page.requested = [], []
    page.on("console", lambda message: page.logged.append(message.text))
    page.on("pageerror", lambda error: page.logged.append(str(error)))
    page.on("request", lambda request: page.requested.append(request.url))
    page.goto(address)
    yield page
    context.close()


def luminance(colour):
    """Relative luminance of `rgb(r, g, b)`, as WCAG 2.2 defines it."""
    channels = np.array([float(value) for value in colour[colour.index("(") + 1 : -1].split(",")[:3]]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def wait_until(page, condition):
    """Wait until a condition holds; Playwright's own way to wait is forbidden by the page's security policy."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never came true: {condition}")


def test_the_page_fits_the_width_and_wide_tables_scroll_in_their_box(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # A body that clips what is too wide would hide it: nothing outside a table may stick out.
    outside = """[...document.querySelectorAll("body *")].filter((element) =>
        !element.closest(".box, dialog, svg") && element.getBoundingClientRect().right > innerWidth + 1).length"""
    assert page.evaluate(outside) == 0
    box = page.locator("#table-scores-0 .box")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    box.evaluate("box => { box.scrollLeft = 200 }")
    left = "box => box.querySelector('tbody th').getBoundingClientRect().left - box.getBoundingClientRect().left"
    assert box.evaluate("box => box.scrollLeft") == 200
    assert abs(box.evaluate(left)) < 1  # the first column stays
    assert box.evaluate("box => box.querySelector('tbody th').offsetWidth < 0.55 * box.clientWidth")


def test_the_page_logs_no_error_and_requests_nothing(page):
    page.locator(".zoom").first.click()
    page.wait_for_timeout(100)
    assert page.logged == []
    assert [url for url in page.requested if not url.startswith("data:")] == [page.url]


def test_every_figure_is_shown_on_white_and_fits(page):
    images = page.evaluate("""[...document.images].map((image) => [image.naturalWidth, image.clientWidth,
        image.clientHeight / image.clientWidth, getComputedStyle(image.parentElement).backgroundColor])""")
    assert len(images) == 10
    for natural, width, ratio, background in images:
        assert natural > 0
        assert 250 < width < page.viewport_size["width"]
        assert ratio == pytest.approx(4 / 7, rel=0.02)
        assert background == "rgb(255, 255, 255)"


def test_a_figure_opens_at_full_size_and_closes(page):
    dialog = page.locator("dialog")
    assert not dialog.is_visible()
    page.locator("#figure-figure-1 .zoom").click()
    assert dialog.is_visible()
    assert dialog.locator("img").evaluate("image => image.naturalWidth > 0 && image.clientWidth >= 1000")
    page.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()
    page.locator("#figure-figure-1 .zoom").focus()
    page.keyboard.press("Enter")
    assert dialog.is_visible()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_text_stands_out_from_its_background(page):
    table = ["tbody th", "thead th", "td", "figcaption", "figcaption a"]
    notes = [".warning p", ".warning strong", ".good p", ".good strong"]
    for selector in ["main p", "h2", ".number", ".facts dt", *table, *notes]:
        text, ground = page.locator(selector).first.evaluate("""(element) => {
            const text = getComputedStyle(element).color;
            while (getComputedStyle(element).backgroundColor === "rgba(0, 0, 0, 0)") element = element.parentElement;
            return [text, getComputedStyle(element).backgroundColor];
        }""")
        dark, light = sorted((luminance(text), luminance(ground)))
        assert (light + 0.05) / (dark + 0.05) >= (7 if selector == "main p" else 4.5), selector


def test_the_colour_scheme_is_followed(page, scheme):
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(ground) > 0.5) == (scheme == "light")


def test_the_contents_lead_to_a_section(page, size):
    if size == "phone":
        links = page.locator(".above a")
        assert not page.locator(".beside").is_visible()
        assert not links.first.is_visible()
        page.locator(".above summary").click()
    else:
        links = page.locator(".beside a")
        assert not page.locator(".above").is_visible()
    links.nth(6).click()
    top = "document.querySelector('#section-7 h2').getBoundingClientRect().top"
    wait_until(page, f"{top} > 0 && {top} < innerHeight / 3")
    if size == "phone":
        assert not links.first.is_visible()  # the list gives way to what was chosen
        bar = page.locator(".above").bounding_box()
        assert page.evaluate(top) >= bar["y"] + bar["height"] - 1
    else:
        wait_until(page, "document.querySelector('[aria-current]')?.hash === '#section-7'")
        assert page.locator(".beside").bounding_box()["y"] == pytest.approx(0, abs=1)


def test_a_table_downloads_as_csv(page):
    with page.expect_download() as download:
        page.locator("#table-scores-0 .csv").click()
    assert download.value.suggested_filename == "scores-0.csv"
    assert len(pd.read_csv(download.value.path())) == 5


def test_paper_shows_all_of_a_long_table(page):
    page.emulate_media(media="print", color_scheme="dark")
    assert luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) == pytest.approx(1)
    box = page.locator("#table-scores-3 .box")
    assert box.evaluate("box => box.querySelector('table').offsetHeight <= box.clientHeight + 4")
    assert not page.locator(".beside").is_visible()
    assert not page.locator(".above").is_visible()
