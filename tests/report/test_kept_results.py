"""Numbers on the page of results outlive their runs, and the page says so."""

import shutil

import pytest
from results_pages import PAGE, make_page

from bus_lightning.core.errors import UserError


def test_numbers_whose_runs_are_gone_stay_and_are_named(folded_runs, page_and_plan, tmp_path):
    before, content = make_page(page_and_plan, tmp_path)
    shutil.rmtree(tmp_path / "runs" / "folded")
    text, kept = make_page(page_and_plan, tmp_path)
    assert [row | {"kept": row["group"] == "folded"} for row in content["rows"]] == kept["rows"]
    line = next(line for line in before.splitlines() if line.startswith("| ResNet-34 |"))
    assert line in text
    assert "*Kept from an earlier page: the folder of runs no longer has the runs of this table.*" in text
    assert kept["goals"] == content["goals"]
    assert not [each for each in kept["missing"] if each["group"] == "folded"]
    assert make_page(page_and_plan, tmp_path) == (text, kept)


def test_new_runs_of_a_condition_replace_its_kept_numbers_whole(folded_runs, page_and_plan, tmp_path):
    make_page(page_and_plan, tmp_path)
    for run in (folded_runs[0, 1], folded_runs[1, 1], folded_runs[1, 0]):
        shutil.rmtree(run.path)
    text, content = make_page(page_and_plan, tmp_path)
    own = [row for row in content["rows"] if row["group"] == "folded"]
    assert {(row["runs"], row["kept"]) for row in own} == {(1, False)}
    assert "Kept from an earlier page" not in text


def test_what_kept_numbers_lacked_stays_named(folded_runs, page_and_plan, tmp_path):
    folded_runs[1, 1].metrics_file.unlink()
    folded_runs[1, 1].update_status(state="interrupted")
    _, before = make_page(page_and_plan, tmp_path)
    lacking = [each for each in before["missing"] if each["group"] == "folded"]
    shutil.rmtree(tmp_path / "runs" / "folded")
    _, after = make_page(page_and_plan, tmp_path)
    assert lacking
    assert [each for each in after["missing"] if each["group"] == "folded"] == lacking


def test_a_table_of_new_and_kept_numbers_names_the_kept_ones(folded_runs, page_and_plan, finished, tmp_path):
    _, before = make_page(page_and_plan, tmp_path)
    shutil.rmtree(tmp_path / "runs" / "folded")
    finished("group=folded", "model=alexnet")
    text, content = make_page(page_and_plan, tmp_path)
    assert "*Kept from an earlier page: the folder of runs no longer has those of resnet34 (folded).*" in text
    own = {(row["condition"], row["kept"]) for row in content["rows"] if row["group"] == "folded"}
    assert own == {("alexnet", False), (before["rows"][0]["condition"], True)}
    assert {"group": "folded, gone", "about": "alexnet", "text": "not run"} not in content["missing"]


def test_only_runs_keeps_nothing(folded_runs, page_and_plan, tmp_path):
    make_page(page_and_plan, tmp_path)
    shutil.rmtree(tmp_path / "runs" / "folded")
    text, content = make_page(page_and_plan, tmp_path, only_runs=True)
    assert {row["group"] for row in content["rows"]} == {"outside"}
    assert "there are no runs of this group" in text


@pytest.mark.parametrize("damage", ["{", '{"rows": [{"table": "scores"}], "missing": []}', '{"missing": []}'])
def test_a_damaged_record_is_refused_and_nothing_is_lost(folded_runs, page_and_plan, tmp_path, damage):
    page, _ = page_and_plan
    page.with_suffix(".json").write_text(damage)
    with pytest.raises(UserError, match=r"results\.json is damaged.*--only-runs"):
        make_page(page_and_plan, tmp_path)
    assert (page.read_text(), page.with_suffix(".json").read_text()) == (PAGE, damage)
