"""Runs that are gone in part: the page has what is there, and says that an earlier page had more."""

import json
import logging
import shutil

import pytest
from averaging import average
from results_pages import make_page, make_row, write_record

NAME = "resnet34__data.split.folds-2"


def lines_about(content, word="an earlier page had"):
    return [(each["about"], each["text"]) for each in content["missing"] if word in each["text"]]


def test_a_condition_with_fewer_runs_than_before_says_so_as_long_as_they_are_fewer(
    folded_runs, page_and_plan, tmp_path
):
    make_page(page_and_plan, tmp_path)
    away = tmp_path / "away"
    shutil.copytree(tmp_path / "runs" / "folded", away)
    for run in (folded_runs[0, 1], folded_runs[1, 1], folded_runs[1, 0]):
        shutil.rmtree(run.path)
    text, content = make_page(page_and_plan, tmp_path)
    words = "an earlier page had 4 runs with 40 test images of busi; now 1 run with 20 test images of busi"
    assert lines_about(content) == [(NAME, words)]
    assert f"| folded | {NAME} | {words} |" in text
    assert make_page(page_and_plan, tmp_path) == (text, content)  # it is not forgotten with the numbers
    shutil.rmtree(tmp_path / "runs" / "folded")
    away.rename(tmp_path / "runs" / "folded")
    _, content = make_page(page_and_plan, tmp_path)
    assert not lines_about(content)
    assert content["fuller"] == []


def test_a_data_set_whose_evaluation_is_gone_is_named(folded_runs, page_and_plan, tmp_path):
    _, before = make_page(page_and_plan, tmp_path)
    (run,) = (tmp_path / "runs" / "outside").iterdir()
    shutil.rmtree(run / "evaluations")
    _, content = make_page(page_and_plan, tmp_path)
    assert {row["data"] for row in before["rows"] if row["group"] == "outside"} == {"busi", "other"}
    ((_, words),) = lines_about(content)
    assert words == "an earlier page had 1 run with 60 test images of other; now there is none"


def test_only_runs_forgets_that_there_was_more(folded_runs, page_and_plan, tmp_path):
    page, _ = page_and_plan
    write_record(page, make_row(condition=NAME, runs=9), fuller=[])
    assert lines_about(make_page(page_and_plan, tmp_path)[1])
    assert not lines_about(make_page(page_and_plan, tmp_path, only_runs=True)[1])


def test_numbers_of_a_table_that_the_plan_no_longer_has_are_named_when_they_are_left_out(
    page_and_plan, tmp_path, caplog
):
    page, _ = page_and_plan
    write_record(page, make_row(), make_row(table="gone"), make_row(table="gone", metric="f1_macro"))
    with caplog.at_level(logging.WARNING):
        make_page(page_and_plan, tmp_path)
    assert "no table of" in caplog.text
    assert "left out: gone (2)" in caplog.text
    caplog.clear()
    make_page(page_and_plan, tmp_path)
    assert not caplog.text
    assert len(json.loads(page.with_suffix(".json").read_text())["rows"]) == 1


def test_runs_of_other_images_under_the_name_of_a_condition_are_named_when_they_replace_it(
    finished, page_and_plan, tmp_path, caplog
):
    run = finished("group=folded", "model=resnet34")
    with caplog.at_level(logging.WARNING):
        make_page(page_and_plan, tmp_path)
        make_page(page_and_plan, tmp_path)
    assert not caplog.text
    run.update_status(data="other images")
    with caplog.at_level(logging.WARNING):
        _, content = make_page(page_and_plan, tmp_path)
    assert "whose numbers are replaced: resnet34 (folded)" in caplog.text
    assert {row["images"] for row in content["rows"]} == {"other images"}


@pytest.fixture
def averaged_runs(finished):
    """Write three seeds in the group `folded`, and their ensemble."""
    runs = [finished("group=folded", "model=resnet34", f"seed={seed}") for seed in range(3)]
    for seed, run in enumerate(runs):
        run.update_status(commit="a" * 40, command=f"train.py seed={seed} group=folded", protocol="e" * 64)
    average(f"{runs[0].path.parent}/*")
    return runs


def ensemble_in(content):
    return next(row for row in content["rows"] if row["ensemble"] == 3)


def test_a_damaged_network_of_an_ensemble_is_named_and_the_rest_is_shown(averaged_runs, page_and_plan, tmp_path):
    averaged_runs[0].status_file.write_text("{")
    text, content = make_page(page_and_plan, tmp_path)
    assert ensemble_in(content)["commit"] == "aaaaaaa, not known"
    assert ensemble_in(content)["protocol_sha256"] is None
    trained = [f"python train.py seed={seed} group=folded" for seed in (1, 2)]
    assert ensemble_in(content)["command"] == [*trained, "python evaluate.py 'runs=runs/folded/*' ensemble=seeds"]
    assert "status.json is damaged" in text


def test_an_ensemble_whose_networks_are_gone_keeps_where_they_came_from(averaged_runs, page_and_plan, tmp_path):
    _, before = make_page(page_and_plan, tmp_path)
    for run in averaged_runs:
        shutil.rmtree(run.path)
    _, after = make_page(page_and_plan, tmp_path)
    assert ensemble_in(after) == ensemble_in(before)
    assert ensemble_in(after)["commit"] == "aaaaaaa"
    text, content = make_page(page_and_plan, tmp_path, only_runs=True)
    assert "Commit of the training: not known.\n" in text
    assert (ensemble_in(content)["commit"], ensemble_in(content)["command"]) == ("not known", [])


def test_an_ensemble_with_another_number_does_not_take_over_where_the_old_one_came_from(
    averaged_runs, page_and_plan, tmp_path
):
    page, _ = page_and_plan
    make_page(page_and_plan, tmp_path)
    content = json.loads(page.with_suffix(".json").read_text())
    for row in content["rows"]:
        row["value"] = 0.123
    page.with_suffix(".json").write_text(json.dumps(content))
    for run in averaged_runs:
        shutil.rmtree(run.path)
    _, after = make_page(page_and_plan, tmp_path)
    assert ensemble_in(after)["commit"] == "not known"
