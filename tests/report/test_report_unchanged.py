"""A report over unchanged runs is kept; whatever it was made from, a change is shown."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bus_lightning.launch.report import main
from bus_lightning.report import up_to_date
from bus_lightning.report.sections import Note, Section, TableItem
from bus_lightning.report.up_to_date import MadeFrom, alone
from bus_lightning.report.writing import write_report

KEPT = Path(__file__).parents[1] / "kept" / "runs"


@pytest.fixture
def group(tmp_path):
    """A group with a kept classifier."""
    shutil.copytree(KEPT / "classification" / "finished", tmp_path / "runs" / "grid" / "finished")
    return tmp_path / "runs" / "grid"


@pytest.fixture
def made(group, tmp_path, monkeypatch):
    """A report with a record, and all that it was made from: its group, a data folder, a member and this program."""
    code = tmp_path / "code"
    (code / "__pycache__").mkdir(parents=True)
    (code / "a.py").write_text("VERSION = 1\n")
    monkeypatch.setattr(up_to_date, "_PACKAGE", code)
    (tmp_path / "data" / "benign").mkdir(parents=True)
    (tmp_path / "data" / "benign" / "1.png").write_bytes(b"pixels")
    shutil.copytree(KEPT / "joint" / "finished", tmp_path / "member")
    out = group / "report"
    write_report(out, "T", "", [Section("S", "", [Note("text")])], {})

    def again(**options):
        record = MadeFrom(out, [group], {"title": "T"} | options)
        record.add([tmp_path / "data", tmp_path / "member", tmp_path / "missing"])
        return record

    again().record()
    assert again().is_shown()
    return again


def change_a_digit(file: Path) -> None:
    """Change one digit, and set the times back."""
    times, text = file.stat(), file.read_text()
    place = text.index("0.3") + 4  # the third decimal, so that the probabilities still add up
    file.write_text(f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.slow
def test_a_second_report_over_unchanged_runs_is_the_first_one(group, capsys):
    assert main([str(group), "--no-wandb"]) == 0
    page = group / "report" / "index.html"
    first = page.read_bytes(), page.stat().st_mtime_ns, page.stat().st_ino
    assert "nothing" not in capsys.readouterr().out
    assert main([str(group), "--no-wandb"]) == 0
    assert f"{page}; nothing that it shows has changed" in capsys.readouterr().out
    assert (page.read_bytes(), page.stat().st_mtime_ns, page.stat().st_ino) == first

    change_a_digit(group / "finished" / "cases.csv")
    assert main([str(group), "--no-wandb"]) == 0
    assert page.read_bytes() != first[0]
    assert "nothing" not in capsys.readouterr().out

    assert main([str(group), "--no-wandb", "--again"]) == 0
    assert "nothing" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_report_that_is_kept_repeats_its_warnings(group, capsys, caplog):
    config = group / "finished" / "config.yaml"
    config.write_text(config.read_text().replace("    entity: null\n", "    entity: stranger\n"))
    for kept in (False, True, True):
        caplog.clear()
        assert main([str(group)]) == 0
        assert ("nothing that it shows has changed" in capsys.readouterr().out) == kept
        assert caplog.text.count("its runs name the owner stranger") == 1


CHANGES = {
    "a digit of a case, with the old times": lambda at: change_a_digit(at / "runs/grid/finished/cases.csv"),
    "a metric": lambda at: (at / "runs/grid/finished/metrics.json").write_text("{}"),
    "a new run": lambda at: shutil.copytree(at / "member", at / "runs/grid/joint"),
    "a run that is gone": lambda at: shutil.rmtree(at / "runs/grid/finished"),
    "a new evaluation": lambda at: (at / "runs/grid/finished/evaluations").mkdir(),
    "a new picture": lambda at: (at / "runs/grid/finished/sheet.png").write_bytes(b"1"),
    "a checkpoint": lambda at: next((at / "runs/grid/finished/checkpoints").iterdir()).write_bytes(b"1"),
    "a member elsewhere": lambda at: (at / "member/cases.csv").write_text("id\n"),
    "a picture of the data": lambda at: (at / "data/benign/1.png").write_bytes(b"PIXELS"),
    "a new picture of the data": lambda at: (at / "data/benign/2.png").write_bytes(b"pixels"),
    "a folder that was missing": lambda at: (at / "missing").mkdir(),
    "this program": lambda at: (at / "code/a.py").write_text("VERSION = 2\n"),
    "the page": lambda at: (at / "runs/grid/report/index.html").write_text("edited"),
    "a file of the report that is gone": lambda at: (at / "runs/grid/report/report.md").unlink(),
    "a file more in the report": lambda at: (at / "runs/grid/report/figures/x.svg").write_text("<svg/>"),
    "the report is gone": lambda at: shutil.rmtree(at / "runs/grid/report"),
    "the record is cut off": lambda at: os.truncate(record_of(at), record_of(at).stat().st_size - 5),
    "the record holds something else": lambda at: record_of(at).write_text("[]"),
    "a copy of the report": lambda at: replace_by_copy(at / "runs/grid/report"),
}


def record_of(folder: Path) -> Path:
    (record,) = (folder / "runs/grid/.summaries").glob("report-*.json")
    return record


def replace_by_copy(folder: Path) -> None:
    """Put a copy with the same times in the place of a folder, as if it came with the runs from elsewhere."""
    shutil.copytree(folder, folder.with_name("copy"))
    shutil.rmtree(folder)
    folder.with_name("copy").rename(folder)


@pytest.mark.parametrize("change", CHANGES)
def test_a_report_is_made_again_after_a_change_of(change, made, tmp_path):
    CHANGES[change](tmp_path)
    assert not made().is_shown()


def test_a_report_with_other_options_libraries_or_roots_is_another_one(made, tmp_path, monkeypatch):
    assert not made(title="another").is_shown()
    monkeypatch.setenv("BUSI_ROOT", "elsewhere")
    assert not made().is_shown()
    monkeypatch.undo()
    (tmp_path / "site" / "numpy-9.9.dist-info").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    assert not made().is_shown()


def test_what_a_report_does_not_read_changes_nothing(made, tmp_path):
    run = tmp_path / "runs/grid/finished"
    (run / "wandb").mkdir()
    (run / "wandb" / "log").write_text("1")
    (run / "train.log").write_text("1")
    (tmp_path / "runs/grid/.x.lock").write_text("1")
    assert made().is_shown()


@pytest.mark.slow
def test_a_record_that_cannot_be_written_leaves_the_report(group, capsys):
    (group / ".summaries").write_text("a file in the place of the folder")
    for _ in range(2):
        assert main([str(group), "--no-wandb"]) == 0
        assert "nothing" not in capsys.readouterr().out
    assert (group / "report" / "index.html").is_file()


_KILLED = """
import os, signal, sys
import pandas as pd
from pathlib import Path
from bus_lightning.report.sections import Section, TableItem
from bus_lightning.report.writing import write_report

