"""The benchmark of a good model says whether the goal was met, and what it does not know."""

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


REACHED = {"seconds": 10.0, "busy": 20.0, "scores": [0.9, 0.93], "whole": 12.0, "commit": "aaaaaaa"}
STOPPED = REACHED | {"seconds": None, "busy": None, "scores": [0.8, 0.7]}


@pytest.mark.parametrize(("ours", "plain", "shown"), [
    (REACHED, REACHED | {"seconds": 100.0}, "0.930 | 0.10 | 0.17 | yes |"),
    (REACHED, REACHED | {"seconds": 50.0}, "0.930 | 0.20 | 0.17 | **no** |"),
    (REACHED, STOPPED | {"whole": 100.0}, "0.930 | under 0.10 | 0.17 | yes |"),
    (REACHED, STOPPED | {"whole": 50.0}, "0.930 | under 0.20 | 0.17 | **no** |"),
    (STOPPED, REACHED, "0.800 |  | 0.17 | **no** |"),
], ids=["in time", "late", "plain was stopped", "plain was stopped early", "ours missed"])  # fmt: skip
def test_the_table_calls_a_share_of_a_stopped_training_an_upper_bound(ours, plain, shown):
    results = {"auc": 0.92, "contestants": {"ours": {"0": ours}, "plain": {"0": plain}}}
    line = next(line for line in tables(results)["good_model"].splitlines() if line.startswith("| ours"))
    assert line.endswith(shown)


def test_the_table_names_the_commit_of_each_training_that_was_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("BUSI_ROOT", str(tmp_path))
    monkeypatch.setattr(good_model, "_FOLDER", tmp_path / "kept")
    for side in ("_ours", "_plain"):
        monkeypatch.setattr(good_model, side, lambda seed: {key: REACHED[key] for key in REACHED if key != "commit"})
    for quick, name in ((True, "aaaaaaa"), (False, "bbbbbbb")):  # the second command continues the first
        monkeypatch.setattr(good_model, "commit", lambda name=name: name)
        table = tables(measure(quick))["good_model"]
    assert table.endswith("Trained at aaaaaaa, bbbbbbb.")
