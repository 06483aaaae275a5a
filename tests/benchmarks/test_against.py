"""The comparison with an earlier build runs the same probes with both, and loses nothing when it is stopped."""

import json
import subprocess

import pytest

from benchmarks import against, provenance, report
from benchmarks.__main__ import main
from benchmarks.against import goals, rendering
from benchmarks.against.builds import FIRST, find_reference
from benchmarks.processes import MeasurementError
from bus_lightning.core.interruption import Interrupted

ABOUT = {"commit": "abc1234"}
# Prints the number that the imported build holds, and notes which build took its turn.
PROBE = """
import argparse, json, os, signal
from pathlib import Path
import bus_lightning

parser = argparse.ArgumentParser()
parser.add_argument("--work", type=Path, required=True)
work = parser.parse_args().work
log = Path(__file__).with_suffix(".log")
if __name__ == "__main__":
    {before}
    with log.open("a") as file:
        file.write(f"{{bus_lightning.NAME}} {{Path.cwd().name}} {{[path.name for path in work.iterdir()]}}\\n")
    (work / "left").touch()
    print("some words")
    print(json.dumps({{"seconds": bus_lightning.SECONDS, "what": "words"}}))
"""


def git(folder, *arguments):
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *settings, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def project(tmp_path):
    """A checkout whose first commit is slow, whose second is as slow, and whose working tree is fast."""
    project = tmp_path / "project"
    (project / "bus_lightning").mkdir(parents=True)
    module = project / "bus_lightning" / "__init__.py"
    git(tmp_path, "init", "-q", "-b", "main", str(project))
    (project / ".gitignore").write_text("__pycache__/\n")
    (project / "removed.py").touch()
    for name in ("first", "second"):
        module.write_text(f'NAME, SECONDS = "{name}", 4.0\n')
        git(project, "add", ".")
        git(project, "commit", "-q", "-m", name)
        git(project, "tag", f"tag-{name}")
    module.write_text('from bus_lightning.added import SECONDS\nNAME = "edited"\n')
    (project / "bus_lightning" / "added.py").write_text("SECONDS = 1.0\n")
    (project / "removed.py").unlink()
    return project


@pytest.fixture
def measure(project, tmp_path):
    """A function that measures the probes that the test has written."""
    places = against.Places(tmp_path / "results", project, tmp_path / "rows", tmp_path / "scratch")
    places.probes.mkdir()

    def run(reference=None, chosen=(), quick=False):
        return against.measure(quick, ABOUT, reference, chosen, places)

    return run


def write_probe(tmp_path, name, before="pass"):
    (tmp_path / "rows" / f"{name}.py").write_text(PROBE.format(before=before))


def turns_of(tmp_path, name):
    return [line.split()[0] for line in (tmp_path / "rows" / f"{name}.log").read_text().splitlines()]


def plan(monkeypatch, **plans):
    for name, chosen in plans.items():
        monkeypatch.setitem(against.PLANS, name, chosen)


def test_both_builds_take_turns_and_uncommitted_changes_are_measured(measure, tmp_path, monkeypatch):
    write_probe(tmp_path, "one")
    plan(monkeypatch, one=goals.Plan(rounds=3))
    results = measure()
    assert results["reference"]["name"] == "tag-first"
    assert turns_of(tmp_path, "one") == ["first", "edited", "edited", "first", "first", "edited"]
    measured = results["probes"]["one"]
    assert [turn["seconds"] for turn in measured["turns"]["old"]] == [4.0] * 3
    assert [turn["seconds"] for turn in measured["turns"]["new"]] == [1.0] * 3
    lines = (tmp_path / "rows" / "one.log").read_text().splitlines()
    assert lines[0] == "first old []", "a probe starts at the top of its build, with an empty folder"
    assert lines[3] == "first old []"


def test_a_folder_stays_from_round_to_round_where_it_is_planned(measure, tmp_path, monkeypatch):
    write_probe(tmp_path, "one")
    plan(monkeypatch, one=goals.Plan(rounds=2, keeps_work=True))
    measure("tag-second")
    lines = (tmp_path / "rows" / "one.log").read_text().splitlines()
    assert lines == ["second old []", "edited new []", "edited new ['left']", "second old ['left']"]
    assert not (tmp_path / "scratch" / "work").exists()


def test_nothing_of_the_builds_is_left(measure, project, tmp_path):
    status = git(project, "status", "--short")
    leftover = tmp_path / "scratch" / "builds" / "old"
    git(project, "worktree", "add", "-q", "--detach", str(leftover))  # of a benchmark that was killed
    write_probe(tmp_path, "one", "raise SystemExit(3)")
    assert list(measure(quick=True)["failed"]) == ["one"]
    assert len(git(project, "worktree", "list").splitlines()) == 1
    assert [file.name for file in (tmp_path / "scratch" / "builds").iterdir()] == [".lock"]
    assert git(project, "status", "--short") == status


