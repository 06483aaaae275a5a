"""Save the ready dashboard online, and mark the best run of each group as its champion."""

import math
from collections.abc import Iterable
from typing import Any

import wandb

from bus_lightning.core.errors import UserError

CHAMPION = "champion"


def build(entity: str, project: str, group: str | None = None) -> tuple[str, list[str]]:
    """Save the dashboard's view of a group of runs, or of all, and mark the champion of each group.

    Returns:
        Address of the view, and a line per champion.

    Raises:
        UserError: If wandb-workspaces is not installed, nobody is logged in, or W&B refuses.
    """
    if not entity:
        raise UserError("Give the owner of the W&B project, a user or a team: ENTITY=...")
    try:
        from bus_lightning.tracking.workspace import workspace
    except ModuleNotFoundError as error:
        raise UserError(f"The ready dashboard needs {error.name}: pip install 'bus_lightning[dashboard]'") from error
    if not wandb.login(prompt=False, verify=False):
        raise UserError("Nobody is logged in to W&B: run `wandb login`, or set WANDB_API_KEY, then build again.")
    try:
        view: Any = workspace(entity, project, group)
        view.save()
        api = wandb.Api()
        runs = list(api.runs(f"{entity}/{project}", filters={"group": group} if group else None))
        return str(view.url), mark_champions(api, runs)
    except (wandb.errors.Error, ValueError) as error:  # ValueError: no such project
        raise UserError(f"W&B refused {entity}/{project}: {' '.join(str(error).split())}") from error


def find_champions(runs: Iterable[Any]) -> list[Any]:
    """Choose the finished run with the best validation score in each group and task, the first of equals."""
    best: dict[tuple[str, str], tuple[float, Any]] = {}
    for run in runs:
        score, task = run.summary.get("score"), run.config.get("task") or {}
        if run.state != "finished" or not isinstance(score, int | float) or not math.isfinite(score):
            continue
        rank = score if task.get("mode") == "max" else -score
        key = (str(run.group), str(task.get("name")))
        if key not in best or rank > best[key][0]:
            best[key] = (rank, run)
    return [run for _, run in best.values()]


def mark_champions(api: Any, runs: list[Any]) -> list[str]:
    """Give the champions' checkpoints the alias `champion`, remove it from all others, and return a line for each."""
    champions = find_champions(runs)
    for run in runs:
        try:
            artifact = api.artifact("/".join([*run.path[:2], f"model-{run.id}:best"]))
        except (wandb.errors.CommError, ValueError):  # the run has no checkpoint
            continue
        if (run in champions) != (CHAMPION in artifact.aliases):
            others = [alias for alias in artifact.aliases if alias != CHAMPION]
            artifact.aliases = others + [CHAMPION] * (run in champions)
            artifact.save()
    return [f"{run.group}: {run.name}, validation score {run.summary['score']:.4f}" for run in champions]
