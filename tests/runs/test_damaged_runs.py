"""A damaged file of a run is listed with its place and the cure, and everything else is reported."""

import json
from io import StringIO

import pandas as pd
import pytest
from omegaconf import OmegaConf
from rich.console import Console

from bus_lightning.config.stored import load_config
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.report.making import make_report
from bus_lightning.runs.finished import open_run
from bus_lightning.runs.table import collect, show
from bus_lightning.statistics.conditions import read_group
from bus_lightning.statistics.summary import summarise
from bus_lightning.training.evaluate import evaluate_runs

# Row 5 is line 6 of the file.
CELLS = {
    "an unknown label": ("label", "benlgn", "row 5 (line 6), column label: 'benlgn' is none of the classes"),
    "the label of another class": ("label", "normal", "row 5 (line 6), column label: 'normal' is another class"),
    "no label": ("label", "", "row 5 (line 6), column label: an empty cell is not allowed"),
    "text for a probability": ("prob_benign", "high", "row 5 (line 6), column prob_benign: 'high' is not a number"),
    "no probability": ("prob_benign", "", "row 5 (line 6), column prob_benign: an empty cell is not a probability"),
    "NaN": ("prob_benign", "NaN", "row 5 (line 6), column prob_benign: 'NaN' is not a number"),
    "infinity": ("prob_benign", "inf", "row 5 (line 6), column prob_benign: 'inf' is not a number"),
    "a probability above 1": ("prob_benign", "1.5", "row 5 (line 6), column prob_benign: '1.5' is above 1"),
    "a probability below 0": ("prob_benign", "-0.1", "row 5 (line 6), column prob_benign: '-0.1' is below 0"),
    "a digit too few": (
        "prob_benign",
        "0.0",
        "row 5 (line 6), column prob_benign: '0.0' and the others of the row add up",
    ),
    "an unknown part": ("split", "tset", "row 5 (line 6), column split: 'tset' is wrong"),
    "another part": ("split", "test", "is not in that part of split.json"),
    "an unknown image": ("id", "benign/benign (777)", "'benign/benign (777)' is not in that part of split.json"),
    "an image twice": ("id", "benign/benign (0)", "column id: 'benign/benign (0)' occurs a second time"),
}
COUNTED = {
    "a negative count": ("tp", "-3", "row 5 (line 6), column tp: '-3' is below 0"),
    "half a pixel": ("fp", "2.5", "row 5 (line 6), column fp: '2.5' is not a whole number"),
    "text for a count": ("tn", "many", "row 5 (line 6), column tn: 'many' is not a number"),
    "no count": ("fn", "", "row 5 (line 6), column fn: an empty cell is not a number"),
}
WHOLE = {
    "no file": (lambda file: file.unlink(), "cannot be read (No such file"),
    "a folder": (lambda file: (file.unlink(), file.mkdir()), "cannot be read (it is a folder"),
    "an empty file": (lambda file: file.write_text(""), "is not a table"),
    "a heading alone": (lambda file: file.write_text(file.read_text().partition("\n")[0] + "\n"), "it has no rows"),
    "bytes that are no text": (lambda file: file.write_bytes(b"\xff\xfe\x00\x81" * 50), "is not a table"),
    "a row with more cells": (lambda file: file.write_text(file.read_text() + "a,b,c,d,e,f,g,h,i\n"), "is not a table"),
    "rows with more cells": (lambda file: file.write_text(file.read_text().replace("\n", ",7\n").replace(",7", "", 1)),
                             "more cells than its header"),
    "cut off in a number": (lambda file: file.write_text(file.read_text()[:-3]), "it is cut off in row 60 (line 61)"),
    "cut off in a row": (lambda file: file.write_text(file.read_text()[:-30]), "row 60 (line 61)"),
    "no column": (lambda file: file.write_text(file.read_text().replace("prob_normal", "normal", 1)),
                  "it has no column prob_normal"),
    "no labels": (lambda file: file.write_text(file.read_text().replace("label", "class", 1)), "no column label"),
}  # fmt: skip


