"""A run says which code made it: its first commit and libraries, and each other code that continued it."""

import json
import subprocess
import time

import pytest
from small_runs import SMALL, Plug, evaluate_again, stopped_and_whole

from bus_lightning.report.making import _facts
from bus_lightning.runs import code
from bus_lightning.runs.code import codes_of, differences, present_code
from bus_lightning.runs.folder import RunDir
from bus_lightning.statistics.conditions import read_group

FIRST = {"commit": "a" * 40, "dirty": False, "changes": None, "versions": {"torch": "2.13.0", "numpy": "2.4.6"}}


@pytest.fixture
def begun(tmp_path):
    """A run that was begun with FIRST, by a version that had no `changes` yet."""
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    run.update_status(**{key: value for key, value in FIRST.items() if key != "changes"}, state="interrupted")
    return run


def present(monkeypatch, **changes):
    import bus_lightning.runs.folder as module

    monkeypatch.setattr(module, "present_code", lambda: FIRST | changes)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"commit": "b" * 40}, "commit aaaaaaaaaaaa -> bbbbbbbbbbbb"),
        ({"dirty": True, "changes": "1f2e"}, "uncommitted changes none -> 1f2e"),
        ({"versions": {"torch": "2.14.1", "numpy": "2.4.6"}}, "torch 2.13.0 -> 2.14.1"),
        ({"versions": {"torch": "2.13.0"}}, "numpy 2.4.6 -> None"),
        ({"commit": None, "dirty": None}, "commit aaaaaaaaaaaa -> None"),
    ],
)
def test_a_run_that_continues_with_other_code_says_so_and_keeps_both(begun, monkeypatch, caplog, changes, line):
    present(monkeypatch, **changes)
    begun.start(continues=True)
    assert caplog.text.count(f"{begun.path}: continues with other code: {line}") == 1
    status = begun.status
    assert {key: status[key] for key in FIRST} == FIRST
    (later,) = status["later"]
    assert later.pop("started") == status["started"]
    assert later == FIRST | changes
    assert codes_of(status)[0]["commit"] == "a" * 40


def test_a_run_that_continues_with_the_same_code_says_nothing(begun, monkeypatch, caplog):
    present(monkeypatch)
    begun.start(continues=True)
    present(monkeypatch, dirty=True, changes="1f2e")
    begun.start(continues=True)
    begun.start(continues=True)
    assert caplog.text.count("other code") == 1
    assert len(codes_of(begun.status)) == 2
    present(monkeypatch, dirty=True, changes="3d4c")
    begun.start(continues=True)
    assert [later["changes"] for later in begun.status["later"]] == ["1f2e", "3d4c"]


def test_a_run_that_starts_again_from_the_first_epoch_has_only_its_own_code(begun, monkeypatch, caplog):
    present(monkeypatch, commit="b" * 40)
    begun.start(continues=True)
    begun.start()
    assert [part["commit"] for part in codes_of(begun.status)] == ["b" * 40]
    assert caplog.text.count("other code") == 1


@pytest.mark.slow
def test_a_resumed_training_records_what_took_it_up(composed, monkeypatch, caplog):
    import bus_lightning.runs.folder as module

    made = []

    def other_each_time():
        made.append(present_code() | {"commit": f"{len(made)}" * 40})
        return made[-1]

    monkeypatch.setattr(module, "present_code", other_each_time)
    stopped, whole = stopped_and_whole(composed, [*SMALL, "trainer.max_epochs=2"], Plug(1))
    assert [part["commit"][:1] for part in codes_of(stopped.status)] == ["0", "1"]
    assert [part["commit"][:1] for part in codes_of(whole.status)] == ["2"]
    assert "continues with other code: commit 000000000000 -> 111111111111" in stopped.log.read_text()
    caplog.clear()
    evaluation = evaluate_again(whole)
    assert "evaluated with other code than it was trained with: commit 222222222222 -> 333333333333" in caplog.text
    status = json.loads(evaluation.status_file.read_text())
    assert (status["commit"], [part["commit"][:1] for part in status["trained"]]) == ("3" * 40, ["2"])
    assert evaluation.status["versions"] == present_code()["versions"]


def test_a_report_names_each_code_of_a_run(finished):
    run = finished("model=resnet34")
    run.update_status(**FIRST, later=[{"started": "x", **FIRST, "commit": "b" * 40, "versions": {"torch": "2.14.1"}}])
    facts = _facts(read_group(run.path.parent))
    assert facts["commit"] == "aaaaaaa, bbbbbbb; 1 of the runs were continued with other code"
    assert "torch 2.13.0, 2.14.1" in facts["versions"]


def test_different_uncommitted_changes_are_distinguished(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.example", *arguments], cwd=tmp_path,
                       check=True, capture_output=True)  # fmt: skip

    file = tmp_path / "code.py"
    file.write_text("1\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    monkeypatch.setattr(code, "__file__", str(file))
    clean = present_code()
    assert (clean["dirty"], clean["changes"], len(clean["commit"])) == (False, None, 40)
    file.write_text("2\n")
    first = present_code()
    file.write_text("3\n")
    assert first["dirty"]
    assert differences(first, first) == []
    assert differences(clean, first) == [f"uncommitted changes none -> {first['changes']}"]
    assert differences(first, present_code()) != []


def test_a_library_that_another_build_replaces_stops_no_run(monkeypatch):
    known = present_code()["versions"]
    monkeypatch.setattr(code, "_LIBRARIES", ("torch", "opencv-python-of-another-build"))
    assert present_code()["versions"] == {name: known[name] for name in ("bus_lightning", "torch")}


def test_a_damaged_record_of_an_evaluation_is_written_again(begun, tmp_path, monkeypatch):
    present(monkeypatch)
    evaluation = RunDir(tmp_path / "evaluation")
    evaluation.path.mkdir()
    for content, times in ((None, 1), (None, 2), ("{", 2), (None, 3), ('{"times": null}', 2)):
        if content:
            evaluation.status_file.write_text(content)
        evaluation.record_evaluation(begun)
        assert evaluation.status["times"] == times


def test_the_seconds_of_a_run_that_did_not_know_them_are_counted(begun):
    begun.update_status(seconds=None)
    begun.finish("complete", started=time.monotonic() - 5)
    assert 5 <= begun.status["seconds"] < 60
