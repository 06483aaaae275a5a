"""Numbers of a condition: the mean over seeds, folds pooled, an interval over groups."""

import numpy as np
import pandas as pd
import pytest

from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.statistics import summary
from bus_lightning.statistics.conditions import read_group
from bus_lightning.statistics.summary import summarise, value_of


def condition_of(run):
    return read_group(run.path.parent).conditions[0]


def test_the_value_of_one_run_is_that_of_its_metrics_file(finished):
    run = finished("model=resnet34")
    summary = summarise(condition_of(run), "test").set_index("metric")
    kept = {name: value for name, value in run.metrics["test"].items() if name in summary.index and value is not None}
    assert len(kept) > 20
    assert summary.loc[list(kept), "value"].to_dict() == pytest.approx(kept)
    assert (summary["n"] == 40).all()
    assert summary["sd_of_runs"].isna().all()


def test_seeds_are_averaged_and_their_spread_is_reported(finished):
    runs = [finished("model=resnet34", f"seed={seed}") for seed in range(3)]
    accuracies = [run.metrics["test"]["accuracy"] for run in runs]
    summary = summarise(condition_of(runs[0]), "test").set_index("metric").loc["accuracy"]
    assert summary["value"] == pytest.approx(np.mean(accuracies))
    assert summary["sd_of_runs"] == pytest.approx(np.std(accuracies, ddof=1))
    assert (summary["runs"], summary["n"]) == (3, 40)


def test_folds_are_pooled_out_of_fold(finished):
    whole = pd.read_csv(finished("model=resnet34", "group=whole").cases)
    for fold in (0, 1):
        half = whole[whole.index % 2 == fold].assign(split="test")
        run = finished("model=resnet34", "data.split.folds=2", f"data.split.fold={fold}", cases=half)
    summary = summarise(condition_of(run), "test").set_index("metric")
    assert summary.loc["auroc_macro", "value"] == pytest.approx(metrics_of(whole)["auroc_macro"])
    assert summary.loc["accuracy", "n"] == 60
    assert summary.loc["accuracy", "runs"] == 2


def test_an_interval_holds_its_value_and_near_duplicates_widen_it(finished):
    once = pd.read_csv(finished("model=resnet34", "group=once").cases).query("split == 'test'")
    thrice = pd.concat([once.assign(id=once["id"] + f" copy {copy}") for copy in range(3)], ignore_index=True)
    same_frame = {id_: 500 + number % len(once) for number, id_ in enumerate(thrice["id"])}
    widths = {}
    for name, options in {"alone": {}, "twins": {"groups": same_frame}}.items():
        run = finished("model=resnet34", f"group={name}", cases=thrice, **options)
        row = summarise(condition_of(run), "test").set_index("metric").loc["accuracy"]
        assert row["low"] <= row["value"] <= row["high"]
        widths[name] = row["high"] - row["low"]
    assert widths["twins"] > 1.5 * widths["alone"]  # without chance it would be the square root of three


def test_an_undefined_metric_has_a_reason_and_no_number(finished):
    run = finished("model=resnet34", "group=whole")
    cases = pd.read_csv(run.cases)
    run = finished("model=resnet34", "group=part", cases=cases[cases["label"] != "normal"])
    summary = summarise(condition_of(run), "test").set_index("metric").loc["auroc_macro"]
    assert summary[["value", "low", "high"]].isna().all()
    assert summary["reason"] == "no image of class normal"


def test_a_single_case_gives_a_summary(finished):
    cases = pd.read_csv(finished("model=resnet34", "group=whole").cases).tail(1)
    summary = summarise(condition_of(finished("model=resnet34", "group=one", cases=cases)), "test")
    assert value_of(summary, "accuracy") in (0, 1)
    assert value_of(summary, "accuracy", "n") == 1


def test_a_part_without_images_has_an_empty_summary(finished):
    cases = pd.read_csv(finished("model=resnet34", "group=whole").cases).query("split == 'test'")
    summary = summarise(condition_of(finished("model=resnet34", "group=test", cases=cases)), "val")
    assert summary.empty
    assert np.isnan(value_of(summary, "accuracy"))


def test_a_summary_is_kept_under_the_hash_of_its_cases(finished, tmp_path, monkeypatch):
    run = finished("model=resnet34")
    first = summarise(condition_of(run), "test", tmp_path / "cache")
    monkeypatch.setattr(summary, "_summarised", lambda cases: pytest.fail("computed again"))
    pd.testing.assert_frame_equal(summarise(condition_of(run), "test", tmp_path / "cache"), first)
    cases = pd.read_csv(run.cases)
    cases.loc[cases.index[-1], ["prob_benign", "prob_malignant", "prob_normal"]] = [0.9, 0.05, 0.05]
    run.write_cases(cases)
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        summarise(condition_of(run), "test", tmp_path / "cache")


def test_many_images_are_drawn_in_pieces_to_the_same_numbers(finished, monkeypatch):
    run = finished("model=resnet34")
    at_once = summarise(condition_of(run), "test")
    monkeypatch.setattr(summary, "AT_ONCE", 1000)
    pd.testing.assert_frame_equal(summarise(condition_of(run), "test"), at_once)