def with_cell(run, column, value):
    """Write a value into the fifth row of cases.csv."""
    cases = pd.read_csv(run.cases, dtype=str, keep_default_na=False)
    cases.loc[4, column] = value
    cases.to_csv(run.cases, index=False)


def left_out(run):
    """Read the group, and give the reason and the state of the run, the only one that is left out."""
    group = read_group(run.path.parent)
    assert [condition.model for condition in group.conditions] == ["resnet34"]
    (row,) = group.left_out.to_dict("records")
    assert row["run"] == run.path.name
    return row["reason"], row["state"]


@pytest.mark.parametrize("bad", CELLS)
def test_a_cell_that_cannot_be_is_named_with_file_row_and_cure(finished, bad):
    column, value, expected = CELLS[bad]
    finished("model=resnet34")
    run = finished("model=alexnet")
    with_cell(run, column, value)
    reason, state = left_out(run)
    assert str(run.cases) in reason
    assert expected in reason
    assert "rerun=true" in reason
    assert state == "damaged"


@pytest.mark.parametrize("bad", COUNTED)
def test_a_count_of_pixels_that_cannot_be_is_named(finished, bad):
    column, value, expected = COUNTED[bad]
    finished("model=resnet34")
    run = finished("model=u2net_lite", "group=classification")
    with_cell(run, column, value)
    reason, state = left_out(run)
    assert (expected in reason, state) == (True, "damaged")


@pytest.mark.parametrize("damage", WHOLE)
def test_a_file_that_is_no_table_or_not_a_whole_one_is_named(finished, damage):
    do, expected = WHOLE[damage]
    finished("model=resnet34")
    run = finished("model=alexnet")
    do(run.cases)
    reason, state = left_out(run)
    assert expected in reason
    assert (str(run.cases) in reason, state) == (True, "damaged")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("metrics.json", "[]"),
        ("metrics.json", '{"val": 1, "test": 2}'),
        ("metrics.json", '{"val": {"accuracy": "high"}, "test": {"accuracy": 1}}'),
        ("metrics.json", '{"val": {"accuracy": 0.5'),
        ("metrics.json", '{"val": {}}'),
        ("status.json", "null"),
        ("status.json", '{"seconds": "long"}'),
        ("status.json", '{"versions": "new"}'),
        ("split.json", "[]"),
        ("split.json", '{"train": null}'),
        ("config.yaml", "task: {name: classification}\n"),
        ("config.yaml", ""),
        ("config.yaml", "- a\n- b\n"),
        ("config.yaml", "a: [1\n"),
        ("config.yaml", "\x00"),
    ],
)
def test_any_other_file_that_cannot_be_leaves_its_run_out_alone(finished, file, content):
    finished("model=resnet34")
    run = finished("model=alexnet")
    (run.path / file).write_text(content)
    reason, state = left_out(run)
    assert (str(run.path / file) in reason, "rerun=true" in reason, state) == (True, True, "damaged")


def test_a_split_whose_groups_were_edited_is_damaged_though_its_lists_are_whole(finished):
    finished("model=resnet34")
    run = finished("model=alexnet")
    content = json.loads(run.split.read_text())
    content["groups"][content["test"][0]] = content["groups"][content["train"][0]]
    run.split.write_text(json.dumps(content))
    reason, state = left_out(run)
    assert ("split.json is damaged" in reason, state) == (True, "damaged")


def test_a_run_without_its_config_is_damaged(finished):
    finished("model=resnet34")
    run = finished("model=alexnet")
    run.config.unlink()
    reason, state = left_out(run)
    assert ("config.yaml is damaged" in reason, state) == (True, "damaged")


def test_every_key_of_a_config_that_a_report_reads_is_missed(finished):
    run = finished("model=resnet34")
    whole = OmegaConf.load(run.config)
    for key in ("overlay", "preprocess", "task", "data.split", "data.classes", "trainer.max_epochs", "model.name"):
        cut = whole.copy()
        above, _, name = key.rpartition(".")
        (OmegaConf.select(cut, above) if above else cut).pop(name)
        OmegaConf.save(cut, run.config)
        with pytest.raises(DamagedError, match=key):
            load_config(run.config)


