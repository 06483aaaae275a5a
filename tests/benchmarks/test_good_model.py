"""The benchmark of a good model tells by its exit code whether the goal was met."""

import pytest

from benchmarks import good_model
from benchmarks.good_model import measure, meets_goal, tables


@pytest.mark.parametrize(("ours", "plain", "is_met"), [
    ((10, 16, None), (90, 96, None), True), ((10, 17, None), (90, 96, None), False),
    ((10, 16, None), (None, None, 60), True), ((10, 17, None), (None, None, 60), False),
    ((None, None, 10), (90, 96, 99), False), ((None, None, 10), (None, None, 60), False),
], ids=["in time", "late", "plain missed", "plain stopped early", "ours missed", "both missed"])  # fmt: skip
def test_the_goal_is_met_only_by_a_median_that_reached_the_score_in_time(ours, plain, is_met):
    sides = {"ours": ours, "plain": plain}
    results = {
        name: {str(k): {"seconds": each, "whole": 100} for k, each in enumerate(times)} for name, times in sides.items()
    }
    assert meets_goal({"contestants": results}) is is_met


def test_a_share_of_a_training_that_was_stopped_is_called_an_upper_bound():
    reached = {"seconds": 10.0, "busy": 20.0, "scores": [0.93], "whole": 12.0}
    stopped = {"seconds": None, "busy": None, "scores": [0.8, 0.9], "whole": 100.0}
    for other, shown in ((reached | {"seconds": 50.0}, "| 0.20 |"), (stopped, "| under 0.10 |")):
        table = tables({"auc": 0.92, "contestants": {"ours": {"0": reached}, "plain": {"0": other}}})["good_model"]
        assert shown in table


def test_the_table_names_the_commit_of_each_training_that_was_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("BUSI_ROOT", str(tmp_path))
    monkeypatch.setattr(good_model, "_FOLDER", tmp_path / "kept")
    trained = {"seconds": 60.0, "busy": 90.0, "scores": [0.93], "whole": 70.0}
    monkeypatch.setattr(good_model, "_plain", lambda seed: trained)
    for seeds, name in (((0,), "aaaaaaa"), ((0, 1), "bbbbbbb")):  # the second command continues the first
        monkeypatch.setattr(good_model, "commit", lambda name=name: name)
        table = tables(measure(seeds, ("plain",)))["good_model"]
    assert table.endswith("Trained at aaaaaaa, bbbbbbb.")
