"""Which runs a report takes together, and which it leaves out."""

import pandas as pd
import pytest

from bus_lightning.core.errors import UserError
from bus_lightning.statistics.conditions import read_group


def test_runs_that_differ_in_seed_and_fold_are_one_condition(finished):
    whole = pd.read_csv(finished("model=resnet34", "group=whole").cases).assign(split="test")
    for seed in (0, 1):
        for fold in (0, 1):
            part = whole[whole.index % 2 == fold]
            run = finished(
                "model=resnet34", f"seed={seed}", "data.split.folds=2", f"data.split.fold={fold}", cases=part
            )
    finished("model=resnet34", "optimizer.lr=0.1")
    group = read_group(run.path.parent)
    assert sorted(len(condition.runs) for condition in group.conditions) == [1, 4]
    four = max(group.conditions, key=lambda condition: len(condition.runs))
    assert four.name == "resnet34__data.split.folds-2"
    assert four.cases.groupby("replicate")["run"].nunique().tolist() == [2, 2]  # a seed, both folds
    assert not four.cases.duplicated(["replicate", "id"]).any()


def test_runs_that_test_the_same_images_are_no_folds_of_each_other(finished):
    finished("model=resnet34", "name=one")
    run = finished("model=resnet34", "name=two")
    (condition,) = read_group(run.path.parent).conditions
    assert sorted(condition.cases["replicate"].unique()) == [0, 1]


@pytest.mark.parametrize("file", ["status.json", "metrics.json", "split.json", "cases.csv", "config.yaml"])
def test_a_damaged_file_leaves_its_run_out_and_the_rest_in(finished, file):
    whole, damaged = finished("model=resnet34"), finished("model=resnet50")
    (damaged.path / file).write_text("{")
    group = read_group(whole.path.parent)
    assert [condition.model for condition in group.conditions] == ["resnet34"]
    assert group.left_out["run"].tolist() == [damaged.path.name]


def test_a_class_may_have_a_name_that_csv_reads_as_missing(finished):
    cases = pd.read_csv(finished("model=resnet34", "group=whole").cases)
    cases["label"] = cases["label"].replace({"benign": "NA", "malignant": "0"})
    cases = cases.rename(columns={"prob_benign": "prob_NA", "prob_malignant": "prob_0"})
    run = finished("model=resnet34", "data.classes=[NA,'0',normal]", cases=cases)
    (condition,) = read_group(run.path.parent).conditions
    assert set(condition.cases["label"]) == {"NA", "0", "normal"}


@pytest.mark.parametrize("change", ["optimizer.lr=0.1", "data.size=32", "overlay=contour", "trainer.max_epochs=7"])
def test_runs_that_differ_in_anything_else_are_separate_conditions(finished, change):
    run = finished("model=resnet34")
    finished("model=resnet34", change)
    assert len(read_group(run.path.parent).conditions) == 2


def test_every_case_carries_the_group_of_its_image(finished):
    groups = {"benign/benign (30)": 777, "malignant/malignant (31)": 777}
    run = finished("model=resnet34", groups=groups)
    cases = read_group(run.path.parent).conditions[0].cases.set_index("id")
    assert cases.loc[list(groups), "group"].tolist() == [777, 777]


def test_unfinished_failed_and_foreign_folders_are_listed_with_the_reason(finished):
    whole = finished("model=resnet34")
    running, failed = finished("model=resnet50"), finished("model=alexnet")
    running.metrics_file.unlink()
    running.update_status(state="running")
    failed.metrics_file.unlink()
    failed.update_status(state="failed", error="out of memory")
    (whole.path.parent / "notes").mkdir()
    (whole.path.parent / "report").mkdir()
    group = read_group(whole.path.parent)
    assert [condition.model for condition in group.conditions] == ["resnet34"]
    reasons = group.left_out.set_index("run")["reason"]
    assert set(reasons.index) == {running.path.name, failed.path.name, "notes"}
    assert "running" in reasons[running.path.name]
    assert "out of memory" in reasons[failed.path.name]
    assert "config" in reasons["notes"]
    states = group.left_out.set_index("run")["state"].to_dict()
    assert states == {running.path.name: "running", failed.path.name: "failed", "notes": "no run"}


def test_a_run_that_failed_before_it_had_a_config_is_failed_and_not_damaged(finished):
    failed = finished("model=alexnet")
    failed.metrics_file.unlink()
    failed.config.unlink()
    failed.update_status(state="failed", error="2 images have no mask")
    (row,) = read_group(failed.path.parent).left_out.to_dict("records")
    assert (row["state"], row["reason"]) == ("failed", "is not complete: failed (2 images have no mask)")


def test_a_run_with_probabilities_that_are_no_numbers_is_bad(finished):
    run = finished("model=resnet34")
    cases = pd.read_csv(run.cases)
    cases.loc[3, "prob_benign"] = float("nan")
    run.write_cases(cases)
    group = read_group(run.path.parent)
    assert not group.conditions
    (reason,) = group.left_out["reason"]
    assert (
        "row 4 (line 5), column prob_benign: an empty cell is not a probability (did the training diverge?)" in reason
    )


def test_cases_that_are_not_of_the_saved_split_are_refused(finished):
    run = finished("model=resnet34")
    cases = pd.read_csv(run.cases)
    cases.loc[0, "split"] = "test"
    run.write_cases(cases)
    assert "not in that part of split.json" in read_group(run.path.parent).left_out["reason"].item()


def test_a_folder_without_runs_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="not a folder of runs"):
        read_group(tmp_path / "nowhere")
    with pytest.raises(UserError, match="contains no runs"):
        read_group(tmp_path)


def test_different_conditions_with_one_name_get_different_names(finished):
    run = finished("model=resnet34", "name=mine__seed-0")
    finished("model=resnet34", "optimizer.lr=0.1", "name=mine__seed-1")
    finished("model=resnet34", "optimizer.lr=0.2", "name=mine__2__seed-0")  # named as the second one is numbered
    assert len({condition.name for condition in read_group(run.path.parent).conditions}) == 3
