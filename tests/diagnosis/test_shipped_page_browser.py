"""The page opens with the model in the package, in a real Chromium, on a desktop's and a phone's width."""

import pytest
from page_server import Server

pytest.importorskip("gradio", reason="needs gradio: pip install 'bus_lightning[app]'")

pytestmark = pytest.mark.browser

# In how many lines each number of the card's tables is shown.
LINES = """[...document.querySelectorAll("#card td")].filter((cell) => /^[0-9.]+$/.test(cell.innerText)).map((cell) => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    return new Set([...range.getClientRects()].map((box) => box.top)).size;
})"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(None, tmp_path_factory.mktemp("server"))
    yield running
    assert running.end() == 0
    assert "OUTSIDE" not in running.log_text()


@pytest.fixture
def page(browser, server, request):
    context = browser.new_context(viewport={"width": request.param, "height": 900})
    opened = context.new_page()
    opened.goto(server.address)
    opened.wait_for_selector(".drop")
    yield opened
    context.close()


@pytest.mark.parametrize("page", [1280, 390], indirect=True)
def test_a_sample_is_answered_and_the_whole_card_can_be_read(page):
    assert "Trained on 520 images of BUSI." in page.inner_text("body")
    assert page.locator(".samples button").all_inner_texts() == [f"Synthetic {number}" for number in range(1, 7)]
    page.locator(".samples button").nth(2).click()
    page.wait_for_selector(".answer")
    assert "Most likely" in page.inner_text("#answer")
    page.get_by_text("Model card:").click()
    page.get_by_text("Results on other data").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    lines = page.evaluate(LINES)
    assert len(lines) > 50
    assert set(lines) == {1}
