"""Pull the plug in any way: what was complete stays whole, and the same command ends with the same bits."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import lightning.pytorch as pl
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from bus_lightning.core import interruption
from bus_lightning.core.errors import DivergedError, OccupiedError, UserError
from bus_lightning.core.interruption import Deferral, Interrupted, keep_signals
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.lock import is_owned, lock_file, owned
from bus_lightning.runs.table import collect
from bus_lightning.training import fit, train

# Rates that change, dropout, and four or more steps in an epoch.
ALEXNET = [
    "model=alexnet",
    "data.batch_size=8",
    "trainer.max_epochs=3",
    "scheduler.patience=0",
    "+scheduler.threshold=0.9",
]
U2NET_LITE = ["model=u2net_lite", "data.size=32", "data.batch_size=8", "trainer.max_epochs=3", "scheduler=cosine"]


def folder_of(cfg):
    return RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)


def results_of(run):
    weights = torch.load(run.best, weights_only=True)["state_dict"]
    files = {file.name: file.read_bytes() for file in (run.cases, run.metrics_file, run.history)}
    return files | {name: tensor.numpy().tobytes() for name, tensor in weights.items()}


class Watch(pl.Callback):
    """Notes the images of each step, and does what is to be done at a moment."""

    def __init__(self):
        self.steps, self.at = [], {}

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.steps.append((trainer.current_epoch, batch_idx, tuple(batch["id"])))
        self.at.pop((trainer.current_epoch, batch_idx), lambda: None)()

    def on_validation_start(self, trainer, module):
        if trainer.state.fn == "fit":
            self.at.pop((trainer.current_epoch, "validation"), lambda: None)()

    def on_test(self):
        """Act just before the kept weights are tested, where no callback runs."""
        self.at.pop("test", lambda: None)()


@pytest.fixture
def watch(monkeypatch):
    watch, usual = Watch(), fit.build_trainer
    monkeypatch.setattr(
        fit, "build_trainer", lambda *args, callbacks, **options: usual(*args, callbacks=[watch, *callbacks], **options)
    )
    monkeypatch.setattr(fit, "save_sheet", lambda *_: None)
    test = pl.Trainer.test
    monkeypatch.setattr(pl.Trainer, "test", lambda self, *a, **k: watch.on_test() or test(self, *a, **k))
    return watch


@pytest.fixture(scope="session")
def known():
    return {}


@pytest.fixture
def undisturbed(composed, watch, known):
    """Train once without an interruption; return the results and the images of each step."""

    def go(*overrides):
        if overrides not in known:
            cfg = composed(*overrides, "group=undisturbed")
            train.run(cfg)
            known[overrides], watch.steps = (results_of(folder_of(cfg)), watch.steps), []
        return known[overrides]

    return go


def kill():
    """End like SIGKILL, as far as a test can: nothing is saved and nothing is reported."""
    raise KeyboardInterrupt


def raise_later(number):
    return lambda: signal.raise_signal(number)


MOMENTS = [
    *((ALEXNET, signal.SIGTERM, moment) for moment in ((1, 1), (0, 0), (1, "last"), (1, "validation"), "test")),
    *((U2NET_LITE, signal.SIGTERM, moment) for moment in ((1, 1), (1, "last"), "test")),  # has no validation set
    (ALEXNET, signal.SIGINT, (1, 1)),
]


@pytest.mark.parametrize(("overrides", "number", "moment"), MOMENTS)
def test_a_stopped_run_saves_and_goes_on_to_the_same_bits(
    composed, undisturbed, watch, overrides, number, moment, caplog
):
    expected, steps = undisturbed(*overrides)
    per_epoch = len(steps) // 3
    cfg = composed(*overrides)
    watch.at[(1, per_epoch - 1) if moment == (1, "last") else moment] = raise_later(number)
    with pytest.raises(Interrupted) as stop:
        train.run(cfg)
    assert stop.value.code == 128 + number
    run = folder_of(cfg)
    assert run.status["state"] == "interrupted"
    assert run.last.is_file()
    assert "the same command continues it" in caplog.text
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    train.run(composed(*overrides))
    assert results_of(run) == expected
    assert watch.steps == steps, "a batch was repeated or left out"
    assert run.status["state"] == "complete"


def test_a_run_that_an_older_version_began_goes_on(composed, undisturbed, watch):
    expected, _ = undisturbed(*ALEXNET)
    watch.at[1, 2] = kill
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train.run(composed(*ALEXNET))
    run = folder_of(composed(*ALEXNET))
    checkpoint = torch.load(run.last, weights_only=True)
    del checkpoint["epoch_sums"], checkpoint["epoch_images"], checkpoint["BusDataModule"]
    checkpoint["callbacks"] = {key: state for key, state in checkpoint["callbacks"].items() if "Resume" not in key}
    torch.save(checkpoint, run.last)
    train.run(composed(*ALEXNET))
    assert results_of(run) == expected


def test_a_job_that_one_launch_starts_twice_goes_on_in_spite_of_rerun(composed, undisturbed, watch):
    expected, steps = undisturbed(*ALEXNET)
    watch.at[1, 2] = raise_later(signal.SIGTERM)
    with pytest.raises(Interrupted):
        train.run(composed(*ALEXNET, "rerun=true"), launch="first")
    train.run(composed(*ALEXNET, "rerun=true"), launch="first")
    assert results_of(folder_of(composed(*ALEXNET))) == expected
    assert watch.steps == steps
    train.run(composed(*ALEXNET, "rerun=true"), launch="second")
    assert watch.steps == 2 * steps, "another launch starts afresh"


def test_a_second_ctrl_c_stops_at_once(composed, watch):
    cfg = composed(*ALEXNET)

    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it went on")

    watch.at[1, 1] = twice
    with pytest.raises(Interrupted):
        train.run(cfg)
    assert torch.load(folder_of(cfg).last, weights_only=True)["epoch"] == 0


@pytest.mark.parametrize(
    "overrides", [ALEXNET, U2NET_LITE, [*ALEXNET, "data.workers=2"]], ids=["alexnet", "u2net_lite", "workers"]
)
def test_a_killed_run_goes_on_from_the_last_epoch_to_the_same_bits(composed, undisturbed, watch, overrides):
    expected, steps = undisturbed(*overrides)
    watch.at[1, 2] = kill
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train.run(composed(*overrides))
    done = len(watch.steps)
    train.run(composed(*overrides))
    assert results_of(folder_of(composed(*overrides))) == expected
    assert watch.steps[done:] == [step for step in steps if step[0] >= 1]


@pytest.mark.parametrize(
    "more", [(), ("trainer.accumulate_grad_batches=3",), ("data.workers=2",), ("data.balance=oversample",)], ids=str
)
def test_a_checkpoint_within_an_epoch_neither_repeats_nor_leaves_out_a_batch(composed, undisturbed, watch, more):
    overrides = [*ALEXNET, "callbacks.checkpoint.every_n_train_steps=2", *more]
    expected, steps = undisturbed(*overrides)
    assert len(steps) // 3 > 6
    watch.at[1, 6] = kill
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train.run(composed(*overrides))
    done = len(watch.steps)
    train.run(composed(*overrides))
    first = watch.steps[done]
    assert first[0] == 1, "it began the epoch again"
    assert first[1] > 0, "it began the epoch again"
    assert watch.steps[done:] == steps[steps.index(first) :]
    assert results_of(folder_of(composed(*overrides))) == expected


def test_an_early_stopped_run_that_was_killed_before_its_test_does_not_train_on(composed, undisturbed, watch):
    overrides = [*ALEXNET, "callbacks=early_stopping", "callbacks.progress=null", "callbacks.early_stopping.patience=1",
                 "callbacks.early_stopping.min_delta=1", "trainer.max_epochs=6"]  # fmt: skip
    expected, steps = undisturbed(*overrides)
    assert steps[-1][0] < 5
    watch.at["test"] = kill
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train.run(composed(*overrides))
    train.run(composed(*overrides))
    assert results_of(folder_of(composed(*overrides))) == expected
    assert watch.steps == steps


def test_a_signal_with_another_handler_reaches_it_after_the_state_is_saved(composed, watch):
    cfg = composed(*ALEXNET)
    was_saved = []
    before = signal.signal(signal.SIGUSR2, lambda *_: was_saved.append(folder_of(cfg).last.is_file()))
    try:
        watch.at[0, 2] = raise_later(signal.SIGUSR2)
        train.run(cfg)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert was_saved == [True]
    assert folder_of(cfg).status["state"] == "complete"


def test_signals_without_a_handler_are_left_alone():
    deferral = Deferral()
    deferral.hold()
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL
    deferral.release()


def test_a_warning_signal_is_not_counted_as_a_second_signal_and_is_not_lost():
    heard = []
    before = signal.signal(signal.SIGUSR2, lambda number, _: heard.append(number))
    deferral = Deferral()
    try:
        deferral.hold()
        for number in (
            signal.SIGINT,
            signal.SIGUSR2,
            signal.SIGUSR2,
        ):  # Ctrl-C of the group, and its parent's signal
            signal.raise_signal(number)
        assert deferral.received == signal.SIGUSR2
        assert not heard
        deferral.release()
        assert heard == [signal.SIGUSR2]
    finally:
        deferral.drop()
        signal.signal(signal.SIGUSR2, before)


@pytest.fixture
def as_a_worker(monkeypatch):
    """Handle signals like a worker that runs next to others."""
    stops = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
    before = {number: signal.getsignal(number) for number in stops}
    monkeypatch.setattr(interruption, "_early", [])
    keep_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_worker_that_is_stopped_between_two_runs_lives_on_and_does_not_start_the_next(as_a_worker, composed, watch):
    signal.raise_signal(signal.SIGUSR2)
    cfg = composed(*ALEXNET)
    with pytest.raises(Interrupted):
        train.run(cfg)
    assert not folder_of(cfg).config.exists()


def test_a_worker_that_is_stopped_within_a_run_saves_it_and_does_not_start_the_next(as_a_worker, composed, watch):
    cfg = composed(*ALEXNET)
    watch.at[1, 1] = raise_later(signal.SIGUSR2)
    with pytest.raises(Interrupted):
        train.run(cfg)
    assert folder_of(cfg).status["state"] == "interrupted"
    done = len(watch.steps)
    with pytest.raises(Interrupted):
        train.run(composed(*ALEXNET, "name=next"))
    assert len(watch.steps) == done


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
    assert "has died" not in caplog.text


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
    run.update_status(state="running")  # a killed process cannot say that it was interrupted
    assert run.last.is_file()
    (run.path / ".cases.csv.1-2").write_text("half")
    train.run(composed(*ALEXNET, "trainer.max_epochs=1"))
    assert run.status["state"] == "complete"
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


def test_history_has_no_gap_and_no_repeated_row(composed, watch):
    cfg = composed(*ALEXNET)
    for moment in ((0, 1), (1, 3), (2, 2)):
        watch.at[moment] = raise_later(signal.SIGTERM)
        with pytest.raises(Interrupted):
            train.run(composed(*ALEXNET))
    train.run(cfg)
    assert pd.read_csv(folder_of(cfg).history)["epoch"].tolist() == [0, 1, 2]
