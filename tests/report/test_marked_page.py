"""Pages of prose with tables between markers."""

import pytest

from bus_lightning.core.errors import UserError
from bus_lightning.report.marked_page import fill_tables

PAGE = """Before.

<!-- table:first -->
old
<!-- end -->

Between.

<!-- table:second -->
<!-- end -->

After, with `<!-- table:first -->` in a line of prose.
"""
TABLES = {"first": "1 \\1", "second": "2"}


@pytest.fixture
def page(tmp_path):
    return tmp_path / "page.md"


def test_tables_are_replaced_and_every_other_byte_stays(page):
    page.write_text(PAGE)
    assert fill_tables(page, {"first": "1 \\1"}) == []
    assert page.read_text() == PAGE.replace("old", "1 \\1")


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_table_without_an_end_is_named_and_no_prose_is_lost(page, name):
    head, marker, rest = PAGE.partition(f"<!-- table:{name} -->\n")
    text = head + marker + rest.replace("<!-- end -->\n", "", 1)
    page.write_text(text)
    with pytest.raises(UserError, match=f"page.md: the table {name} has no <!-- end -->"):
        fill_tables(page, TABLES)
    assert page.read_text() == text


def test_a_table_without_a_place_is_returned_also_if_prose_speaks_of_its_marker(page):
    page.write_text("See `<!-- table:third -->`.\n<!-- table:fourth --> \n<!-- end -->\n")
    assert fill_tables(page, {"third": "3", "fourth": "4"}) == ["third", "fourth"]
