"""A debug run replaces the one before it, and never any other run."""

from pathlib import Path

import pytest
from filelock import FileLock

from bus_lightning.core.errors import OccupiedError
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.lock import lock_file
from bus_lightning.training import fit
from bus_lightning.training import train as training

MINE = ("model=alexnet", "name=mine", "data.size=64")


@pytest.fixture
def train(composed, monkeypatch):
    """Train a run that is called `mine`, in the group `debug`, and return its folder."""
    monkeypatch.setattr(fit, "save_sheet", lambda *_: None)

    def go(*overrides):
        cfg = composed(*MINE, *overrides)
        training.run(cfg)
        return RunDir(Path(cfg.runs_dir) / "debug" / "mine")

    return go


def files_of(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def moved_aside(run):
    return sorted(run.path.parent.glob("mine.old-*"))


def test_a_debug_run_replaces_the_one_before(train):
    run = train("debug=fast")
    (run.path / "of_the_first_run.txt").write_text("")
    train("debug=fast")
    assert run.is_complete
    assert [folder.name for folder in run.path.parent.iterdir() if folder.is_dir()] == ["mine"]
    assert not (run.path / "of_the_first_run.txt").exists()


@pytest.mark.slow
def test_a_debug_run_moves_any_other_run_aside(train):
    run = train("group=debug")
    before = files_of(run.path)
    train("debug=fast")
    (old,) = moved_aside(run)
    assert files_of(old) == before
    train("debug=fast")
    assert moved_aside(run) == [old]
    assert files_of(old) == before


def test_any_other_run_moves_a_debug_run_aside(train):
    run = train("debug=fast")
    before = files_of(run.path)
    train("group=debug", "rerun=true")
    (old,) = moved_aside(run)
    assert files_of(old) == before


@pytest.mark.slow
def test_a_debug_run_that_goes_on_with_another_run_does_not_let_the_next_one_remove_it(train):
    run = train("group=debug", "keep_last=true")
    train("debug=profile", "rerun=false", "trainer.max_epochs=2", "keep_last=true")
    assert run.count_epochs() == 2
    before = files_of(run.path)
    train("debug=profile")
    (old,) = moved_aside(run)
    assert files_of(old) == before


def test_a_folder_whose_config_is_damaged_is_moved_aside(train):
    run = train("debug=fast")
    run.config.write_text("{")
    train("debug=fast")
    assert len(moved_aside(run)) == 1


def test_a_folder_that_is_a_link_is_moved_aside_and_what_it_points_to_stays(train, tmp_path):
    run = train("debug=fast")
    elsewhere = run.path.rename(tmp_path / "elsewhere")
    run.path.symlink_to(elsewhere)
    before = files_of(elsewhere)
    train("debug=fast")
    assert run.is_complete
    assert len(moved_aside(run)) == 1
    assert files_of(elsewhere) == before


def test_a_debug_run_leaves_the_folder_of_one_that_is_at_work(train):
    run = train("debug=fast")
    before = files_of(run.path)
    with FileLock(lock_file(run.path)), pytest.raises(OccupiedError, match="another process"):
        train("debug=fast")
    assert files_of(run.path) == before