@pytest.mark.slow
def test_a_report_lists_damaged_runs_and_shows_the_others(finished, capsys):
    whole = finished("model=resnet34")
    with_cell(finished("model=alexnet"), "label", "benlgn")
    finished("model=resnet50").metrics_file.write_text('{"val": {}, "test": {"accuracy": "x"}}')
    finished("model=resnet101").history.write_text("epoch,lr\n0,fast\n")
    page = make_report([whole.path.parent])
    out = pd.read_csv(page.parent / "tables" / "left_out.csv").set_index("run")
    assert out["state"].to_dict() == {"alexnet": "damaged", "resnet50": "damaged"}
    assert "row 5 (line 6), column label" in out.loc["alexnet", "reason"]
    table = pd.read_csv(page.parent / "tables" / "classification_test.csv")
    assert set(table["condition"]) == {"resnet34", "resnet101"}
    checks = pd.read_csv(page.parent / "tables" / "checks.csv").set_index("condition or run")
    assert "history.csv is damaged: row 1 (line 2), column lr: 'fast' is not a number" in " ".join(
        checks.loc[["resnet101"], "what was found"]
    )


def test_a_damaged_summary_that_was_kept_is_computed_again(finished, tmp_path):
    (condition,) = read_group(finished("model=resnet34").path.parent).conditions
    first = summarise(condition, "test", tmp_path)
    (kept,) = tmp_path.glob("*.json")
    for content in (kept.read_text()[:100], "[1]", "{}", '[{"metric": "accuracy"}]'):
        kept.write_text(content)
        pd.testing.assert_frame_equal(summarise(condition, "test", tmp_path), first)


def test_the_table_after_a_grid_lists_a_damaged_run_and_shows_the_others(finished):
    runs = [finished(f"model={model}") for model in ("resnet34", "alexnet", "resnet50", "resnet101")]
    with_cell(runs[1], "label", "")
    runs[2].metrics_file.write_text('{"val": {}, "test": {"accuracy": "high", "f1_macro": 1}}')
    runs[3].status_file.write_text('{"epochs": "many"}')
    table = collect([run.path for run in runs]).set_index("run")
    assert table["state"].tolist() == ["complete", "damaged", "damaged", "damaged"]
    assert table.loc["resnet34", "majority"] == pytest.approx(14 / 40)
    for run in runs[1:]:
        assert "is damaged" in table.loc[run.path.name, "error"]
    output = StringIO()
    show(table.reset_index(), console=Console(file=output, width=200))
    assert "row 5 (line 6), column label" in output.getvalue()


def test_a_damaged_run_is_refused_by_evaluation_and_the_command_goes_on_to_the_next(finished, caplog):
    for model, file in (("resnet34", "config.yaml"), ("alexnet", "split.json")):
        run = finished(f"model={model}")
        run.checkpoints.mkdir()
        run.best.write_bytes(b"")
        (run.path / file).write_text("{")
    cfg = OmegaConf.create({"runs": str(run.path.parent / "*"), "part": "test", "split": None, "progress": False,
                            "data": {"root": None, "skip_unreadable": False}})  # fmt: skip
    with pytest.raises(UserError, match="2 of 2 runs could not be evaluated"):
        evaluate_runs(cfg)
    assert "config.yaml is damaged" in caplog.text
    assert "split.json is damaged" in caplog.text


@pytest.mark.parametrize("bad", ["an unknown label", "text for a probability", "an image twice", "another part"])
def test_an_opened_run_refuses_damaged_cases_with_the_same_line(finished, bad):
    column, value, expected = CELLS[bad]
    run = finished("model=resnet34")
    with_cell(run, column, value)
    with pytest.raises(DamagedError) as refused:
        open_run(run.path).cases  # noqa: B018 (read here)
    assert expected in str(refused.value)