def test_a_row_that_fails_is_named_and_the_others_go_on(measure, tmp_path, capsys):
    write_probe(tmp_path, "a", "if bus_lightning.NAME == 'edited': raise SystemExit(1)")
    write_probe(tmp_path, "b", "print('{\"seconds\": 0}'); raise SystemExit")
    write_probe(tmp_path, "c")
    (tmp_path / "rows" / "shared.py").write_text("'''No probe: other probes import it.'''\n")
    results = measure(quick=True)
    assert list(results["probes"]) == ["c"]
    assert results["failed"] == {
        "a": "new build: exit code 1",
        "b": "old build: the last line is no JSON object with seconds above 0",
    }
    assert "a failed, new build: exit code 1" in capsys.readouterr().out
    assert report.load(tmp_path / "results", "against") == results
    assert "| a | failed; new build: exit code 1 |" in rendering.tables(results)["against_missed"]


def test_an_interrupted_comparison_goes_on_where_it_stopped(measure, project, tmp_path):
    write_probe(tmp_path, "a")
    flag = tmp_path / "flag"
    stop = f"Path({str(flag)!r}).exists() or (Path({str(flag)!r}).touch(), os.kill(os.getppid(), signal.SIGTERM))"
    write_probe(tmp_path, "b", stop)
    write_probe(tmp_path, "c")
    with pytest.raises(Interrupted):
        measure(quick=True)
    assert list(report.load(tmp_path / "results", "against")["probes"]) == ["a"]
    assert len(git(project, "worktree", "list").splitlines()) == 1
    assert list(measure(quick=True)["probes"]) == ["a", "b", "c"]
    assert turns_of(tmp_path, "a") == ["first", "edited"]
    measure(quick=True)  # was complete, so it begins again
    assert turns_of(tmp_path, "a") == ["first", "edited"] * 2


@pytest.mark.parametrize("change", ["code", "probe"])
def test_after_an_interruption_what_has_changed_is_measured_again(measure, project, tmp_path, change):
    write_probe(tmp_path, "a")
    write_probe(tmp_path, "b", "raise SystemExit(3)")
    measure(quick=True)
    if change == "code":
        (project / "bus_lightning" / "added.py").write_text("SECONDS = 2.0\n")
    else:
        write_probe(tmp_path, "a", "print('another probe')")
    measure(quick=True)
    assert len(turns_of(tmp_path, "a")) == 4


def test_rows_chosen_by_name_leave_the_others_as_they_are_but_not_those_of_another_commit(measure, tmp_path):
    write_probe(tmp_path, "a")
    write_probe(tmp_path, "b")
    first = measure(quick=True)
    second = measure(quick=True, chosen=["b"])
    assert second["probes"]["a"] == first["probes"]["a"]
    assert (len(turns_of(tmp_path, "a")), len(turns_of(tmp_path, "b"))) == (2, 4)
    assert list(measure("tag-second", ["b"], quick=True)["probes"]) == ["b"]


def test_what_takes_long_is_measured_only_on_request(measure, tmp_path, monkeypatch):
    write_probe(tmp_path, "a")
    write_probe(tmp_path, "long")
    plan(monkeypatch, long=goals.Plan(on_request=True))
    assert list(measure(quick=True)["probes"]) == ["a"]
    assert list(measure(quick=True, chosen=["long"])["probes"]) == ["a", "long"]


def test_a_second_comparison_at_the_same_time_is_refused(measure, tmp_path):
    write_probe(tmp_path, "a")
    (tmp_path / "scratch" / "builds").mkdir(parents=True)
    with against.builds.FileLock(tmp_path / "scratch" / "builds" / ".lock"), pytest.raises(MeasurementError) as caught:
        measure()
    assert "another benchmark compares builds" in str(caught.value)


def test_the_newest_tag_before_the_commit_is_the_default(project):
    assert find_reference(project).name == "tag-first"
    git(project, "commit", "-q", "--allow-empty", "-m", "third")
    assert find_reference(project).name == "tag-second"
    assert find_reference(project, "main").commit == git(project, "rev-parse", "HEAD")
    git(project, "tag", "-d", "tag-first", "tag-second")
    with pytest.raises(MeasurementError, match=FIRST):
        find_reference(project)


