"""What a condition says of its runs."""

from bus_lightning.statistics.conditions import read_group


def test_a_condition_says_whether_its_runs_were_cross_fitted(finished):
    run = finished("model=resnet34")
    finished("model=resnet34", "data.split.cross_folds=2", "data.split.cross_fold=0")
    conditions = read_group(run.path.parent).conditions
    assert sorted(condition.is_cross_fitted for condition in conditions) == [False, True]
    assert {len(condition.part("val")) for condition in conditions} == {20}
    assert {len(condition.part("test")) for condition in conditions} == {40}
