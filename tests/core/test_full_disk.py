"""A full or read-only disk ends each command in one line that names the folder, the option and the cure."""

import errno
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from bus_lightning.core.errors import UserError, disk_trouble
from bus_lightning.data.audit_command import main as audit
from bus_lightning.diagnosis.predict import main as predict
from bus_lightning.export.__main__ import main as export
from bus_lightning.launch.report import main as report
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import train
from bus_lightning.training.evaluate import evaluate_runs

KEPT = Path(__file__).parents[1] / "kept"


def _may_mount():
    if os.geteuid() != 0 or not shutil.which("mount"):
        return False
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return shutil.which("unshare") and subprocess.run(probe, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not _may_mount(), reason="needs the right to mount a small disk")


@contextmanager
def disk(at, size="64k", read_only=False):
    """A real disk of this size; its first content is what lies at `at`."""
    at.mkdir(parents=True, exist_ok=True)
    kept = at.with_name(f".{at.name}.kept")
    shutil.copytree(at, kept, symlinks=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(at)], check=True)
    try:
        shutil.copytree(kept, at, symlinks=True, dirs_exist_ok=True)
        if read_only:
            subprocess.run(["mount", "-o", "remount,ro", str(at)], check=True)
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)
        shutil.rmtree(kept)


def fill(folder):
    """Write until nothing more fits."""
    with (folder / "filler").open("wb", buffering=0) as stream, suppress(OSError):
        while stream.write(bytes(4096)):
            pass


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The working directory, with kept runs and their data."""
    for kind in ("two_stage", "classification"):
        shutil.copytree(KEPT / "runs" / kind, tmp_path / "runs" / kind)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "phantom").symlink_to(KEPT / "data" / "phantom")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines_of(capsys):
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return [line for line in err.splitlines() if line.startswith("Error: ") or ": " in line]


def commands(out):
    pair = ["--run", "runs/two_stage/segmenter-null", "runs/two_stage/classifier-null"]
    return {
        "export": lambda: export([*pair, "--out", str(out)]),
        "report": lambda: report(["runs/two_stage", "--no-wandb", "--out", str(out)]),
        "predict": lambda: predict([str(KEPT / "bundle"), "data/phantom/benign", "--out", str(out)]),
        "audit": lambda: audit(["data/phantom", "--out", str(out)]),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "read-only"])
@pytest.mark.parametrize("command", ["export", "report", "predict", "audit"])
def test_a_disk_that_takes_nothing_is_named_with_its_option_and_nothing_is_half_written(project, capsys, command, kind):
    with disk(project / "disk", read_only=kind == "read-only") as folder:
        if kind == "full":
            fill(folder)
        out = folder / "out"
        assert commands(out)[command]() in (1, 2)
        line = lines_of(capsys)[-1]
        assert str(folder) in line
        assert "--out" in line
        assert ("make room" in line) == (kind == "full")
        left = [path for path in folder.rglob("*") if path.is_file() and path.name != "filler"]
        assert [path for path in left if path.stat().st_size and command != "predict"] == []


@pytest.mark.slow
@pytest.mark.parametrize("command", ["export", "report"])
def test_an_older_result_stays_whole_on_a_disk_that_fills_up_meanwhile(project, capsys, command):
    if command == "export":
        older = Path(shutil.copytree(KEPT / "bundle", project / "disk" / "out"))
    else:
        older = project / "disk" / "out"
        assert report(["runs/classification", "--no-wandb", "--out", str(older)]) == 0
    before = {file.relative_to(older): file.read_bytes() for file in older.rglob("*.*")}
    used = sum(-(-len(content) // 4096) * 4 for content in before.values()) + 80
    with disk(project / "disk", size=f"{used + 100}k") as folder:
        assert commands(folder / "out")[command]() == 1
        assert "make room" in lines_of(capsys)[-1]
        after = {file.relative_to(folder / "out"): file.read_bytes() for file in (folder / "out").rglob("*.*")}
        assert after == before
        assert [path.name for path in folder.iterdir()] == ["out"]


def evaluated(runs):
    data = {"root": None, "skip_unreadable": False}
    return OmegaConf.create({"runs": runs, "part": "test", "split": None, "progress": False, "data": data})


@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_an_evaluation_that_cannot_be_written_is_refused_and_the_next_run_is_evaluated(project, caplog, kind):
    shutil.copytree(project / "runs" / "classification" / "finished", project / "runs" / "more" / "a" / "run")
    shutil.copytree(project / "runs" / "classification" / "finished", project / "runs" / "more" / "b" / "run")
    with disk(project / "runs" / "more" / "a", size="2m", read_only=kind == "read-only") as folder:
        if kind == "full":
            fill(folder)
        with pytest.raises(UserError, match="1 of 2 runs could not be evaluated"):
            evaluate_runs(evaluated("runs/more/*/run"))
        assert ("make room, or choose runs=..." if kind == "full" else "read-only: choose runs=...") in caplog.text
    assert len(list((project / "runs" / "more" / "b" / "run" / "evaluations").glob("*/metrics.json"))) == 1


def test_a_cache_that_cannot_be_written_names_the_config_that_chooses_it(project, caplog):
    with disk(project / "data" / "cache", read_only=True), pytest.raises(UserError, match="could not be evaluated"):
        evaluate_runs(evaluated("runs/classification/finished"))
    assert "choose another data.cache in runs/classification/finished/config.yaml" in caplog.text


OPTIONS = {"runs_dir": "runs", "data.cache": "data/cache", "data.root": "data/phantom"}


@pytest.mark.parametrize(
    ("option", "exists"),
    [("runs_dir", True), ("runs_dir", False), ("data.cache", True), ("data.cache", False), ("data.root", False)],
)
def test_training_names_the_option_of_the_disk_that_is_read_only(composed, tmp_path, option, exists):
    cfg = composed("model=alexnet", "data=phantom", "data.phantom.images=12")
    for key, folder in OPTIONS.items():
        OmegaConf.update(cfg, key, str(tmp_path / "free" / folder))
    place = tmp_path / "closed" / OPTIONS[option]
    OmegaConf.update(cfg, option, str(place))
    (place if exists else tmp_path / "closed").mkdir(parents=True)
    with (
        disk(place if exists else tmp_path / "closed", read_only=True),
        pytest.raises(UserError, match=rf"choose {option}=\.\.\.[,(\s]") as refused,
    ):
        train.run(cfg)
    assert not [other for other in OPTIONS if other != option and other in str(refused.value)]


@pytest.mark.parametrize("option", ["--out", "--cache"])
def test_the_audit_names_the_option_of_the_disk_that_is_read_only(project, capsys, option):
    with disk(project / "closed", read_only=True) as folder:
        assert audit(["data/phantom", "--out", "out", "--cache", "cache", option, str(folder / "new" / "er")]) == 1
        assert f"choose {option}=..." in lines_of(capsys)[-1]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOTDIR, "a file is in the place of a folder: move the file, or choose data.cache=..."),
        (errno.EEXIST, "a file is in the place of a folder: move the file, or choose data.cache=..."),
        (errno.EISDIR, "a folder is in the place of a file: move the folder, or choose data.cache=..."),
        (errno.ENAMETOOLONG, "its name is too long: choose data.cache=..."),
        (errno.EIO, "the disk does not answer: check it, or choose data.cache=..."),
    ],
)
def test_each_trouble_with_a_disk_has_its_cure(number, words):
    assert words in disk_trouble(OSError(number, "no", "/a/cache/x"), {"data.cache": Path("/a/cache")})


def test_a_missing_folder_above_several_names_each_of_them():
    options = {"data.cache": Path("/a/b/cache"), "data.root": Path("/a/b/images"), "runs_dir": Path("/c/runs")}
    line = disk_trouble(OSError(errno.EROFS, "no", "/a/b"), options)
    assert "choose data.cache=... or data.root=..." in line
    line = disk_trouble(OSError(errno.ENOENT, "no", "/a/b/images"), options | {"data.root": Path("/elsewhere")})
    assert "data.cache" not in line, "a folder next to it is another folder"


def test_what_numpy_cannot_write_is_a_full_disk():
    assert "make room" in disk_trouble(OSError("2048 requested and 1000 written"))


@pytest.mark.parametrize("command", ["report", "audit"])
def test_a_file_in_the_place_of_a_folder_is_named(project, capsys, command):
    (project / "file").write_text("x")
    assert commands(project / "file" / "out")[command]() == 1
    assert "--out" in lines_of(capsys)[-1]
    assert sys.exc_info() == (None, None, None)


def test_a_run_reads_where_its_config_puts_the_cache(project):
    folder = RunDir(Path("runs/classification/finished"))
    assert folder.config_folders() == {f"data.cache in {folder.config}": Path("data/cache")}
    folder.config.write_text("[")
    assert folder.config_folders() == {}