@pytest.mark.parametrize("name", ["v0", "--help", "HEAD:bus_lightning"])
def test_a_reference_that_is_no_commit_is_one_clear_line(project, name):
    with pytest.raises(MeasurementError, match=f"there is no tag, branch or commit {name}: git tag") as caught:
        find_reference(project, name)
    assert "\n" not in str(caught.value)


def test_a_shallow_clone_a_copy_and_a_machine_without_git_say_so(project, tmp_path, monkeypatch):
    commit = git(project, "rev-parse", "tag-first")
    git(tmp_path, "clone", "-q", "--depth", "1", "--no-tags", project.as_uri(), "shallow")
    with pytest.raises(MeasurementError, match=f"this clone is shallow and lacks {commit}: .*--unshallow"):
        find_reference(tmp_path / "shallow", commit)
    with pytest.raises(MeasurementError, match="bus_lightning is no git checkout: clone the repository"):
        find_reference(project / "bus_lightning")
    with pytest.raises(MeasurementError, match="is no git checkout"):
        find_reference(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MeasurementError, match="git is not installed"):
        find_reference(project)


def test_a_build_that_pythonpath_does_not_choose_is_not_measured(measure, project, tmp_path):
    write_probe(tmp_path, "a")
    (project / "bus_lightning" / "__init__.py").write_text("__file__ = '/elsewhere/bus_lightning/__init__.py'\n")
    with pytest.raises(MeasurementError, match="another build would be measured"):
        measure()


def test_the_table_has_ratios_of_pairs_the_goal_and_why_it_was_missed(monkeypatch):
    rows = (
        goals.Row("a", "what a does", 0.3),
        goals.Row("b", "what b does", 0.3, missed="Half of it is drawing."),
        goals.Row("a", "what a does next", key="next"),
        goals.Row("later", "what nobody measured", 0.1),
    )
    monkeypatch.setattr(rendering, "ROWS", rows)

    def measured(*new):
        old = [
            {"seconds": seconds, "next": 9.0, "processor_seconds": 8.0, "peak_mb": 100.0}
            for seconds in (10.0, 20.0, 40.0)
        ]
        less = {"processor_seconds": 2.0}
        return {"turns": {"old": old, "new": [turn | less | {"seconds": x} for turn, x in zip(old, new, strict=True)]},
                "commit": "abc1234"}  # fmt: skip

    probes = {"a": measured(1.0, 4.0, 4.0), "b": measured(4.0, 8.0, 4.0), "unnamed": measured(10.0, 20.0, 40.0)}
    results = {"reference": {"name": "v1", "commit": "1" * 40}, "probes": probes, "failed": {}}
    shown = rendering.tables(results)
    lines = shown["against"].splitlines()
    assert lines[0].startswith("*old* is v1, commit 1111111")
    old, rest = "20.0 (10.0 to 40.0)", "0.25 (0.25 to 0.25) | 100 | 100 | abc1234 |"
    assert lines[4:] == [
        f"| what a does | {old} | 4.00 (1.00 to 4.00) | 0.10 (0.10 to 0.20) | 0.30 | yes | {rest}",
        f"| what b does | {old} | 4.00 (4.00 to 8.00) | 0.40 (0.10 to 0.40) | 0.30 | **no** | {rest}",
        f"| what a does next | 9.00 (9.00 to 9.00) | 9.00 (9.00 to 9.00) | 1.00 (1.00 to 1.00) |  |  | {rest}",
        "| what nobody measured | not measured |  |  | 0.10 |  |  |  |  |  |",
        f"| unnamed | {old} | {old} | 1.00 (1.00 to 1.00) |  |  | {rest}",
    ]
    assert shown["against_missed"].splitlines()[2:] == ["| what b does | Half of it is drawing. |"]


def test_each_row_of_the_table_has_a_probe():
    probes = against.list_probes()
    assert {row.probe for row in goals.ROWS} <= probes.keys()
    assert goals.PLANS.keys() <= probes.keys()
    assert not probes.keys() & {"__init__", "report_rows", "varied_runs"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["import_training", "command_help"])
def test_a_probe_prints_its_seconds_on_its_last_line(name, tmp_path):
    script = against.list_probes()[name]
    command = ["python", script, "--work", tmp_path]
    numbers = json.loads(against.turns.run(command, timeout=300).output.splitlines()[-1])
    assert numbers["seconds"] > 0
    assert numbers["processor_seconds"] > 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["against", "--rows", "none"], "invalid choice: 'none'"),
        (["startup", "--reference", "v1"], "belong to the section against"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(words, line, capsys):
    with pytest.raises(SystemExit):
        main(words)
    assert line in capsys.readouterr().err


def test_without_git_the_commit_of_a_measurement_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.commit() == "unknown"
