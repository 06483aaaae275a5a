"""A page with markers keeps its prose, its links and its permissions; markers that do not match are refused."""

import os
import stat

import pytest

from bus_lightning.core.errors import UserError
from bus_lightning.report.marked_page import fill_tables

TEXT = "Before.\n<!-- table:one -->\nold\n<!-- end -->\nBetween.\n<!-- table:two -->\n<!-- end -->\nAfter."
FILLED = "Before.\n<!-- table:one -->\nnew\nlines\n<!-- end -->\nBetween.\n<!-- table:two -->\n<!-- end -->\nAfter."


@pytest.fixture
def page(tmp_path):
    file = tmp_path / "page.md"
    file.write_text(TEXT)
    return file


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_tables_are_filled_and_the_line_endings_stay(page, line_end):
    page.write_bytes(TEXT.replace("\n", line_end).encode())
    assert fill_tables(page, {"one": "new\nlines"}) == []
    assert page.read_bytes() == FILLED.replace("\n", line_end).encode()
    assert fill_tables(page, {"one": "new\nlines"}) == []
    assert page.read_bytes() == FILLED.replace("\n", line_end).encode()


def test_a_marker_may_end_the_page_and_have_blanks_behind_it(page):
    page.write_text("<!-- table:one -->  \nold\n<!-- end -->")
    assert fill_tables(page, {"one": "new"}) == []
    assert page.read_text() == "<!-- table:one -->  \nnew\n<!-- end -->"


def test_a_table_can_stand_twice_and_its_name_can_have_a_dash(page):
    page.write_text("<!-- table:a-b -->\n<!-- end -->\n\n<!-- table:a-b -->\nold\n<!-- end -->\n")
    assert fill_tables(page, {"a-b": "new"}) == []
    assert page.read_text() == "<!-- table:a-b -->\nnew\n<!-- end -->\n\n<!-- table:a-b -->\nnew\n<!-- end -->\n"


def test_a_marker_in_the_middle_of_a_line_is_prose(page):
    page.write_text("Write `<!-- table:one -->` where the table belongs.\n<!-- table:two -->\n<!-- end -->\n")
    before = page.read_text()
    assert fill_tables(page, {"one": "new"}) == ["one"]
    assert page.read_text() == before


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (TEXT.replace("<!-- end -->\n", "", 1), "line 5: the table one before this line has no end"),
        (TEXT.replace("<!-- end -->\nAfter", "After"), "the table two has no end"),
        (TEXT.replace("<!-- table:one -->\n", ""), "line 3: <!-- end --> ends no table"),
    ],
)
def test_a_marker_without_its_partner_is_refused_because_prose_would_be_lost(page, text, line):
    page.write_text(text)
    with pytest.raises(UserError, match=line) as error:
        fill_tables(page, {"one": "new", "two": "new"})
    assert str(page) in str(error.value)
    assert page.read_text() == text


def test_a_link_to_a_page_stays_a_link_and_the_page_is_filled(page, tmp_path):
    link = tmp_path / "link.md"
    link.symlink_to(page.name)
    fill_tables(link, {"one": "new\nlines"})
    assert link.is_symlink()
    assert page.read_text() == FILLED


def test_the_permissions_of_a_page_stay(page):
    page.chmod(0o640)
    fill_tables(page, {"one": "new"})
    assert stat.S_IMODE(page.stat().st_mode) == 0o640


def test_a_read_only_page_is_refused_although_its_folder_can_be_written(page, monkeypatch):
    access = os.access  # root may write every file, so a test run by root has to be told
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    with pytest.raises(UserError, match="is read-only"):
        fill_tables(page, {"one": "new"})
    assert page.read_text() == TEXT
    assert list(page.parent.iterdir()) == [page]
