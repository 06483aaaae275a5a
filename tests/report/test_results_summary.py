"""A second page, such as README.md, shows the same numbers in short, made by the same command."""

import pytest
from results_pages import PLAN, make_page, make_row, write_record

from bus_lightning.core.errors import UserError

VALIDATION = "  on_val: {groups: [folded], task: classification, part: val, metrics: [accuracy]}\n"
SUMMARY = """
summary:
  in_short: {metric: accuracy, columns: {test: scores, validation: on_val}}
"""
PAGE = "<!-- table:headline -->\n<!-- end -->\n<!-- table:in_short -->\n<!-- end -->\n"


@pytest.fixture
def summary(page_and_plan, tmp_path):
    """A summary page next to a page of results whose plan has a table for it."""
    page, plan = page_and_plan
    plan.write_text(PLAN.replace("goals:", f"{VALIDATION}{SUMMARY}goals:"))
    page.write_text(page.read_text() + "<!-- table:on_val -->\n<!-- end -->\n")
    (tmp_path / "runs").mkdir()
    (tmp_path / "README.md").write_text(PAGE)
    return tmp_path / "README.md"


def make_rows():
    test = make_row(value=0.7), make_row(condition="own", label="own", model="own", value=0.5)
    return *test, make_row(metric="log_loss", value=1.5), make_row(table="on_val", part="val", value=0.9)


def lines(summary):
    return [line for line in summary.read_text().splitlines() if line.startswith("|")][-5:]


def test_one_metric_of_several_tables_stands_side_by_side_with_the_papers_numbers(page_and_plan, tmp_path, summary):
    write_record(page_and_plan[0], *make_rows())
    make_page(page_and_plan, tmp_path, summary=summary)
    assert lines(summary) == [
        "| condition | test | test, paper | validation |",
        "| --- | ---: | ---: | ---: |",
        "| ResNet-34 | 0.700 (0.600 to 0.800) | 0.4936* | 0.900 (0.600 to 0.800) |",
        "| own | 0.500 (0.600 to 0.800) | - | - |",
        "| AlexNet | not run | 0.5385 | not run |",
    ]


def test_two_conditions_with_one_name_are_told_apart_by_their_groups(page_and_plan, tmp_path, summary):
    write_record(page_and_plan[0], *make_rows(), make_row(group="gone", value=0.2))
    make_page(page_and_plan, tmp_path, summary=summary)
    names = [line.split(" | ")[0].removeprefix("| ") for line in lines(summary)]
    assert {"ResNet-34, folded", "ResNet-34, gone"} <= set(names)


def test_a_table_that_the_plan_does_not_make_for_the_page_is_refused(page_and_plan, tmp_path, summary):
    write_record(page_and_plan[0], *make_rows())
    before = PAGE + "<!-- table:scores -->\nold numbers\n<!-- end -->\n"
    summary.write_text(before)
    with pytest.raises(UserError, match=r"README\.md: .*results\.yaml has no table scores for it; remove its marker"):
        make_page(page_and_plan, tmp_path, summary=summary)
    assert summary.read_text() == before


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("validation: on_val", "validation: gone", "summary.in_short.columns: no table gone of the kind scores has"),
        ("validation: on_val", "validation: outside", "no table outside of the kind scores has the metric accuracy"),
        ("metric: accuracy, columns", "metric: log_loss, columns", "no table on_val of the kind scores has the metric"),
        ("{test: scores, validation: on_val}", "{}", "summary.in_short.columns={}: give a mapping"),
        ("in_short:", "headline:", "summary.headline: the page has a table of this name already"),
    ],
)
def test_a_summary_that_no_table_could_fill_is_refused(page_and_plan, tmp_path, summary, old, new, line):
    plan = page_and_plan[1]
    plan.write_text(plan.read_text().replace(old, new))
    with pytest.raises(UserError) as refused:
        make_page(page_and_plan, tmp_path, summary=summary)
    assert line in str(refused.value)
    assert summary.read_text() == PAGE
