"""A report says what differs between the runs and the protocol of their study."""

from types import SimpleNamespace

import pandas as pd
import pytest
from averaging import average, ensembles_in
from planned_runs import cases_of_fold, write_protocol

from bus_lightning.report.making import make_report
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.protocol import keep_protocol, read_protocol
from bus_lightning.statistics import as_planned
from bus_lightning.statistics.as_planned import compare_with_protocol

BLOCK = """primary_metric: {classification: auroc_macro}
data: [busi]
split: {method: grouped, folds: 2, seed: 0}
seeds: [0, 1]
selection: val
test_openings: 1
conditions:
  first: {options: {model.name: resnet34}}
  elsewhere: {seeds: [0], split: {folds: null}, options: {model.name: alexnet}}
"""
OPTIONS = ("group=first", "model=resnet34", "data.split.folds=2")


@pytest.fixture
def write(tmp_path):
    def make(block=BLOCK, name="protocol.md"):
        return write_protocol(tmp_path, block, name)

    return make


@pytest.fixture
def planned(finished, write):
    """Write the four runs of the condition `first`, under its protocol."""
    protocol = read_protocol(write())
    cases = pd.read_csv(finished("group=whole", "model=resnet34").cases)
    runs = {}
    for seed in (0, 1):
        for fold in (0, 1):
            own = cases_of_fold(cases, fold)
            run = finished(*OPTIONS, f"seed={seed}", f"data.split.fold={fold}", cases=own)
            run.update_status(**keep_protocol(run, protocol, continues=False), kept_by="val/auroc_macro")
            run.update_status(commit="a" * 40, versions={}, started="2026-01-01")
            runs[seed, fold] = run
    return runs


def deviations(runs, protocol=None):
    compared = compare_with_protocol([next(iter(runs.values())).path.parent], protocol)
    return [(each.about, each.text) for each in compared.deviations]


@pytest.mark.slow
def test_runs_as_planned_have_no_deviation_and_the_report_prints_the_hash_and_the_commit(planned):
    run = planned[0, 0]
    assert deviations(planned) == []
    report = make_report([run.path.parent]).with_name("report.md").read_text()
    digest = run.status["protocol"]
    assert digest in report
    assert f"SHA-256 {digest[:12]}, 4 of 4 runs were trained under this text; deviations: 0" in report
    assert f"{digest[:12]} | yes | 4 | aaaaaaa | 2026-01-01" in report
    assert "No deviation from the protocol was found." in report
    assert "elsewhere | elsewhere | 0 | grouped, one split, seed 0 | model.name=alexnet | 1 | not in this" in report


def test_what_is_missing_unfinished_or_not_planned_is_named(planned, finished):
    run = planned[1, 1]
    run.metrics_file.unlink()
    run.update_status(state="interrupted")
    planned[0, 1].path.rename(run.path.parent.parent / "gone")
    more = finished(*OPTIONS, "seed=7", "data.split.fold=0")
    other = finished("group=first", "model=alexnet", "data.split.folds=2", "data.split.fold=0")
    names = f"{other.path.name} and 1 more"
    assert deviations(planned) == [
        (names, "trained without a protocol (commit no commit)"),
        ("first", "not complete (interrupted): seed 1: fold 1"),
        ("first", "not begun: seed 0: fold 1"),
        (other.path.name, "other options: model.name=alexnet, planned resnet34"),
        (more.path.name, "seed 7: fold 0: not planned"),
    ]


def test_a_run_under_another_text_is_named_and_most_runs_decide_what_is_compared(planned, write):
    changed = read_protocol(write(BLOCK.replace("[0, 1]", "[0]"), "changed.md"))
    run = planned[1, 1]
    run.update_status(**keep_protocol(run, changed, continues=False))
    assert deviations(planned) == [(run.path.name, f"trained under another text, {changed.hash[:12]} (commit aaaaaaa)")]
    first = read_protocol(write())
    run.update_status(**keep_protocol(run, first, continues=True))
    assert (run.path.name, f"continued under another text: {first.hash[:12]}") in deviations(planned)
    listed = deviations(planned, changed)
    assert (f"{planned[1, 0].path.name}", "seed 1: fold 0: not planned") in listed