out, number = Path(sys.argv[1]), 0


def count(event, arguments):
    global number
    touches = any(str(out.parent) in str(each) for each in arguments)
    if touches and event in ("open", "os.mkdir", "os.rename", "os.rmdir", "os.remove", "shutil.rmtree"):
        number += 1
        if number == last:
            os.kill(os.getpid(), signal.SIGKILL)


for last in range(1, 200):
    child = os.fork()
    if not child:
        sys.addaudithook(count)
        table = TableItem("numbers", "c", pd.DataFrame({"a": [2]}))
        write_report(out, "new", "", [Section("S", "", [table])], {})
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print((out / "index.html").is_file() and (out / "tables" / "numbers.csv").is_file(), flush=True)
    if status == 0:
        break
print(last)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux swaps two folders in one step")
def test_a_report_killed_at_any_moment_leaves_a_whole_one(tmp_path):
    import pandas as pd

    out = tmp_path / "runs" / "report"
    write_report(out, "old", "", [Section("S", "", [TableItem("numbers", "c", pd.DataFrame({"a": [1]}))])], {})
    run = subprocess.run([sys.executable, "-c", _KILLED, str(out)], capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    *whole, moments = run.stdout.split()
    assert int(moments) > 8
    assert set(whole) == {"True"}
    assert "<title>new" in (out / "index.html").read_text()


@pytest.mark.slow
def test_a_second_report_at_the_same_time_waits_and_says_so(group):
    command = [sys.executable, "-m", "bus_lightning.launch.report", str(group), "--no-wandb"]
    subprocess.run(command, check=True, capture_output=True)  # not in this process, whose sys.path has grown
    with alone(group / "report"):
        second = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = second.stderr.readline()
        assert "Another process is writing" in line
        assert str(group / "report") in line
        assert second.poll() is None
    out, _ = second.communicate(timeout=600)
    assert second.returncode == 0
    assert "nothing that it shows has changed" in out
    assert not list(group.glob(".report*"))


_OPENED = """
import os, sys
opened = set()


def note(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str | bytes | os.PathLike):
        opened.add(os.path.abspath(os.fsdecode(arguments[0])))


sys.addaudithook(note)
from pathlib import Path
from bus_lightning.report import up_to_date

class Noted(up_to_date.MadeFrom):
    def record(self):
        super().record()
        print("SOURCES", *map(os.path.abspath, self._sources), sep="\\n")
        print("OPENED", *opened, sep="\\n")

up_to_date.MadeFrom = Noted
from bus_lightning.launch.report import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_all_that_a_report_opens_decides_whether_it_is_made_again(tmp_path, small_phantom):
    group = tmp_path / "runs" / "grid"
    for name in ("joint/finished", "classification/finished", "two_stage/segmenter-null"):
        run = group / name.partition("/")[0]
        shutil.copytree(KEPT / name, run)
        config = (run / "config.yaml").read_text()
        (run / "config.yaml").write_text(config.replace("root: data/phantom", f"root: {tmp_path / 'phantom'}"))
    shutil.copytree(small_phantom, tmp_path / "phantom")
    run = subprocess.run(
        [sys.executable, "-c", _OPENED, str(group), "--no-wandb", "--out", str(tmp_path / "out")],
        capture_output=True, text=True, timeout=600, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    listed = run.stdout.partition("SOURCES\n")[2]
    sources, _, opened = listed.partition("OPENED\n")
    below = {path for path in opened.splitlines() if path.startswith(f"{tmp_path}/")}
    own = (f"{tmp_path}/out", f"{tmp_path}/.out", f"{group}/.summaries")
    decide = [Path(source) for source in sources.splitlines()]
    files = [Path(path) for path in below if not path.startswith(own) and Path(path).is_file()]
    assert any(path.is_relative_to(tmp_path / "phantom") for path in files)  # pictures of the data
    assert not [path for path in files if not any(path.is_relative_to(source) for source in decide)]


def test_ctrl_c_is_one_line_and_leaves_the_earlier_report(finished, capsys, monkeypatch):
    group = finished("model=resnet34").path.parent

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    (group / "report").mkdir()
    (group / "report" / "index.html").write_text("earlier")
    monkeypatch.setattr("bus_lightning.report.making.contents", interrupt)
    assert main([str(group), "--no-wandb"]) == 130
    assert capsys.readouterr().err.strip().splitlines()[-1] == "Stopped. The same command starts again."
    assert (group / "report" / "index.html").read_text() == "earlier"
