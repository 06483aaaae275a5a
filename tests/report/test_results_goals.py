"""A goal shows the planned condition, and the best one as what it is: chosen by its score on test images."""

from dataclasses import replace

import pytest

from bus_lightning.report.results.goals import find_answers, judge, make_goals, make_headline
from bus_lightning.report.results.plan import Goal
from bus_lightning.report.results.rows import Row

GOAL = Goal("three classes", ("first", "second"), "classification", "accuracy", 0.88)


def row(group, condition, value, networks=1, table="scores", metric="accuracy", n=780):
    return Row(
        table=table, group=group, condition=condition, label=condition, model="resnet34", ensemble=networks,
        task="classification", trained=("busi",), data="busi", classes=(), protocol="", protocol_sha256=None,
        part="test", metric=metric, value=value, low=value, high=value, reason="", n=n, runs=networks,
        sd_of_runs=None, commit="", command=(),
    )  # fmt: skip


ROWS = [row("first", "single", 0.80), row("first", "ensemble", 0.90, networks=3), row("second", "joint", 0.86),
        row("third", "other", 0.99)]  # fmt: skip


def answers(goal, rows):
    return [(answer.role, answer.row and answer.row.condition) for answer in find_answers(goal, rows)]


def test_the_planned_condition_comes_first_and_the_best_says_among_how_many_it_was_chosen():
    assert answers(GOAL, ROWS) == [("planned", "single"), ("best of 3", "ensemble")]
    text = make_goals([GOAL], ROWS)
    assert "planned, single: 0.800 (0.800 to 0.800)<br>best of 3, ensemble: 0.900 (0.900 to 0.900)" in text
    assert "| not reached<br>reached | 780, 1 run<br>780, 3 runs |" in text


def test_a_plan_can_name_the_ensemble_as_the_planned_condition():
    goal = Goal("three classes", ("first",), "classification", "accuracy", 0.88, ensemble=True)
    assert answers(goal, ROWS) == [("planned", "ensemble"), ("best of 2", "ensemble")]


def test_a_planned_condition_without_a_number_is_not_replaced_by_the_best():
    assert answers(GOAL, ROWS[1:]) == [("planned", None), ("best of 2", "ensemble")]
    assert "planned: not measured<br>best of 2" in make_goals([GOAL], ROWS[1:])
    assert answers(GOAL, ROWS[2:]) == [("planned", None), ("the only one", "joint")]
    assert "| not measured | - | - |" in make_goals([GOAL], ROWS[3:])


def test_a_condition_that_two_tables_show_counts_once():
    again = [*ROWS, row("second", "joint__second", 0.86, table="outside")]
    assert answers(GOAL, again)[1] == ("best of 3", "ensemble")


def test_a_goal_about_another_data_set_is_not_answered_by_networks_that_were_trained_on_it():
    goal = Goal("outside", ("first",), "classification", "accuracy", 0.88, tested="bus_bra")
    outside = replace(row("first", "single", 0.7), data="bus_bra")
    inside = replace(row("first", "other", 0.9), data="bus_bra", trained=("bus_bra",))
    both = replace(row("first", "both", 0.9), data="bus_bra", trained=("busi", "bus_bra"))
    assert answers(goal, [outside, inside, both]) == [("planned", "single")]


@pytest.mark.parametrize(("metric", "goal", "best"), [
    ("log_loss", {"goal": 0.3}, "low"),
    ("malignant_calibration_slope", {"goal": 0.9, "at_most": 1.1}, "middle"),
    ("accuracy", {"goal": 0.9}, "high"),
])  # fmt: skip
def test_the_best_is_the_lowest_of_a_loss_and_the_nearest_to_the_middle_of_a_range(metric, goal, best):
    values = {"low": 0.2, "middle": 0.95, "high": 1.5}
    rows = [row("first", name, value, metric=metric) for name, value in values.items()]
    planned = Goal("all", ("first",), "classification", metric, **goal)
    assert find_answers(planned, rows)[-1].row.condition == best
    assert judge(planned, find_answers(planned, rows)[-1].row) == "reached"


def test_the_headline_shows_the_planned_condition_next_to_the_best_and_among_how_many_it_was_chosen():
    best = "0.900 (0.900 to 0.900), first, ensemble of 3; best of"
    planned = "| three classes: accuracy | 0.800 (0.800 to 0.800), first |"
    assert f"{planned} {best} 3 | 780 | - |" in make_headline([GOAL], ROWS)
    assert f"{planned} - | 780 | - |" in make_headline([GOAL], ROWS[:1])
    assert f"| not measured | {best} 2 | 780 | - |" in make_headline([GOAL], ROWS[1:])
    assert "| three classes: accuracy | not measured | not measured | - | - |" in make_headline([GOAL], ROWS[3:])
    best_as_planned = [row("first", "single", 0.95), *ROWS[2:]]
    assert "| 0.950 (0.950 to 0.950), first | the same; best of 2 | 780 |" in make_headline([GOAL], best_as_planned)


def test_the_headline_names_every_recipe_that_an_ensemble_averages():
    both = replace(row("first", "both", 0.97, networks=6), averaged=("first", "second"))
    assert "0.970 (0.970 to 0.970), first and second, ensemble of 6; best of 4" in make_headline([GOAL], [*ROWS, both])


def test_a_condition_that_has_tested_fewer_images_than_another_is_no_headline():
    rows = [row("first", "single fold", 0.99, n=156), *ROWS[2:]]
    headline = "| not measured | 0.860 (0.860 to 0.860), second; another was planned | 780 | - |"
    assert headline in make_headline([GOAL], rows)
    assert answers(GOAL, rows) == [("planned", "single fold"), ("the only one", "joint")]
    assert answers(GOAL, [row("second", "one fold", 0.99, n=156), *ROWS])[1] == ("best of 3", "ensemble")
