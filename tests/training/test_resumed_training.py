"""A run that goes on, is skipped, extended or refused: by what its folder holds, and to the same bits."""

import shutil

import pandas as pd
import pytest
import torch
from filelock import FileLock
from small_runs import Plug, contents, folder_of, train_until

from bus_lightning.core.errors import OccupiedError, UserError
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import fit, train

NET = "model=alexnet"  # has dropout, so that a wrong seed shows


@pytest.mark.slow
def test_a_shorter_training_than_the_one_begun_is_refused(composed, no_pictures):
    overrides = [NET, "name=mine"]
    train_until(Plug(2, 0), composed(*overrides, "trainer.max_epochs=4"))
    with pytest.raises(OccupiedError, match=r"has 2 trained epochs, more than trainer\.max_epochs=1"):
        train.run(composed(*overrides, "trainer.max_epochs=1"))
    cfg = composed(*overrides, "trainer.max_epochs=2")
    train.run(cfg)
    at_once = composed(NET, "name=at_once", "trainer.max_epochs=2")
    train.run(at_once)
    assert contents(folder_of(cfg)) == contents(folder_of(at_once))


@pytest.mark.parametrize("change", ["scheduler=cosine", "scheduler.patience=3", "callbacks=ema",
                                    "trainer.accumulate_grad_batches=2"])  # fmt: skip
def test_another_way_to_train_under_the_same_name_is_refused(composed, no_pictures, change):
    train.run(composed(NET, "name=mine"))
    key = change.partition("=")[0]
    with pytest.raises(OccupiedError, match=f"differs in {key}"):
        train.run(composed(NET, "name=mine", change, "callbacks.progress=null"))


@pytest.mark.slow
def test_other_weights_at_the_same_path_are_another_experiment_and_the_same_ones_elsewhere_are_not(
    composed, no_pictures, tmp_path, monkeypatch
):
    cfg = composed(NET, "name=first")
    train.run(cfg)
    state = torch.load(folder_of(cfg).best, weights_only=True)["state_dict"]
    file, moved = tmp_path / "w.pth", tmp_path / "moved.pth"
    torch.save({name.removeprefix("net."): value for name, value in state.items()}, file)
    shutil.copy(file, moved)
    train.run(composed(NET, "name=mine", f"model.weights={file}"))
    monkeypatch.setattr(fit, "train_and_test", lambda *_: pytest.fail("it trained again"))
    train.run(composed(NET, "name=mine", f"model.weights={file}"))
    train.run(composed(NET, "name=mine", f"model.weights={moved}"))
    torch.save({name.removeprefix("net."): 2 * value for name, value in state.items()}, file)
    with pytest.raises(OccupiedError, match="differs in weights"):
        train.run(composed(NET, "name=mine", f"model.weights={file}"))
    file.unlink()
    train.run(composed(NET, "name=mine", f"model.weights={file}"))  # complete, and nothing says otherwise


@pytest.mark.slow
@pytest.mark.parametrize("model", ["alexnet", "u2net_lite", "joint_unet"])
def test_an_interrupted_run_resumes_to_the_bits_of_an_undisturbed_one(composed, no_pictures, model):
    # A plateau scheduler without patience changes the rate between epochs: its state must survive, too.
    more = ["scheduler.patience=0", "+scheduler.threshold=0.9"] if model == "alexnet" else ["scheduler=cosine"]
    overrides = [f"model={model}", "trainer.max_epochs=3", *more]
    undisturbed, disturbed = composed(*overrides), composed(*overrides, "group=disturbed")
    train.run(undisturbed)
    train_until(Plug(1, 0), disturbed)
    run = folder_of(disturbed)
    assert run.status["state"] == "interrupted"
    assert run.last.is_file()
    train.run(composed(*overrides, "group=disturbed"))
    assert contents(run) == contents(folder_of(undisturbed))
    assert len(pd.read_csv(run.history)["lr"].unique()) > 1, "the scheduler never stepped: nothing was tested"


@pytest.mark.slow
def test_training_on_the_same_batches_goes_on_with_the_next_one_of_them(composed, no_pictures):
    overrides = ["model=resnet34", "data.size=32", "data.batch_size=8", "trainer.overfit_batches=3",
                 "trainer.max_epochs=3", "callbacks.checkpoint.every_n_train_steps=1"]  # fmt: skip
    undisturbed, disturbed = composed(*overrides), composed(*overrides, "group=disturbed")
    train.run(undisturbed)
    train_until(Plug(1, 1), disturbed)
    train.run(composed(*overrides, "group=disturbed"))
    assert contents(folder_of(disturbed)) == contents(folder_of(undisturbed))


def test_the_steps_that_an_interrupted_run_has_logged_stay_in_its_csv(composed, no_pictures):
    overrides = [NET, "logger=csv", "trainer.max_epochs=2"]
    cfg = composed(*overrides)
    train_until(Plug(1, 0), cfg)
    (first,) = (folder_of(cfg).path / "csv").rglob("metrics.csv")
    before = first.read_bytes()
    train.run(composed(*overrides))
    assert first.read_bytes() == before
    tables = [pd.read_csv(file) for file in sorted((folder_of(cfg).path / "csv").rglob("metrics.csv"))]
    assert [sorted(set(table["epoch"])) for table in tables] == [[0], [1, 2]]  # the test counts as the next epoch


