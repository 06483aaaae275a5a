"""What W&B recorded offline of the jobs of a grid."""

from typing import Any

from benchmarks.chaos.grids import Grid


def recordings(grid: Grid) -> dict[str, Any]:
    """Count the recordings of each job and compare their ids with the one that the job keeps.

    Returns:
        `jobs` that have recordings, the number of `recordings`, and `strayed`: the jobs that have none, or one under
        another id. Nothing is recorded, and nothing strays, in a grid without W&B.
    """
    if "logger=wandb" not in grid.options:
        return {"jobs": 0, "recordings": 0, "strayed": []}
    recordings, strayed = 0, []
    for name, run in grid.runs.items():
        kept = run.path / "wandb_id.txt"
        ids = [part.name.rpartition("-")[2] for part in run.path.glob("wandb/offline-run-*")]
        recordings += len(ids)
        if not kept.is_file() or set(ids) != {kept.read_text().strip()}:
            strayed.append(name)
    return {"jobs": len(grid.runs), "recordings": recordings, "strayed": strayed}
