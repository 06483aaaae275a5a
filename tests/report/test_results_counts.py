"""The page of results counts what its numbers are made of: runs, seeds, images and data sets."""

import shutil

from across_runs import TWO, count, describe, draw_cases, evaluate, with_validation, write_sets
from results_pages import make_page


def rows_of(content, group):
    return [row for row in content["rows"] if row["group"] == group]


def test_a_cell_counts_the_runs_that_were_evaluated_on_its_set(folded_runs, finished, page_and_plan, tmp_path):
    runs = [
        finished("group=outside", "model=alexnet", TWO, f"seed={seed}", cases=with_validation(draw_cases("busi"), "b"))
        for seed in (0, 1, 2)
    ]
    for run in runs[:2]:
        evaluate(run, "other", draw_cases("other", sure=1.5))
    text, content = make_page(page_and_plan, tmp_path)
    cells = {row["data"]: row for row in rows_of(content, "outside") if row["model"] == "alexnet"}
    assert {data: row["runs"] for data, row in cells.items()} == {"busi": 3, "other": 2}
    assert cells["other"]["protocol"] == "images of another data set, 2 runs"
    assert ", n = 60, 2 runs |" in text
    assert len([line for line in text.splitlines() if line.startswith("| busi | AlexNet |")]) == 1


def test_a_copied_run_is_no_further_seed_and_is_named(folded_runs, page_and_plan, tmp_path):
    first = folded_runs[0, 0].path
    make_page(page_and_plan, tmp_path)
    for fold in (0, 1):
        shutil.copytree(folded_runs[0, fold].path, first.with_name(f"a copy of {fold}"))
    _, content = make_page(page_and_plan, tmp_path)
    (row, _) = rows_of(content, "folded")  # the copy gives no second condition
    assert row["protocol"].endswith("2 folds, 2 seeds, 3 repetitions")
    words = f"seed 0, fold 0 counts twice: a copy of 0, {first.name}"
    assert {"group": "folded", "about": "resnet34__data.split.folds-2", "text": words} in content["missing"]


def test_images_are_counted_once_where_seeds_lack_folds_and_where_folds_share_validation_images(
    folded_runs, page_and_plan, tmp_path
):
    _, plan = page_and_plan
    plan.write_text(plan.read_text().replace("goals:", """
  shared: {groups: [folded], task: classification, part: val, metrics: [accuracy]}
goals:"""))  # fmt: skip
    page, _ = page_and_plan
    page.write_text(f"{page.read_text()}\n<!-- table:shared -->\n<!-- end -->\n")
    shutil.rmtree(folded_runs[1, 1].path)
    shutil.rmtree(folded_runs[0, 0].path)
    _, content = make_page(page_and_plan, tmp_path)
    counts = {row["table"]: row["n"] for row in rows_of(content, "folded")}
    assert counts == {"scores": 40, "shared": 20}


def test_a_set_that_was_only_tested_is_named_instead_of_the_training_sets(finished, page_and_plan, tmp_path):
    cases = with_validation(draw_cases("breast", prefix="breast/"), "v", prefix="busi/")
    run = finished("group=folded", "model=resnet34", TWO, "data=[busi,breast]", "data.root=null", cases=cases)
    sets = {name: describe(name) for name in ("busi", "breast")}
    write_sets(run, sets, {"breast": count(60)}, train=["busi"])
    _, content = make_page(page_and_plan, tmp_path)
    (row, _) = rows_of(content, "folded")
    assert (row["trained"], row["data"]) == (["busi"], "breast")
    assert content["goals"][0]["reached"] == []  # the goal is about the images of the training set
