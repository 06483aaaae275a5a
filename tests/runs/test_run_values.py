"""What a run's folder says of epochs, where the best is not the last."""

import shutil
import subprocess

import pandas as pd
import pytest

from bus_lightning.core.errors import DamagedError
from bus_lightning.runs import code
from bus_lightning.runs.folder import RunDir, groups_below


@pytest.fixture
def run(tmp_path):
    folder = RunDir(tmp_path / "run")
    folder.path.mkdir()
    scores = {"epoch": [0, 1, 2, 3], "val/auroc_macro": [0.5, 0.9, None, 0.7], "val/loss": [1.0, 0.8, 0.4, 0.6]}
    pd.DataFrame(scores).to_csv(folder.history, index=False)
    return folder


def test_the_epochs_of_a_run_are_the_rows_of_its_history(run, tmp_path):
    assert run.count_epochs() == 4
    assert RunDir(tmp_path / "none").count_epochs() == 0


def test_an_older_run_kept_its_best_epoch_by_the_history(run):
    assert run.kept_epoch("val/auroc_macro", "max") == 1
    assert run.kept_epoch("val/auroc_macro", "min") == 0
    assert run.kept_epoch("val/loss", "min") == 2
    assert run.kept_epoch("val/dice", "max") == 3  # without this score, the last
    run.update_status(kept_epoch=0)
    assert run.kept_epoch("val/loss", "min") == 0


def test_an_older_run_kept_its_first_epoch_where_no_score_was_defined(run):
    pd.DataFrame({"epoch": [0, 1], "val/auroc_macro": [None, None]}).to_csv(run.history, index=False)
    assert run.kept_epoch("val/auroc_macro", "max") == 0
    run.history.unlink()
    with pytest.raises(DamagedError, match="it is missing"):
        run.kept_epoch("val/auroc_macro", "max")


def test_the_seconds_of_a_run_add_up_over_its_processes(run, monkeypatch):
    monkeypatch.setattr("bus_lightning.runs.folder.time.monotonic", lambda: 107.5)
    run.finish("interrupted", started=100.0)
    run.finish("complete", started=105.0, epochs=4)
    status = run.status
    assert (status["seconds"], status["state"], status["epochs"]) == (10.0, "complete", 4)


def test_a_folder_is_set_aside_under_a_name_that_is_free(run):
    olds = []
    for number in range(3):  # within one second
        (run.path / "mark").write_text(str(number))
        olds.append(run.set_aside())
        assert list(run.path.iterdir()) == []
    assert [(old / "mark").read_text() for old in olds] == ["0", "1", "2"]
    assert all(old.name.startswith("run.old-") for old in olds)


def test_what_was_written_in_half_is_removed_and_nothing_else(run):
    run.checkpoints.mkdir()
    halves = [run.path / ".status.json.12-34", run.checkpoints / ".last.ckpt.12-34"]
    whole = [run.path / ".hidden", run.checkpoints / "last.ckpt"]
    for file in (*halves, *whole):
        file.write_text("x")
    run.tidy()
    assert [file.exists() for file in (*halves, *whole)] == [False, False, True, True]


def test_a_run_names_the_launch_that_started_it_unless_that_is_missing_or_damaged(run):
    run.update_status(launch="one")
    assert run.launch == "one"
    run.update_status(launch=None)
    assert run.launch is None
    run.status_file.write_text("{")
    assert run.launch is None


def test_a_run_names_the_commit_only_inside_a_checkout(run, tmp_path, monkeypatch):
    git = ["git", "-C", tmp_path, "-c", "user.name=x", "-c", "user.email=x"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    run.start()
    assert run.status["commit"] is None  # it is the checkout of another project
    shutil.copy(code.__file__, tmp_path)
    subprocess.run([*git, "add", "code.py"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "second"], check=True)
    run.start()
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert (run.status["commit"], run.status["dirty"]) == (commit, False)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    run.error.write_text("an error of before")
    run.start(data="d")
    status = run.status
    assert (status["commit"], status["dirty"], status["state"], status["data"]) == (None, None, "running", "d")
    assert not run.error.exists()


@pytest.mark.parametrize("epoch", [-1, 1.5])
def test_an_epoch_that_cannot_be_is_refused(run, epoch):
    pd.DataFrame({"epoch": [0, epoch], "val/loss": [1.0, 0.8]}).to_csv(run.history, index=False)
    with pytest.raises(DamagedError, match="epoch"):
        run.read_history()


def test_a_number_that_json_does_not_know_is_never_written(run):
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.write_metrics({"test": {"n": 1, "loss": float("nan")}})
    assert not run.is_complete
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.update_status(score=float("inf"))
    assert run.status == {}
    run.write_metrics({"test": {"n": 1, "loss": None}})
    assert run.is_complete


def test_masks_lie_below_their_class_and_cases_keep_every_bit(run):
    run.write_masks({"benign/a": b"one", "normal/b": b"two"})
    assert (run.masks / "benign/a.png").read_bytes() == b"one"
    assert (run.masks / "normal/b.png").read_bytes() == b"two"
    cases = pd.DataFrame({"id": ["benign/a", "normal/b"], "prob_benign": [1 / 3, 0.1 + 0.2]})
    run.write_cases(cases)
    lines = run.cases.read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["id", "benign/a", "normal/b"]
    assert [float(line.split(",")[1]) for line in lines[1:]] == cases["prob_benign"].tolist()


def test_groups_are_the_folders_that_hold_runs(run):
    for place in ("g/one", "g/two", "h/one", ".hidden/one", "g/.three", "empty", "deep/er/one"):
        (run.path / place).mkdir(parents=True)
        if place != "empty":
            (run.path / place / "config.yaml").write_text("")
    assert groups_below(run.path) == [run.path / "g", run.path / "h"]
