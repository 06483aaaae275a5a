"""A page that cannot be made is refused in one line, before anything is written; nothing is lost or half-written."""

import json
import os
import signal
import threading

import pytest
from results_pages import PAGE, make_page, make_row, write_record

from bus_lightning.core.errors import UserError
from bus_lightning.launch.results import main
from bus_lightning.report.results import making
from bus_lightning.report.up_to_date import alone


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def command(page_and_plan, tmp_path, *more):
    page, plan = page_and_plan
    (tmp_path / "runs").mkdir(exist_ok=True)
    return ["--runs", str(tmp_path / "runs"), "--page", str(page), "--plan", str(plan), *map(str, more)]


def refusal(arguments, capsys):
    """Return the line with which a command is refused."""
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Only prose.\n", "has no markers, such as <!-- table:goals -->"),
        (PAGE.replace("table:outside", "table:gone"), "has no table gone for it; remove its marker"),
        (PAGE.replace("old\n<!-- end -->\n", "old\n"), "the table goals before this line has no end"),
        (PAGE.replace("Prose", "Prose \udcff"), "is damaged: it is not text in UTF-8"),
    ],
)
def test_a_page_that_cannot_be_filled_is_refused_before_anything_is_written(
    page_and_plan, tmp_path, capsys, text, line
):
    page, _ = page_and_plan
    write_record(page, make_row())
    page.write_bytes(text.encode(errors="surrogateescape"))
    before = contents(page.parent)
    refused = refusal(command(page_and_plan, tmp_path), capsys)
    assert line in refused
    assert str(page) in refused
    assert contents(page.parent) == before


@pytest.mark.parametrize(
    ("summary", "line"),
    [("README.md", "has no place for the goals"), ("gone.md", "no such page"), ("docs/results.md", "the page itself")],
)
def test_a_summary_that_cannot_be_filled_leaves_the_page_as_it_is(page_and_plan, tmp_path, capsys, summary, line):
    page, _ = page_and_plan
    write_record(page, make_row())
    (tmp_path / "README.md").write_text("Only prose.\n")
    assert line in refusal(command(page_and_plan, tmp_path, "--summary", tmp_path / summary), capsys)
    assert page.read_text() == PAGE


def test_a_folder_in_the_place_of_the_json_is_refused_and_the_page_stays(folded_runs, page_and_plan, tmp_path):
    page, _ = page_and_plan
    page.with_suffix(".json").mkdir()
    with pytest.raises(UserError, match=r"results\.json: a folder or a device has this name"):
        make_page(page_and_plan, tmp_path, only_runs=True)
    assert page.read_text() == PAGE


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (os.mkdir, "is a folder"),
        (os.mkfifo, "is a pipe"),
        (lambda path: path.symlink_to("nowhere.json"), "is a link to a file that is not there"),
        (lambda path: path.symlink_to(path.name), "symbolic links"),
    ],
)
def test_what_is_no_file_in_the_place_of_the_json_is_refused(page_and_plan, tmp_path, capsys, make, line):
    page, _ = page_and_plan
    make(page.with_suffix(".json"))
    refused = refusal(command(page_and_plan, tmp_path), capsys)
    assert line in refused
    assert "results.json is damaged" in refused
    assert page.read_text() == PAGE


def test_a_page_with_numbers_and_without_its_json_is_refused_because_they_would_be_lost(
    folded_runs, page_and_plan, tmp_path, capsys
):
    page, _ = page_and_plan
    text, _ = make_page(page_and_plan, tmp_path)
    page.with_suffix(".json").unlink()
    assert "results.json is not there, but" in refusal(command(page_and_plan, tmp_path), capsys)
    assert page.read_text() == text
    assert main(command(page_and_plan, tmp_path, "--only-runs")) == 0


def test_a_page_that_would_be_replaced_by_its_own_json_is_refused(page_and_plan, tmp_path, capsys):
    page, plan = page_and_plan
    page = page.rename(page.with_suffix(".json"))
    assert "the JSON has the name of the page" in refusal(command((page, plan), tmp_path), capsys)
    assert page.read_text() == PAGE


def test_a_mistyped_folder_of_runs_does_not_look_as_if_all_runs_were_gone(page_and_plan, tmp_path, capsys):
    page, plan = page_and_plan
    write_record(page, make_row())
    arguments = ["--runs", str(tmp_path / "rnus"), "--page", str(page), "--plan", str(plan)]
    assert "rnus: there is no such folder" in refusal(arguments, capsys)
    assert page.read_text() == PAGE


def test_a_page_with_windows_line_endings_keeps_them_and_a_link_stays_a_link(page_and_plan, tmp_path):
    page, plan = page_and_plan
    page.write_bytes(PAGE.replace("\n", "\r\n").encode())
    link = page.with_name("link.md")
    link.symlink_to(page.name)
    write_record(link, make_row())
    make_page((link, plan), tmp_path)
    assert link.is_symlink()
    assert b"| ResNet-34 |" in page.read_bytes()
    assert page.read_bytes().count(b"\n") == page.read_bytes().count(b"\r\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_leaves_everything_as_it_was_and_no_traceback(
    page_and_plan, tmp_path, capsys, monkeypatch, number
):
    page, _ = page_and_plan
    write_record(page, make_row())
    before = contents(page.parent)
    monkeypatch.setattr(making, "make_missing", lambda _: os.kill(os.getpid(), number))
    assert main(command(page_and_plan, tmp_path)) == 128 + number
    assert capsys.readouterr().err.strip().splitlines()[-1] == "Stopped. The same command starts again."
    assert contents(page.parent) == before


def test_a_second_command_waits_for_the_first_and_keeps_what_it_wrote(page_and_plan, tmp_path):
    page, _ = page_and_plan
    with alone(page):
        second = threading.Thread(target=main, args=[command(page_and_plan, tmp_path)])
        second.start()
        second.join(0.5)
        assert second.is_alive()
        write_record(page, make_row(condition="written meanwhile"))
    second.join(30)
    (row,) = json.loads(page.with_suffix(".json").read_text())["rows"]
    assert row["condition"] == "written meanwhile"
    assert {path.name for path in page.parent.iterdir()} == {"results.md", "results.json", "results.yaml"}


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("  outside: {", "  goals: {", "tables.goals: the page has a table of this name already"),
        ("  outside: {", "  'out side': {", "name of a table=out side: give a name"),
        (
            "kind: across,",
            "kind: across, part: val,",
            "tables.outside.part=val: a table across data sets has test images",
        ),
        ("metrics: [accuracy, ", "metrics: [dice_image, accuracy, ", "dice_image is no metric of task=classification"),
        ("paper: {accuracy", "paper: {f1_macro", "tables.scores.paper: f1_macro is not among its metrics"),
        (
            "metric: accuracy, goal",
            "metric: f1_macro, goal",
            "goals[0]: no table has f1_macro of test images of folded",
        ),
        (
            "tested: other",
            "tested: other}\n  - {question: q, groups: [folded], task: classification, metric: accuracy, "
            "goal: 1, tested: other",
            "goals[3]: no table across data sets has accuracy",
        ),
        ("goal: 0.5,", "goal: 0.5, at_most: 0.4,", "goals[0].at_most=0.4 is below goal=0.5"),
    ],
)
def test_a_plan_whose_table_or_goal_could_never_be_shown_is_refused(page_and_plan, tmp_path, capsys, old, new, line):
    page, plan = page_and_plan
    plan.write_text(plan.read_text().replace(old, new))
    assert line in refusal(command(page_and_plan, tmp_path), capsys)
    assert page.read_text() == PAGE