def test_another_selection_and_more_evaluations_of_the_test_images_are_named(planned):
    planned[0, 0].update_status(kept_by="last epoch")
    run = planned[0, 1]
    evaluation = RunDir(run.path / "evaluations" / "test-1")
    evaluation.path.mkdir(parents=True)
    evaluation.write_cases(pd.read_csv(run.cases))
    evaluation.record_evaluation(run)
    evaluation.record_evaluation(run)
    evaluation.write_metrics({"test": {}})
    other = RunDir(run.path / "evaluations" / "test-2")  # of other images
    other.path.mkdir()
    cases = pd.read_csv(run.cases)
    other.write_cases(cases.assign(id=[f"other {k}" for k in range(len(cases))]))
    other.record_evaluation(run)
    other.write_metrics({"test": {}})
    assert deviations(planned) == [
        (planned[0, 0].path.name, "kept epoch: last epoch, planned: val"),
        (run.path.name, "its test images were evaluated 3 times (1 by its training, 2 by evaluate.py), planned 1"),
    ]


def test_a_run_that_was_trained_again_has_opened_its_test_images_twice(planned):
    run = planned[1, 0]
    again = run.set_aside()
    for file in again.iterdir():
        (run.path / file.name).write_bytes(file.read_bytes())
    assert deviations(planned) == [
        (run.path.name, "its test images were evaluated 2 times (1 by its training, 1 in an older folder of this run), "
         "planned 1")
    ]  # fmt: skip


def test_other_data_than_planned_is_named(planned, write):
    listed = deviations(planned, read_protocol(write(BLOCK.replace("[busi]", "[bus_bra, busi]"))))
    assert (planned[0, 0].path.name, "other options: data=[busi], planned [bus_bra,busi]") in listed


def test_a_damaged_copy_is_named_and_the_rest_is_compared(planned):
    planned[0, 0].protocol.write_text("changed")
    ((_, text),) = deviations(planned)
    assert text.startswith(f"{planned[0, 0].protocol} is damaged: ")


@pytest.mark.slow
def test_runs_without_a_protocol_have_no_such_section(finished):
    run = finished("group=plain", "model=resnet34")
    assert compare_with_protocol([run.path.parent]) is None
    assert "SHA-256" not in make_report([run.path.parent]).with_name("report.md").read_text()


def test_an_ensemble_opens_its_test_images_once_and_again_with_each_evaluation_of_them(planned):
    group = planned[0, 0].path.parent
    for fold in (0, 1):
        run = planned[1, fold]
        run.write_cases(pd.read_csv(run.cases)[::-1])  # the same file twice is refused
    average(group / "*")
    folder, _ = map(RunDir, ensembles_in(group))
    assert deviations(planned) == []
    cases = pd.read_csv(folder.cases)
    for name, tested in (("test-own", cases), ("test-other", cases.assign(id=[f"other {k}" for k in cases.index]))):
        evaluation = RunDir(folder.path / "evaluations" / name)
        evaluation.path.mkdir(parents=True)
        evaluation.write_cases(tested)
        evaluation.record_evaluation(folder)
        evaluation.write_metrics({"test": {}})
    assert deviations(planned) == [
        (folder.path.name, "its test images were evaluated 2 times (1 when its networks were averaged, 1 by "
         "evaluate.py), planned 1")
    ]  # fmt: skip


def test_a_run_without_a_start_is_not_the_newest():
    runs = [SimpleNamespace(status=status) for status in ({}, {"started": "2026-01-02T03:04:05"})]
    assert as_planned._last_start(runs) == "2026-01-02T03:04:05"
