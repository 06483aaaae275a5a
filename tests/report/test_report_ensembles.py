"""A report shows an ensemble as a separate condition, with its networks, and says when one has changed."""

import pandas as pd
import pytest
from omegaconf import OmegaConf

from bus_lightning.paper.contradictions import unstated
from bus_lightning.paper.measured import Measured
from bus_lightning.report.calibration_section import calibration_section
from bus_lightning.report.certainty_section import certainty_section
from bus_lightning.report.contents import gather_evidence
from bus_lightning.report.costs import cost_frame, cost_table
from bus_lightning.report.ensemble_items import count_runs, ensemble_items
from bus_lightning.runs.folder import RunDir
from bus_lightning.statistics.checks import find_problems, passed_checks
from bus_lightning.statistics.comparisons import compare_all
from bus_lightning.statistics.conditions import read_group
from bus_lightning.training.ensembles import evaluate_ensembles


def average(group, name="seeds"):
    data = {"sets": {}, "root": None}
    options = {"runs": f"{group}/*", "ensemble": name, "part": "test", "split": None, "progress": False}
    evaluate_ensembles(OmegaConf.create(options | {"data": data}))


@pytest.fixture
def group(finished):
    """Write the runs of three seeds of a classifier and their ensemble, and return their folder."""
    runs = [finished("group=g", "model=resnet34", f"seed={seed}") for seed in range(3)]
    average(runs[0].path.parent)
    return runs[0].path.parent


def test_an_ensemble_is_a_separate_condition(group):
    ensemble, single = read_group(group).conditions
    assert (ensemble.name, single.name) == ("ensemble_resnet34", "resnet34")
    assert (ensemble.task, ensemble.networks, ensemble.cases["replicate"].nunique()) == ("classification", 3, 1)
    assert (single.is_ensemble, single.networks, single.cases["replicate"].nunique()) == (False, 1, 3)
    shown = [count_runs(condition, [ensemble, single]) for condition in (ensemble, single)]
    assert shown == [{"runs": 3, "networks per image": 3}, {"runs": 3, "networks per image": 1}]
    assert count_runs(single, [single]) == {"runs": 3}
    table, _ = ensemble_items([ensemble, single])
    (row,) = table.frame.to_dict("records")
    assert (row["ensemble"], row["which"], row["seeds"]) == ("ensemble_resnet34", "3 x resnet34", "0, 1, 2")
    assert ensemble_items([single]) == []


def test_sections_count_the_networks_of_an_ensemble_and_not_its_folders(group):
    evidence = gather_evidence(read_group(group))
    for section in (calibration_section(evidence), certainty_section(evidence)):
        frame = section.items[0].frame
        runs = set(zip(frame["condition"], frame["runs"], frame["networks per image"], strict=True))
        assert runs == {("ensemble_resnet34", 3, 3), ("resnet34", 3, 1)}
        assert not [item for item in section.items if "single run" in getattr(item, "text", "")]


def test_a_report_and_the_papers_claims_cover_an_ensemble_of_networks_with_different_input_sizes(finished):
    group = finished("group=g", "model=resnet34", "data.size=64").path.parent
    finished("group=g", "model=resnet34", "data.size=96")
    average(group, "sizes")
    conditions = read_group(group).conditions
    costs = cost_frame(conditions)
    assert set(cost_table(costs, {}).frame["input, pixels"]) == {"64 x 64", "96 x 96", "several"}
    assert unstated(Measured({}, {}, costs=costs))[2] == "input 64 x 64 pixels; input 96 x 96 pixels"


def test_an_ensemble_is_compared_with_its_networks_on_the_same_images(group):
    conditions = read_group(group).conditions
    (row,) = compare_all(conditions, "test", "accuracy", draws=200).to_dict("records")
    assert (row["a"], row["b"]) == ("ensemble_resnet34", "resnet34")
    assert (row["n"], row["left_out"], row["replicates_a"], row["replicates_b"]) == (40, 0, 1, 3)
    assert row["reason"] == ""


def test_an_ensemble_is_compared_with_its_networks_among_many_conditions(group, finished):
    for size in range(32, 32 + 9 * 8, 8):
        finished("group=g", "model=alexnet", f"data.size={size}")
    conditions = read_group(group).conditions
    table = compare_all(conditions, "test", "accuracy", draws=50, reference=conditions[0].name)
    pairs = set(zip(table["a"], table["b"], strict=True))
    assert ("ensemble_resnet34", "resnet34") in pairs
    assert len(pairs) == len(conditions)


def test_the_costs_of_an_ensemble_are_those_of_all_its_networks(group):
    ensemble, single = read_group(group).conditions
    for run in single.runs:
        run.update_status(latency_ms=2.0)
    average(group)  # complete: it keeps what it knew
    costs = cost_frame([ensemble, single]).set_index("model")
    for name in ("parameters", "macs", "weight_bytes"):
        assert costs.loc["ensemble_resnet34", name] == 3 * costs.loc["resnet34", name]
    assert costs.loc["ensemble_resnet34", "seconds_per_epoch"] is None
    assert cost_table(cost_frame([ensemble]), {}).frame["input, pixels"].tolist() == ["64 x 64"]


def test_a_report_names_an_ensemble_whose_network_was_trained_again(group):
    conditions = read_group(group).conditions
    kept = "Every ensemble is the mean over its networks as they are now."
    assert not [problem for problem in find_problems(conditions) if problem.kind == "ensembles"]
    assert kept in passed_checks([], conditions)
    assert kept not in passed_checks([], conditions[1:])
    cases = pd.read_csv(conditions[1].runs[1].cases)
    cases.iloc[::-1].to_csv(conditions[1].runs[1].cases, index=False)
    (problem,) = [problem for problem in find_problems(conditions) if problem.kind == "ensembles"]
    assert problem.about == "ensemble_resnet34"
    assert problem.text.startswith(f"{conditions[1].runs[1].path.name} was trained again: give the command")
    conditions[1].runs[1].metrics_file.unlink()
    conditions[1].runs[2].path.rename(group / "moved")
    (problem,) = [problem for problem in find_problems(conditions) if problem.kind == "ensembles"]
    assert "is being trained again" in problem.text
    assert "(and 1 more)" in problem.text


def test_networks_of_another_name_or_number_are_another_condition(group, finished):
    finished("group=g", "model=alexnet", "seed=0")
    average(group, "all")
    (group / "ensemble_resnet34").rename(group / "ensemble_earlier")
    finished("group=g", "model=resnet34", "seed=3")
    average(group)
    conditions = [condition for condition in read_group(group).conditions if condition.is_ensemble]
    assert {condition.name: condition.networks for condition in conditions} == {
        "ensemble_all": 4, "ensemble_earlier": 3, "ensemble_resnet34": 4
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "problem"),
    [("{", "ensemble.json"), ('{"name": "seeds"}', "it has no runs"),
     ('{"name": "seeds", "runs": ["x"], "members": [{"run": 1}]}', "members is")],
)  # fmt: skip
def test_a_damaged_file_of_members_leaves_the_ensemble_out_of_the_report(group, content, problem):
    RunDir(group / "ensemble_resnet34").ensemble.write_text(content)
    contents = read_group(group)
    assert [condition.name for condition in contents.conditions] == ["resnet34"]
    (left_out,) = contents.left_out.to_dict("records")
    assert (left_out["run"], left_out["state"]) == ("ensemble_resnet34", "damaged")
    assert problem in left_out["reason"]
