"""The tables of benchmarks/README.md are what was measured, and nothing else."""

import json
import re
import shutil

import pytest

from benchmarks import report
from benchmarks.__main__ import SECTIONS
from benchmarks.contestants import Setting, timed_command
from benchmarks.processes import run
from benchmarks.stamps import SKIPPED, step_seconds, write_stamps


def test_the_readme_shows_what_the_results_hold(tmp_path):
    copy = tmp_path / "README.md"
    shutil.copy(report.README, copy)
    tables = {}
    for name, section in SECTIONS.items():
        tables |= report.section_tables(report.RESULTS, name, section.tables)
    assert report.render(tables, copy) == []
    assert copy.read_text() == report.README.read_text()
    places = set(re.findall(r"<!-- table:(\w+) -->", copy.read_text()))
    assert places == set(tables)


def test_rendering_leaves_the_prose_alone(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("Before.\n<!-- table:one -->\nold\n<!-- end -->\nBetween.\n<!-- table:two -->\n<!-- end -->\n")
    assert report.render({"one": "new", "none": "lost"}, readme) == ["none"]
    assert readme.read_text() == (
        "Before.\n<!-- table:one -->\nnew\n<!-- end -->\nBetween.\n<!-- table:two -->\n<!-- end -->\n"
    )


def test_no_result_names_a_path_of_the_machine_that_made_it():
    files = list(report.RESULTS.glob("*.json"))
    assert {file.stem for file in files} == set(SECTIONS) | {"chaos"}
    for file in files:
        content = json.loads(file.read_text())
        assert content["commit"]
        assert not re.search(r'"/\w', file.read_text()), file


def test_step_times_leave_the_first_steps_out(tmp_path):
    write_stamps(tmp_path / "clock.json", [0.0, 100.0, 101.0, 103.0, 107.0])
    assert step_seconds(tmp_path / "clock.json") == [2.0, 4.0]


@pytest.mark.slow
@pytest.mark.busi
@pytest.mark.parametrize("contestant", ["ours", "plain"])
def test_contestants_that_read_data_are_timed_over_the_same_steps(contestant, tmp_path, busi):
    command = timed_command(contestant, Setting("alexnet"), 4, tmp_path, None)
    run(command)
    assert len(step_seconds(tmp_path / "clock.json")) == 4 - SKIPPED - 1
