"""Build the ready dashboard online, and mark the best run of each group as its champion."""

import math
from collections.abc import Iterable
from typing import Any

import wandb

from bus_lightning.core.errors import UserError

CHAMPION = "champion"


def build(entity: str, project: str, group: str | None = None) -> tuple[str, list[str]]:
    """Save the dashboard's view on W&B, and mark each group's champion.

    Args:
        entity: User or team.
        project: W&B project.
        group: Only this group of runs; None takes all.

    Returns:
        Address of the view, and a line per champion.

    Raises:
        UserError: Without the package for it, without a login, or when W&B refuses.
    """
    if not entity:
        raise UserError("Say whose project it is: ENTITY=..., a user or a team.")
    try:
        from bus_lightning.tracking.workspace import workspace
    except ModuleNotFoundError as error:
        raise UserError(f"The ready dashboard needs {error.name}: pip install -e '.[dashboard]'") from error
    if not wandb.login(prompt=False, verify=False):
        raise UserError("Nobody is logged in to W&B: run `wandb login`, or set WANDB_API_KEY, then build again.")
    try:
        view: Any = workspace(entity, project, group)
        view.save()
        api = wandb.Api()
        runs = list(api.runs(f"{entity}/{project}", filters={"group": group} if group else None))
        return str(view.url), crown(api, runs)
    except (wandb.errors.Error, ValueError) as error:  # ValueError: no such project
        raise UserError(f"W&B refused {entity}/{project}: {' '.join(str(error).split())}") from error


def champions(runs: Iterable[Any]) -> list[Any]:
    """Choose the finished run with the best validation score in each group and task.

    Args:
        runs: Of W&B's API.

    Returns:
        The runs, the first of equals; groups without a validation score have none.
    """
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


def crown(api: Any, runs: list[Any]) -> list[str]:
    """Give the champions' checkpoints the alias `champion`, and take it from all others.

    Args:
        api: `wandb.Api()`.
        runs: Runs of one project.

    Returns:
        A line per champion.
    """
    chosen = champions(runs)
    for run in runs:
        try:
            artifact = api.artifact("/".join([*run.path[:2], f"model-{run.id}:best"]))
        except (wandb.errors.CommError, ValueError):  # it has kept no checkpoint
            continue
        if (run in chosen) != (CHAMPION in artifact.aliases):
            artifact.aliases = [name for name in artifact.aliases if name != CHAMPION] + [CHAMPION] * (run in chosen)
            artifact.save()
    return [f"{run.group}: {run.name}, validation score {run.summary['score']:.4f}" for run in chosen]
