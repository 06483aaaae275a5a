"""The page of results is made from the runs: the same runs give the same bytes, and what is missing is named."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from results_pages import PAGE, PLAN, make_page

from bus_lightning.core.errors import UserError
from bus_lightning.launch.report import extensions
from bus_lightning.launch.results import main
from bus_lightning.report.results.making import make_results
from bus_lightning.report.results.plan import GOALS, MISSING, PROTOCOL, read_plan
from bus_lightning.runs.baselines import write_baseline
from bus_lightning.runs.protocol import keep_protocol, read_protocol

DOCS = Path(__file__).parents[2] / "docs"
BASELINE_COLUMNS = ("id", "split", "label", "prob_benign", "prob_malignant", "prob_normal")


def test_the_same_runs_give_the_same_bytes_and_the_prose_stays(folded_runs, page_and_plan, tmp_path):
    page, _ = page_and_plan
    make_page(page_and_plan, tmp_path)
    first = page.read_bytes(), page.with_suffix(".json").read_bytes()
    shutil.rmtree(tmp_path / "runs" / ".summaries")
    make_page(page_and_plan, tmp_path)
    assert (page.read_bytes(), page.with_suffix(".json").read_bytes()) == first
    text = page.read_text()
    assert [text.count(line) for line in ("Prose before.", "Prose between.", "Prose after.", "\nold\n")] == [1, 1, 1, 0]


def test_every_number_of_the_page_is_in_the_json_with_the_runs_behind_it(folded_runs, page_and_plan, tmp_path):
    text, content = make_page(page_and_plan, tmp_path)
    rows = {(row["group"], row["data"], row["metric"]): row for row in content["rows"]}
    accuracy = rows["folded", "busi", "accuracy"]
    assert f"{accuracy['value']:.3f} ({accuracy['low']:.3f} to {accuracy['high']:.3f})" in text
    assert (accuracy["n"], accuracy["runs"], accuracy["commit"]) == (40, 4, "aaaaaaa")
    assert accuracy["command"] == ["python train.py -m model=resnet34 seed=0,1 group=folded"]
    assert accuracy["protocol"] == "held-out images out of fold, grouped split, 2 folds, 2 seeds"
    assert "/home/me" not in text + json.dumps(content)
    other = rows["outside", "other", "auroc_macro"]
    assert (other["trained"], other["n"], other["protocol"]) == (["busi"], 60, "images of another data set")
    assert f"{other['value']:.3f} ({other['low']:.3f} to {other['high']:.3f}), n = 60" in text


def test_the_papers_numbers_stand_next_to_ours_and_a_model_without_a_run_is_named(folded_runs, page_and_plan, tmp_path):
    text, content = make_page(page_and_plan, tmp_path)
    (line,) = (row for row in text.splitlines() if row.startswith("| ResNet-34,") or row.startswith("| ResNet-34 |"))
    assert "| 0.4936* |" in line
    assert "| AlexNet | - | - | 0 | - | not run | 0.5385 | not run | 1.4921 |" in text
    assert {"group": "folded, gone", "about": "alexnet", "text": "not run"} in content["missing"]


def test_what_is_missing_or_mixed_is_named_and_the_rest_is_shown(folded_runs, page_and_plan, tmp_path):
    folded_runs[1, 1].metrics_file.unlink()
    folded_runs[1, 1].update_status(state="interrupted")
    folded_runs[1, 0].update_status(data="other")
    folded_runs[0, 1].update_status(commit="b" * 40)
    text, content = make_page(page_and_plan, tmp_path)
    missing = [(each["group"], each["about"], each["text"]) for each in content["missing"]]
    name = "resnet34__data.split.folds-2"
    assert ("gone", "gone", "there are no runs of this group") in missing
    assert ("folded", folded_runs[1, 1].path.name, "not complete: interrupted") in missing
    assert ("folded", f"{name}", "seed 1 not run, or not complete") in missing
    assert any(about == f"{name}__2" and "but other files" in problem for _, about, problem in missing)
    assert any(about == f"{name}__2" and "lacks fold 1 of 2" in problem for _, about, problem in missing)
    assert any(
        about == name and "different code: aaaaaaa (1 run), bbbbbbb (1 run)" in problem for _, about, problem in missing
    )
    for _, about, problem in missing:
        assert f"| {about} | {problem} |" in text
    assert {row["group"] for row in content["rows"]} == {"folded", "outside"}


def test_goals_are_judged_by_the_value_and_lower_is_better_for_a_loss(folded_runs, page_and_plan, tmp_path):
    _, content = make_page(page_and_plan, tmp_path)
    first, loss, outside = content["goals"]
    value = next(row["value"] for row in content["rows"] if row["metric"] == "accuracy")
    assert [each["verdict"] for each in first["reached"]] == ["reached" if value >= 0.5 else "not reached"]
    assert [each["verdict"] for each in loss["reached"]] == ["minimum reached"]
    assert [each["verdict"] for each in outside["reached"]] == ["not reached"]


def test_deviations_from_the_protocol_are_named(folded_runs, page_and_plan, tmp_path):
    file = tmp_path / "protocol.md"
    file.write_text(
        "```yaml protocol\nprimary_metric: {classification: accuracy}\nsplit: {method: grouped, folds: 2}\n"
        "seeds: [0, 1, 2]\nselection: val\ntest_openings: 1\nconditions:\n  folded: {options: {}}\n```\n"
    )
    protocol = read_protocol(file)
    for run in folded_runs.values():
        run.update_status(**keep_protocol(run, protocol, continues=False))
    text, content = make_page(page_and_plan, tmp_path, protocol=file)
    assert {"group": "folded", "about": "folded", "text": "protocol: not begun: seed 2: all folds"} in content[
        "missing"
    ]
    assert content["protocol_sha256"] == protocol.hash
    assert f"SHA-256 `{protocol.hash}`; trained under this text: folded." in text
    assert {row["protocol_sha256"] for row in content["rows"] if row["group"] == "folded"} == {protocol.hash}


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "task: classification\n    metrics",
            "task: regression\n    metrics",
            "tables.scores.task=regression: give one",
        ),
        ("[accuracy, log_loss]", "[acuracy]", "tables.scores.metrics=[acuracy]: give a list of metrics"),
        ("groups: [folded, gone]\n", "\n", "tables.scores.groups is missing"),
        ("seeds: [0, 1]", "seed: [0, 1]", "tables.scores.seed is unknown"),
        ("goal: 0.5,", "goal: high,", "goals[0].goal=high: give a number"),
        ("tables:", "tabels:", "tabels is unknown: choose from tables, summary, goals"),
        ("tables:", "tables: [", "is damaged: it is not YAML"),
    ],
)
def test_an_impossible_plan_is_refused_in_one_line(page_and_plan, old, new, line):
    _, plan = page_and_plan
    assert old in PLAN
    plan.write_text(PLAN.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        read_plan(plan)
    assert line in str(error.value)
    assert str(plan) in str(error.value)


def test_without_any_run_the_page_stays(page_and_plan, tmp_path, capsys):
    page, plan = page_and_plan
    (tmp_path / "none").mkdir()
    arguments = ["--runs", str(tmp_path / "none"), "--page", str(page), "--plan", str(plan)]
    assert main(arguments) == 1
    assert "has no complete run of the groups" in capsys.readouterr().err
    assert page.read_text() == PAGE


def test_the_projects_page_has_a_place_for_each_table_of_its_plan_and_no_other():
    plan, text = read_plan(DOCS / "results.yaml"), (DOCS / "results.md").read_text()
    names = [*(table.name for table in plan.tables), GOALS, MISSING, PROTOCOL]
    assert sorted(names) == sorted(part.partition(" -->")[0] for part in text.split("<!-- table:")[1:])
    measured = {(group, metric) for table in plan.tables for group in table.groups for metric in table.metrics}
    assert not [goal.question for goal in plan.goals for group in goal.groups if (group, goal.metric) not in measured]


def test_another_page_shows_the_goals_in_short_and_keeps_its_prose(folded_runs, page_and_plan, tmp_path):
    page, plan = page_and_plan
    summary = tmp_path / "README.md"
    summary.write_text("Before.\n<!-- table:headline -->\nbefore\n<!-- end -->\nAfter.\n")
    make_results(tmp_path / "runs", page, plan, extensions=extensions(), summary=summary)
    text = summary.read_text()
    assert text.startswith("Before.\n<!-- table:headline -->\n| question | planned | best of all | images |")
    assert text.endswith("<!-- end -->\nAfter.\n")
    assert "before" not in text
    with pytest.raises(UserError, match="there is no such page"):
        make_results(tmp_path / "runs", page, plan, summary=tmp_path / "gone.md")


def test_the_projects_page_shows_the_numbers_of_its_json(tmp_path):
    for name in ("results.md", "results.json", "protocol.md"):
        shutil.copy(DOCS / name, tmp_path)
    before = (tmp_path / "results.md").read_text()
    make_results(tmp_path / "runs", tmp_path / "results.md", DOCS / "results.yaml", DOCS / "protocol.md", extensions())
    assert numbers_of((tmp_path / "results.md").read_text()) == numbers_of(before)


def numbers_of(page):
    """Return the lines of the tables of numbers, without the notes below them."""
    return [line for line in page.partition("## What is missing")[0].splitlines() if line.startswith("|")]


def test_baselines_stand_below_the_networks_of_their_images_if_the_plan_asks_for_them(
    folded_runs, page_and_plan, tmp_path
):
    _, plan = page_and_plan
    for run in folded_runs.values():
        cases = pd.read_csv(run.cases)
        cases[["prob_benign", "prob_malignant", "prob_normal"]] = [0.5, 0.3, 0.2]
        write_baseline(run, "statistics", cases[[name for name in cases if name in BASELINE_COLUMNS]])
    without, _ = make_page(page_and_plan, tmp_path)
    assert "20 statistics" not in without
    plan.write_text(PLAN.replace("seeds: [0, 1]", "seeds: [0, 1]\n    baselines: true"))
    text, content = make_page(page_and_plan, tmp_path)
    (row,) = (
        row for row in content["rows"] if row["model"] == "20 statistics of the image" and row["metric"] == "accuracy"
    )
    always_benign = pd.concat(pd.read_csv(run.cases) for run in folded_runs.values()).query("split == 'test'")
    assert row["value"] == pytest.approx((always_benign["label"] == "benign").mean())
    assert (row["n"], row["runs"]) == (40, 2)  # once for each split, whatever the seeds
    assert row["command"][-1] == "python evaluate.py 'runs=runs/folded/*' baselines=true"
    lines = [line for line in text.splitlines() if line.startswith(("| ResNet-34", "| AlexNet", "| 20 statistics"))]
    assert [line[:9] for line in lines] == ["| ResNet-", "| AlexNet", "| 20 stat"]  # AlexNet has not run
