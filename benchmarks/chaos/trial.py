"""One trial: an undisturbed grid, the same grid killed until it is complete, and what differs."""

import time
from collections.abc import Callable
from dataclasses import asdict
from random import Random
from typing import Any

from benchmarks.chaos import results
from benchmarks.chaos.grids import Grid
from benchmarks.chaos.kills import Kill, Pace, deal, draw
from benchmarks.chaos.leftovers import MARK, processes_left
from benchmarks.chaos.recordings import recordings
from benchmarks.processes import MeasurementError, kill, run, start

_TRIES = 3  # launches that end by themselves with an error, before a grid is given up
_LIMIT_S = 1800.0  # for a launch


def trial(undisturbed: Grid, disturbed: Grid, rng: Random, kills: int, dealt: Callable[[Kill], None]) -> dict[str, Any]:
    """Run a grid undisturbed, then with kills, and compare.

    Args:
        undisturbed: The grid that is not disturbed.
        disturbed: The one to kill.
        rng: Draws moments and signals.
        kills: How many to deal at most; fewer when the grid is complete before.
        dealt: Called after each kill.

    Returns:
        What happened and what came of it, in values that JSON knows; the text of `errors` names paths of this machine.

    Raises:
        MeasurementError: When the undisturbed grid fails.
    """
    undisturbed.folder.mkdir(parents=True)
    peace = run(undisturbed.command, threads=1, timeout=_LIMIT_S)
    first = undisturbed.events()[0].time - peace.started
    pace = Pace(first, (peace.seconds - first) / len(undisturbed.runs))
    outcome = _disturb(disturbed, rng, pace, kills, dealt)
    before = results.stamps(disturbed)
    try:
        run(disturbed.command, threads=1, timeout=_LIMIT_S)
    except MeasurementError as error:
        outcome["errors"].append(str(error))
    changed = {file for file, stamp in results.stamps(disturbed).items() if before.get(file) != stamp}
    return outcome | {
        "undisturbed": {"seconds": peace.seconds, "start_up": first, **results.steps(undisturbed)},
        "disturbed": results.steps(disturbed),
        "lost": results.lost(disturbed),
        "differ": results.differences(undisturbed, disturbed),
        "half_written": [name for _, name in disturbed.half_written()],
        "rerun_touched": sorted(file.name for file in changed),
        "wandb": recordings(disturbed),
    }


def _disturb(grid: Grid, rng: Random, pace: Pace, wanted: int, dealt: Callable[[Kill], None]) -> dict[str, Any]:
    """Launch a grid again and again, and kill it, until it comes to its end."""
    grid.folder.mkdir(parents=True)
    kills, launches, errors = list[dict[str, Any]](), list[dict[str, float]](), list[str]()
    left = list[str]()
    while len(errors) < _TRIES:
        plan = draw(rng, pace, len(kills)) if len(kills) < wanted else None
        log = grid.folder / f"launch-{len(launches):03d}.log"
        with log.open("w") as stream:
            started = time.time()
            process = start(grid.command, stream, threads=1, **{MARK: str(log)})
            try:
                met = deal(process, plan, grid, started) if plan else None
                code, seconds = process.wait(_LIMIT_S), time.time() - started
                left += processes_left(str(log))
            finally:
                kill(process)
        seen = grid.events(started)
        launches.append({"seconds": seconds, "start_up": seen[0].time - started if seen else seconds})
        if met:
            kills.append(asdict(met))
            dealt(met)
        elif code:
            errors.append(f"{log}: exit code {code}\n" + "\n".join(log.read_text().splitlines()[-15:]))
        else:
            break
    return {"kills": kills, "launches": launches, "errors": errors, "left": left}
