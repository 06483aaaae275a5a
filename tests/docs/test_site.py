"""The site is built without a warning, and its pages load nothing from the internet."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from pages import MARKDOWN, NOTEBOOKS, RESTRUCTURED, ROOT

_LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src"}


class Loaded(HTMLParser):
    """Collects what a page loads when it is opened."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag in _LOADED and attributes.get(_LOADED[tag]) and attributes.get("rel") not in ("canonical", "index"):
            self.addresses.append(attributes[_LOADED[tag]])


def loaded_by(html):
    parser = Loaded()
    parser.feed(html)
    return parser.addresses


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built as `make docs` builds it."""
    for name in ("sphinx", "myst_nb", "furo"):
        pytest.importorskip(name, reason="needs pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("docs") / "out" / "site"
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs", "-d", folder.parent / "pages",
               ".", folder]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.nightly
def test_every_page_is_built(site):
    for page in [*MARKDOWN, *NOTEBOOKS, *RESTRUCTURED]:
        if ".github" not in page.parts:
            assert (site / page.relative_to(ROOT).with_suffix(".html")).is_file()
    assert "docs/index.html" in (site / "index.html").read_text()


@pytest.mark.nightly
def test_the_reference_has_the_docstrings(site):
    page = (site / "docs/reference/runs.html").read_text()
    assert "Open the folder of a run." in page
    assert "The content of status.json: state, hashes, hardware, time." in page  # of a property


@pytest.mark.nightly
def test_long_names_break_between_words_and_no_option_breaks(site):
    assert "<h2>bus_<wbr>lightning.<wbr>runs.<wbr>finished<" in (site / "docs/reference/runs.html").read_text()
    assert re.search(r"test_[\w<>/]+<wbr>", (site / "docs/reliability.html").read_text())
    assert re.search(
        r'<code class="[^"]*\boption\b[^"]*"><span class="pre">--sensitivity<',
        (site / "docs/diagnosis.html").read_text(),
    )


@pytest.mark.nightly
def test_what_a_command_prints_is_not_coloured_as_python(site):
    block = re.search(
        r"<pre>[^<]*make demo\s+make test\s*</pre>", (site / "README.html").read_text().replace("<span></span>", "")
    )
    assert block


@pytest.mark.nightly
def test_no_page_loads_anything_from_the_internet(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    loaded = {address for page in pages for address in loaded_by(page.read_text())}
    assert not [address for address in loaded if re.match(r"(https?:)?//", address)]
    styles = [style.read_text(encoding="utf-8") for style in site.rglob("*.css")]
    assert styles
    assert not [style for style in styles if re.search(r"(@import|url\()\s*['\"]?(https?:)?//", style)]


def test_the_check_notices_what_a_page_loads():
    page = '<link rel="stylesheet" href="https://a/b.css"><script src="//c/d.js"></script><a href="https://e">e</a>'
    assert loaded_by(page) == ["https://a/b.css", "//c/d.js"]
