"""Links between the pages lead somewhere, on a forge and in a checkout, and every page is on the site."""

import re
from urllib.parse import unquote

import pytest
from pages import MARKDOWN, NOTEBOOKS, RESTRUCTURED, ROOT, anchors_of, links_of, slug

PAGES = [*MARKDOWN, *NOTEBOOKS]


def name_of(page):
    return str(page.relative_to(ROOT))


def broken_links(page):
    """List the relative links of a page that lead to no file, or to no heading of it."""
    for link in links_of(page):
        path, _, anchor = unquote(link).partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.is_relative_to(ROOT) or not target.is_file():
            yield f"{link}: there is no such file"
        elif anchor and anchor not in anchors_of(target):
            yield f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(page):
    assert not list(broken_links(page))


def test_links_are_found_at_all():
    assert sum(len(links_of(page)) for page in PAGES) > 150
    assert sum("#" in link for page in PAGES for link in links_of(page)) > 40


def test_a_broken_link_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr("test_links.ROOT", tmp_path)
    (tmp_path / "other.md").write_text("# A heading, with `code`\n\n```\n# no heading\n[no](link.md)\n```\n")
    page = tmp_path / "page.md"
    page.write_text("[a](other.md) [b](other.md#a-heading-with-code) [c](gone.md) [d](other.md#gone) [e](#gone) "
                    "[f](other.md#no-heading) [`g`](gone.md) `[h](code.md)` [i](https://example.org)\n")  # fmt: skip
    broken = [line.partition(":")[0] for line in broken_links(page)]
    assert broken == ["gone.md", "other.md#gone", "#gone", "other.md#no-heading", "gone.md"]


@pytest.mark.parametrize(("heading", "anchor"), [
    ("1. Train both stages", "1-train-both-stages"), ("`make reproduce QUICK=1`", "make-reproduce-quick1"),
    ("GDPH & SYSUCC", "gdph--sysucc"), ("What [it](x.md) does", "what-it-does"), ("data.py, U-Net", "datapy-u-net"),
])  # fmt: skip
def test_an_anchor_is_made_as_a_forge_makes_it(heading, anchor):
    assert slug(heading) == anchor


def test_every_page_is_on_the_site():
    index = (ROOT / "docs/index.rst").read_text()
    listed = re.findall(r"^   (?:.* <)?([\w/.]+)>?$", index, re.MULTILINE)
    on_site = {(ROOT / name.lstrip("/") if name.startswith("/") else ROOT / "docs" / name) for name in listed}
    pages = {page.with_suffix("") for page in [*PAGES, *RESTRUCTURED] if ".github" not in page.parts}
    assert pages - {ROOT / "docs/index"} == on_site
