"""Numbers on the page of results outlive their runs, and the page says so."""

import json
import shutil
from dataclasses import asdict

import pytest
from results_pages import PAGE, make_page, make_row

from bus_lightning.core.errors import UserError

ROW = json.loads(json.dumps(asdict(make_row())))


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


def test_a_model_that_kept_groups_lack_is_named_once_and_no_longer_than_the_plan_expects_it(page_and_plan, tmp_path):
    page, plan = page_and_plan
    plan.write_text(plan.read_text().replace("[folded, gone]", "[folded]"))
    lacking = [{"group": "folded", "about": name, "text": "not run"} for name in ("alexnet", "resnet50")]
    page.with_suffix(".json").write_text(json.dumps({"rows": [ROW], "missing": lacking}))
    text, content = make_page(page_and_plan, tmp_path)
    assert [each for each in content["missing"] if each["group"] == "folded"] == lacking[:1]
    assert make_page(page_and_plan, tmp_path) == (text, content)


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


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        ("{", "Expecting property name"),
        ("[]", "it holds a list instead of a dict"),
        ('{"missing": []}', "its rows are not a list"),
        ('{"rows": []}', "its missing are not a list"),
        ('{"rows": {}, "missing": []}', "its rows are not a list"),
        ('{"rows": [1], "missing": []}', r"rows\[0\] is not a mapping"),
        ('{"rows": [{"table": "scores"}], "missing": []}', r"rows\[0\] has no group"),
        ({"value": float("nan")}, r"rows\[1\].value=nan is not a number, or null"),
        ({"low": "0.6"}, r"rows\[1\].low=0.6 is not a number, or null"),
        ({"n": 1.5}, r"rows\[1\].n=1.5 is not a whole number"),
        ({"runs": 0}, r"rows\[1\].runs=0 is not a whole number of at least 1"),
        ({"command": "python train.py"}, r"rows\[1\].command=python train.py is not a list of texts"),
        ({"part": "train"}, r"rows\[1\].part=train is not one of val, test"),
        ({"kept": "yes"}, r"rows\[1\].kept=yes is not true or false"),
        ({"condition": ROW["condition"]}, r"rows\[0\] and rows\[1\] are the same number of resnet34"),
    ],
)
def test_a_damaged_record_is_refused_and_nothing_is_lost(page_and_plan, tmp_path, damage, line):
    page, _ = page_and_plan
    if isinstance(damage, dict):
        damage = json.dumps({"rows": [ROW, ROW | {"condition": "other"} | damage], "missing": []})
    page.with_suffix(".json").write_text(damage)
    with pytest.raises(UserError, match=rf"results\.json is damaged: .*{line}.*--only-runs"):
        make_page(page_and_plan, tmp_path)
    assert (page.read_text(), page.with_suffix(".json").read_text()) == (PAGE, damage)


def test_the_cure_of_a_damaged_record_works(folded_runs, page_and_plan, tmp_path):
    page, _ = page_and_plan
    page.with_suffix(".json").write_text("{")
    text, content = make_page(page_and_plan, tmp_path, only_runs=True)
    assert {row["kept"] for row in content["rows"]} == {False}
    assert make_page(page_and_plan, tmp_path) == (text, content)


def test_a_record_of_another_version_is_read_as_far_as_it_is_known(page_and_plan, tmp_path):
    page, _ = page_and_plan
    older = {key: value for key, value in ROW.items() if key not in ("paper", "kept")}
    page.with_suffix(".json").write_text(json.dumps({"rows": [older | {"later": 1}], "missing": [], "new": {}}))
    _, content = make_page(page_and_plan, tmp_path)
    assert content["rows"] == [ROW | {"kept": True}]
