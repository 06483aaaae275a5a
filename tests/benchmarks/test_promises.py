"""The pages that promise something name tests that exist, and show the numbers that were measured."""

import re
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.__main__ import SECTIONS
from benchmarks.attack import tables as attack
from benchmarks.chaos import tables as chaos

TESTS = Path(__file__).parents[1]
MEASURED = {
    report.RELIABILITY: {"chaos": chaos.tables, "job_overhead": SECTIONS["job_overhead"].tables},
    report.SECURITY: {"attack": attack.tables, "page_load": attack.load_tables},
}


@pytest.mark.parametrize("page", MEASURED, ids=lambda page: page.name)
def test_each_promise_names_tests_that_exist(page):
    rows = "\n".join(line for line in page.read_text().splitlines() if line.startswith("|"))
    named = re.findall(r"`((?:\w+/)?test_\w+\.py)(?:::(test_\w+))?`", rows)
    assert len(named) > 20
    assert len(named) == len(re.findall(r"\btest_\w+\.py", rows)), "a name is written in another way"
    for file, test in named:
        assert f"def {test}" in (TESTS / file).read_text(), f"{file}::{test}"


@pytest.mark.parametrize("page", MEASURED, ids=lambda page: page.name)
def test_the_page_shows_what_was_measured(page):
    text = page.read_text()
    for name, make in MEASURED[page].items():
        shown = report.section_tables(report.RESULTS, name, make)
        assert shown, f"{name} was never measured"
        for table in shown.values():
            assert table in text
