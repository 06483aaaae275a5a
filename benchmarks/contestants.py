"""The commands that are compared: ours, the bare loop, and the plain baseline, on the same network and batch."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

KEPT = "bare, memory kept"
CLOCK = "+callbacks.clock._target_=benchmarks.clock.Clock"


@dataclass(frozen=True)
class Setting:
    """A model as the paper's recipe trains it.

    Attributes:
        batch: Images per step.
        size: Side of an image, in pixels.
        steps: Timed steps per process.
        rounds: Processes of each contestant.
        contestants: Who takes part; ours comes first.
    """

    model: str
    batch: int = 16
    size: int = 224
    steps: int = 4
    rounds: int = 5
    contestants: tuple[str, ...] = ("ours", "bare", "plain")


SETTINGS = (
    Setting("resnet34"),
    Setting("resnet50"),
    Setting("alexnet", steps=12, contestants=("ours", "bare", KEPT, "plain")),
    Setting("deepcardinal50"),
    Setting("u2net_lite", batch=8, size=320, steps=2, contestants=("ours", "bare", KEPT)),
)


@dataclass(frozen=True)
class Resolved:
    """What the framework chose on this machine: the bare loop is given the same.

    Attributes:
        precision: bf16 or fp32.
        layout: channels_last or contiguous.
    """

    precision: str
    layout: str


def data_options() -> list[str]:
    """Tell ours which data to take: BUSI where BUSI_ROOT names it, else the phantom."""
    return [] if os.environ.get("BUSI_ROOT") else ["data=phantom"]


def limits(train: int, val: int, test: int) -> list[str]:
    """Limit a run to one epoch of a few batches, with the same words for ours and plain."""
    return ["trainer.max_epochs=1", f"trainer.limit_train_batches={train}", f"trainer.limit_val_batches={val}",
            f"trainer.limit_test_batches={test}"]  # fmt: skip


def ours(models: str, folder: Path, *more: str) -> list[str]:
    """Give the command that trains with the framework, everything at its default; several models are a grid."""
    return ["python", "train.py", *_multirun(models, more), f"model={models}", f"runs_dir={folder}",
            *data_options(), *more]  # fmt: skip


def plain(models: str, folder: Path, *more: str) -> list[str]:
    """Give the command that trains with the baseline."""
    return ["python", "-m", "benchmarks.plain.train", *_multirun(models, more), f"model={models}",
            f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}", *more]  # fmt: skip


def _multirun(models: str, more: Sequence[str]) -> list[str]:
    """Tell Hydra that a list is a grid."""
    return ["-m"] if "," in models or any(word.startswith("seed=") and "," in word for word in more) else []


def timed_command(contestant: str, setting: Setting, steps: int, folder: Path, resolved: Resolved) -> list[str]:
    """Give the command that trains `steps` steps and writes its time stamps to `clock.json` in the folder."""
    clock = folder / "clock.json"
    if contestant.startswith("bare"):
        kept = ["--keep-memory"] if contestant == KEPT else []
        return ["python", "-m", "benchmarks.bare", setting.model, "--precision", resolved.precision,
                "--layout", resolved.layout, "--batch", str(setting.batch), "--size", str(setting.size),
                "--steps", str(steps), "--clock", str(clock), *kept]  # fmt: skip
    shared = [*limits(steps, 1, 1), CLOCK, f"+callbacks.clock.path={clock}"]
    return ours(setting.model, folder, *shared) if contestant == "ours" else plain(setting.model, folder, *shared)


def resolved(folder: Path) -> Resolved:
    """Read from the record of a run of ours what the framework chose."""
    status = json.loads(next(folder.rglob("status.json")).read_text())
    precision = "bf16" if status["precision"].startswith("bf16") else "fp32"
    return Resolved(precision, "channels_last" if status["channels_last"] else "contiguous")
