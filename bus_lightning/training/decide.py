"""Decide what happens with a run's folder: start, resume, extend, restart, skip or refuse. Nothing is changed here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from omegaconf import DictConfig

from bus_lightning.config.stored import load_config
from bus_lightning.runs.folder import RunDir


class Action(Enum):
    """What happens with the folder."""

    START = "train from the first epoch"
    RESUME = "continue from last.ckpt"
    EXTEND = "continue a complete run from last.ckpt, to more epochs"
    RESTART = "move the old folder aside and train from the first epoch"
    SKIP = "leave the complete run as it is"
    REFUSE = "leave the folder as it is, with an error"


@dataclass(frozen=True)
class Decision:
    """What happens with a run's folder, and why.

    Attributes:
        action: What happens.
        reason: One line for the log or the error, which follows the folder's path; empty if there is nothing to say.
    """

    action: Action
    reason: str = ""


@dataclass(frozen=True)
class Kept:
    """What a run's folder holds, as far as it decides what happens.

    Attributes:
        max_epochs: `trainer.max_epochs` of its config.
        count_epochs: Counts the trained epochs. A function, because history.csv is read only where it decides: a
            complete run with a damaged history is still skipped.
        is_complete: Whether it has metrics.json.
        has_last: Whether it has last.ckpt.
        differences: What makes it another experiment than the requested one; empty for the same experiment.
    """

    max_epochs: int
    count_epochs: Callable[[], int] = lambda: 0
    is_complete: bool = False
    has_last: bool = False
    differences: Sequence[str] = ()


def read_kept(folder: RunDir, cfg: DictConfig, hashes: dict[str, str]) -> Kept | None:
    """Read what decides about a folder; None if it holds no run.

    Args:
        folder: The run's folder.
        cfg: The requested config.
        hashes: Hashes of the requested data, split, masks and weights, named as in status.json.

    Raises:
        DamagedError: When a file of the folder cannot be read.
    """
    if not folder.config.is_file():
        return None
    kept = load_config(folder.config)
    return Kept(
        kept.trainer.max_epochs, folder.count_epochs, folder.is_complete, folder.last.is_file(),
        folder.differences(kept, cfg, hashes),
    )  # fmt: skip


def decide(kept: Kept | None, max_epochs: int) -> Decision:
    """Decide what happens with a run's folder.

    Args:
        kept: What the folder holds; None if it holds no run.
        max_epochs: The requested `trainer.max_epochs`.
    """
    if kept is None:
        return Decision(Action.START)
    if kept.differences:
        return Decision(
            Action.REFUSE,
            f"holds another experiment: it differs in {'; '.join(kept.differences[:3])}. Choose another name=..., or "
            "pass rerun=true to move the old folder aside.",
        )
    if kept.is_complete and max_epochs <= kept.max_epochs:
        more = f"was trained for up to {kept.max_epochs} epochs, more than the {max_epochs} requested"
        return Decision(Action.SKIP, more if max_epochs < kept.max_epochs else "")
    if (epochs := kept.count_epochs()) > max_epochs:
        return Decision(
            Action.REFUSE,
            f"has {epochs} trained epochs, more than trainer.max_epochs={max_epochs}: raise trainer.max_epochs, or "
            "pass rerun=true.",
        )
    if not kept.is_complete:
        return Decision(Action.RESUME if kept.has_last else Action.START)
    if kept.has_last:
        return Decision(Action.EXTEND, f"extended from {kept.max_epochs} to {max_epochs} epochs")
    return Decision(
        Action.RESTART,
        f"{max_epochs} epochs instead of {kept.max_epochs}, from the start, because last.ckpt was not kept "
        "(keep_last=true keeps it)",
    )


def must_restart(rerun: bool, launch: str | None, kept_launch: str | None) -> bool:
    """Decide whether `rerun=true` trains a run from the start; a job that Slurm or Ray starts again continues.

    Args:
        rerun: The option.
        launch: Name of this launch of the command; None outside of one.
        kept_launch: Name of the launch that has started the run of the folder; None without one.
    """
    return rerun and (launch is None or launch != kept_launch)
