"""A job that fails says why, leaves its state and whole checkpoints, and is tried again."""

import errno

import pytest
import torch
from small_runs import folder_of

from bus_lightning.core.errors import UserError, WeightsMissingError
from bus_lightning.runs.table import collect
from bus_lightning.training import fit, train

NET = "model=alexnet"  # has dropout, so that a wrong seed shows


def test_a_failed_job_leaves_its_traceback_and_its_state(composed, no_pictures):
    cfg = composed(NET, "model.weights=/no/such/file.pth")
    with pytest.raises(UserError, match="/no/such/file"):
        train.run(cfg)
    run = folder_of(cfg)
    assert run.status["state"] == "failed"
    assert "Traceback" in run.error.read_text()
    assert "/no/such/file.pth" in collect([run.path])["error"][0]


def test_missing_imagenet_weights_stop_the_job_before_training_and_show_in_the_table(composed, monkeypatch):
    def missing(name):
        raise WeightsMissingError(f"{name} is not here: pass model.weights=FILE.")

    monkeypatch.setattr("bus_lightning.models.weights.torchvision_imagenet", missing)
    cfg = composed("model=resnet34_pretrained")
    with pytest.raises(WeightsMissingError, match="pass model"):
        train.run(cfg)
    assert collect([folder_of(cfg).path])["state"][0] == "not run: weights missing"


def test_a_rerun_of_a_failed_job_tries_again_and_clears_the_error(composed, no_pictures, monkeypatch):
    cfg = composed(NET)
    with monkeypatch.context() as patch:
        patch.setattr(fit, "build_trainer", lambda *_, **__: (_ for _ in ()).throw(MemoryError("no room")))
        with pytest.raises(MemoryError):
            train.run(cfg)
    assert folder_of(cfg).status["error"].startswith("MemoryError: no room (out of memory: lower data.batch_size")
    train.run(composed(NET))
    assert folder_of(cfg).status["state"] == "complete"
    assert not folder_of(cfg).error.exists()
    assert collect([folder_of(cfg).path])["error"][0] is None


def test_a_full_disk_leaves_the_previous_checkpoint_whole(tmp_path, monkeypatch):
    from bus_lightning.training.callbacks.checkpoints import SafeCheckpointIO

    path = tmp_path / "best.ckpt"
    SafeCheckpointIO().save_checkpoint({"epoch": 1}, path)

    def full(content, stream):
        stream.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        SafeCheckpointIO().save_checkpoint({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_last_checkpoint_is_refused_in_one_line(composed, no_pictures):
    cfg = composed(NET, "keep_last=true")
    train.run(cfg)
    run = folder_of(cfg)
    run.last.write_bytes(run.last.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"last\.ckpt is cut off") as error:
        train.run(composed(NET, "keep_last=true", "name=" + cfg.name, "trainer.max_epochs=2"))
    assert "\n" not in str(error.value)
