"""A run that is occupied, killed, or without memory, disk or data says so in a line, and loses nothing."""

import os
import pickle
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from interrupted import ALEXNET, U2NET_LITE, kill, results_of
from omegaconf import OmegaConf
from small_runs import folder_of

from bus_lightning.core.errors import DamagedError, DivergedError, OccupiedError, UserError
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.lock import is_owned, lock_file, owned
from bus_lightning.runs.table import collect
from bus_lightning.training import train


def test_a_run_in_work_is_refused_by_owner_and_age(composed, watch):
    cfg = composed(*ALEXNET)
    folder = folder_of(cfg).path
    folder.parent.mkdir(parents=True)
    with owned(folder):
        with pytest.raises(OccupiedError, match=rf"process {os.getpid()} on \S+ \(since 0 min\)"):
            train.run(cfg)
        assert is_owned(folder)
    assert not is_owned(folder)
    assert not folder.exists()


def test_the_lock_of_a_dead_process_is_taken_over_with_a_message(composed, watch, caplog):
    cfg = composed(*ALEXNET, "trainer.max_epochs=1")
    folder = folder_of(cfg).path
    folder.parent.mkdir(parents=True)
    code = f"""
import os, signal
from pathlib import Path
from bus_lightning.runs.lock import owned
with owned(Path({str(folder)!r})):
    print(os.getpid(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    assert lock_file(folder).stat().st_size > 0
    train.run(cfg)
    assert f"process {dead} on" in caplog.text
    assert "died without an error" in caplog.text
    assert lock_file(folder).stat().st_size == 0
    caplog.clear()
    train.run(cfg)
    assert "died without an error" not in caplog.text


@pytest.mark.parametrize("kind", [UserError, OccupiedError, DivergedError, partial(DamagedError, Path("a file"))])
def test_an_error_of_another_process_says_that_it_has_been_reported(kind):
    """Without its notes, the command would print the line of the job a second time."""
    error = kind("what is wrong")
    error.add_note("reported")
    received = pickle.loads(pickle.dumps(error))
    assert type(received) is type(error)
    assert str(received) == str(error)
    assert received.__notes__ == ["reported"]


def test_a_killed_job_is_named_so_in_the_table(composed, watch):
    cfg = composed(*ALEXNET, "trainer.max_epochs=1")
    train.run(cfg)
    run = folder_of(cfg)
    run.metrics_file.unlink()
    run.update_status(state="running")
    assert collect([run.path])["state"][0] == "killed"
    with owned(run.path):
        assert collect([run.path])["state"][0] == "running"


def test_a_run_killed_before_its_last_status_is_completed_by_the_next_launch(composed, watch, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            RunDir, "write_metrics", lambda self, metrics, usual=RunDir.write_metrics: (usual(self, metrics), kill())
        )
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train.run(composed(*ALEXNET, "trainer.max_epochs=1"))
    run = folder_of(composed(*ALEXNET, "trainer.max_epochs=1"))
    earlier = "2020-01-01T00:00:00+00:00"  # what was evaluated since must not count as newer than the run
    run.update_status(state="running", ended=earlier)  # a killed process cannot say that it was interrupted
    assert run.last.is_file()
    (run.path / ".cases.csv.1-2").write_text("half")
    train.run(composed(*ALEXNET, "trainer.max_epochs=1"))
    assert run.status["state"] == "complete"
    assert run.status["ended"] > earlier
    assert not run.last.exists()
    assert not list(run.path.glob(".cases*"))


def test_a_loss_that_is_no_number_stops_the_job_and_says_what_to_lower(composed, watch):
    cfg = composed(*ALEXNET, "optimizer.lr=1e30")
    with pytest.raises(DivergedError, match=r"training loss is (nan|inf) in epoch [01]: lower optimizer\.lr"):
        train.run(cfg)
    assert folder_of(cfg).status["kind"] == "DivergedError"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
                                   torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")])  # fmt: skip
def test_a_job_without_memory_says_which_settings_to_lower(composed, watch, error):
    def refuse():
        raise error

    watch.at[0, 1] = refuse
    cfg = composed(*ALEXNET)
    with pytest.raises(type(error)):
        train.run(cfg)
    assert "lower data.batch_size or data.size" in folder_of(cfg).status["error"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 100 MB, which grows on request."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options):
        return subprocess.run(["mount", *options, str(folder)], capture_output=True).returncode == 0

    if not (shutil.which("mount") and mount("-t", "tmpfs", "-o", "size=100m", "tmpfs")):
        pytest.skip("mounting a file system needs root")
    yield folder, lambda option: mount("-o", f"remount,{option}")
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_names_itself_loses_nothing_and_the_rerun_gives_the_same_bits(
    composed, undisturbed, watch, small_disk
):
    folder, _ = small_disk
    expected, _ = undisturbed(*ALEXNET)
    cfg = composed(*ALEXNET)
    cfg.runs_dir = str(folder)
    run = folder_of(cfg)

    def fill():
        with open(folder / "other", "wb") as stream:
            free = shutil.disk_usage(folder).free
            stream.write(bytes(free - 2_000_000))

    watch.at[1, 1] = fill
    with pytest.raises(UserError, match="disk is full: make room"):
        train.run(cfg)
    assert torch.load(run.last, weights_only=True)["epoch"] == 0
    assert "disk is full: make room" in run.status["error"]
    assert not [path for path in run.path.rglob(".*") if path.is_file()], "half-written files stay"
    (folder / "other").unlink()
    cfg = composed(*ALEXNET)
    cfg.runs_dir = str(folder)
    train.run(cfg)
    assert results_of(run) == expected


def test_a_read_only_folder_is_one_line(composed, watch, small_disk):
    folder, remount = small_disk
    remount("ro")
    cfg = composed(*ALEXNET)
    cfg.runs_dir = str(folder)
    with pytest.raises(UserError, match=r"cannot be written because .* choose runs_dir"):
        train.run(cfg)


@pytest.mark.slow
def test_a_data_folder_that_vanishes_is_named_and_the_run_goes_on_when_it_is_back(
    composed, undisturbed, watch, phantom_copy
):
    expected, _ = undisturbed(*U2NET_LITE)
    hidden = phantom_copy.with_name("hidden")
    cfg = composed(*U2NET_LITE, root=phantom_copy)
    watch.at[2, 0] = lambda: phantom_copy.rename(hidden)
    with pytest.raises((OSError, UserError)):
        train.run(cfg)
    run = folder_of(cfg)
    assert str(phantom_copy) in run.status["error"]
    with pytest.raises(UserError, match=r"bus_lightning\.data\.download"):
        train.run(composed(*U2NET_LITE, root=phantom_copy))
    hidden.rename(phantom_copy)
    train.run(composed(*U2NET_LITE, root=phantom_copy))
    assert results_of(run) == expected


@pytest.mark.slow
def test_jobs_do_not_add_up_in_memory(composed, tmp_path):
    cfg = composed("model=resnet34", "trainer.limit_train_batches=1", "data.batch_size=8", "logger=wandb")
    OmegaConf.save(cfg, tmp_path / "job.yaml")
    code = f"""
from bus_lightning.training import train
from omegaconf import OmegaConf
for number in range(20):
    cfg = OmegaConf.load({str(tmp_path / "job.yaml")!r})
    cfg.name = f"job-{{number}}"
    train.run(cfg)
    fields = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("VmRSS"))
    print(int(fields["VmRSS"].split()[0]), flush=True)
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("tells its memory nowhere")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    resident = [int(line) for line in done.stdout.split()]
    assert resident[-1] <= 1.05 * resident[2], resident
