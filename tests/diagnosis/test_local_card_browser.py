"""The page in the browser shows a model card as Markdown means it: what is escaped is text."""

import pytest

pytest.importorskip("uvicorn", reason="needs uvicorn: pip install 'bus_lightning[app]'")

from bus_lightning.diagnosis.page.addresses import Addresses
from bus_lightning.diagnosis.page.local import serving
from bus_lightning.diagnosis.page.server import running
from bus_lightning.diagnosis.page.serving import listen
from bus_lightning.export.markdown import escape

pytestmark = pytest.mark.browser
SHOW = """async (text) => {
    const {showCard} = await import("./card.js");
    const place = document.createElement("div");
    showCard(place, text);
    return place.innerHTML;
}"""


@pytest.fixture(scope="module")
def show(browser):
    """A function that shows a card, and returns its HTML."""
    scripts = {f"/{name}": (serving._STATIC / name).read_bytes() for name in ("card.js", "elements.js")}
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with running(serving.guard({"/": b"<p>", **scripts}, Addresses("127.0.0.1", port)), listener):
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{port}/")
            yield lambda text: page.evaluate(SHOW, text)
            page.close()


def test_markup_is_shown_as_such(show):
    assert show("**Bold**, *thin*, `a_b`, [here](https://a.b/c)") == (
        "<p><strong>Bold</strong>, <em>thin</em>, <code>a_b</code>, "
        '<a href="https://a.b/c" rel="noreferrer" target="_blank">here</a></p>'
    )


@pytest.mark.parametrize(
    "text", ["IoU* and Dice* differ", "**x**", "a `b` c", "[x](https://a.b)", "data_set_a", r"C:\new"]
)
def test_escaped_markup_is_text_also_in_bold(show, text):
    assert show(escape(text)) == f"<p>{text}</p>"
    assert show(f"**{escape(text)}**") == f"<p><strong>{text}</strong></p>"