def test_a_second_launch_skips_a_complete_run(composed, no_pictures, monkeypatch):
    score = train.run(composed(NET))
    monkeypatch.setattr(fit, "train_and_test", lambda *_: pytest.fail("it trained again"))
    assert train.run(composed(NET)) == score


def test_the_same_name_with_another_identity_is_refused_by_key_and_left_as_it_is(composed, no_pictures):
    cfg = composed(NET, "name=mine")
    train.run(cfg)
    before = contents(folder_of(cfg)) | {"status": folder_of(cfg).status_file.read_bytes()}
    with pytest.raises(UserError, match=r"optimizer\.lr \(folder: 0\.0001, requested: 0\.5\)"):
        train.run(composed(NET, "name=mine", "optimizer.lr=0.5"))
    assert contents(folder_of(cfg)) | {"status": folder_of(cfg).status_file.read_bytes()} == before


def test_other_data_under_the_same_name_is_refused(composed, no_pictures, phantom_copy):
    train.run(composed(NET, "name=mine"))
    (phantom_copy / "benign" / "benign (2).png").unlink()
    (phantom_copy / "benign" / "benign (2)_mask.png").unlink()
    with pytest.raises(UserError, match="differs in data"):
        train.run(composed(NET, "name=mine", root=phantom_copy))


def test_a_moved_data_folder_is_the_same_experiment(composed, no_pictures, phantom_copy, monkeypatch):
    train.run(composed(NET, "name=mine"))
    monkeypatch.setattr(fit, "train_and_test", lambda *_: pytest.fail("it trained again"))
    train.run(composed(NET, "name=mine", root=phantom_copy))


def test_rerun_moves_the_old_folder_aside(composed, no_pictures):
    cfg = composed(NET)
    train.run(cfg)
    train.run(composed(NET, "rerun=true"))
    run = folder_of(cfg)
    (old,) = run.path.parent.glob(f"{run.path.name}.old-*")
    assert contents(RunDir(old)) == contents(run)


@pytest.mark.parametrize("mistake", ["data.root=/no/such/folder", "data.classes=[benign,malignnt]", "data.size=0"])
def test_a_rerun_with_a_mistake_leaves_the_old_run_in_its_place(composed, no_pictures, mistake):
    cfg = composed(NET, "name=mine")
    train.run(cfg)
    run = folder_of(cfg)
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    with pytest.raises(UserError):
        train.run(composed(NET, "name=mine", "rerun=true", mistake))
    assert {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()} == before
    assert not list(run.path.parent.glob("*.old-*"))


def test_a_rerun_that_fails_by_itself_keeps_its_traceback_and_the_old_run(composed, no_pictures, monkeypatch):
    cfg = composed(NET, "name=mine")
    train.run(cfg)
    run = folder_of(cfg)
    monkeypatch.setattr(train, "prepare_data", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train.run(composed(NET, "name=mine", "rerun=true"))
    assert "ZeroDivisionError" in run.error.read_text()
    (old,) = run.path.parent.glob("*.old-*")
    assert RunDir(old).is_complete


def test_a_refused_job_changes_nothing_in_an_incomplete_foreign_folder(composed, no_pictures):
    cfg = composed(NET, "name=mine")
    train.run(cfg)
    run = folder_of(cfg)
    run.metrics_file.unlink()
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    with pytest.raises(OccupiedError, match="another experiment"):
        train.run(composed(NET, "name=mine", "seed=5"))
    assert {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()} == before


def test_a_run_that_another_process_trains_is_refused(composed, no_pictures):
    cfg = composed(NET)
    run = folder_of(cfg)
    run.path.parent.mkdir(parents=True)
    with FileLock(run.path.with_name(f".{run.path.name}.lock")), pytest.raises(OccupiedError, match="another process"):
        train.run(cfg)
    assert not run.path.exists()


def test_an_early_stopped_run_is_complete(composed, no_pictures, monkeypatch):
    overrides = [NET, "callbacks=early_stopping", "callbacks.progress=null", "callbacks.early_stopping.patience=1",
                 "callbacks.early_stopping.min_delta=1", "trainer.max_epochs=6"]  # fmt: skip
    train.run(composed(*overrides))
    run = folder_of(composed(*overrides))
    assert run.status["epochs"] < 6
    monkeypatch.setattr(fit, "train_and_test", lambda *_: pytest.fail("it trained again"))
    train.run(composed(*overrides))


@pytest.mark.slow
def test_a_run_goes_on_after_its_folder_was_moved(composed, no_pictures, tmp_path):
    overrides = [NET, "trainer.max_epochs=3", "name=mine"]
    train_until(Plug(1, 0), composed(*overrides))
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    moved = composed(*overrides)
    moved.runs_dir = str(tmp_path / "elsewhere")
    train.run(moved)
    undisturbed = composed(*overrides)
    train.run(undisturbed)
    assert contents(folder_of(moved)) == contents(folder_of(undisturbed))


@pytest.mark.slow
@pytest.mark.parametrize("keep_last", ["true", "false"])
def test_a_larger_max_epochs_gives_what_training_that_long_at_once_gives(composed, no_pictures, keep_last):
    train.run(composed(NET, "name=short", "trainer.max_epochs=1", f"keep_last={keep_last}"))
    longer = composed(NET, "name=short", "trainer.max_epochs=3", f"keep_last={keep_last}")
    train.run(longer)
    at_once = composed(NET, "name=long", "trainer.max_epochs=3")
    train.run(at_once)
    assert contents(folder_of(longer)) == contents(folder_of(at_once))
