"""The tables of the chaos test."""

import signal
from collections import Counter
from typing import Any

from benchmarks.report import table


def is_well(results: dict[str, Any]) -> bool:
    """Check that no grid has any trouble."""
    return not any(troubles(grid) for grid in results["grids"])


def troubles(grid: dict[str, Any]) -> dict[str, Any]:
    """List what must not happen to a grid and did: kind of trouble -> jobs, files, processes or errors."""
    listed = {key: grid[key] for key in ("lost", "differ", "half_written", "rerun_touched", "errors", "left")}
    listed |= {"strayed W&B records": grid["wandb"]["strayed"], "did not stop": _deaf(grid["kills"])}
    return {key: trouble for key, trouble in listed.items() if trouble}


def _deaf(kills: list[dict[str, Any]]) -> list[str]:
    """List the signals after which a process had to be ended by SIGKILL."""
    return [kill["sent"] for kill in kills if kill["sent"] != "SIGKILL" and kill["code"] == -signal.SIGKILL]


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the tables `chaos`, `chaos_kills` and `chaos_cost`."""
    return {"chaos": _outcome(results), "chaos_kills": _kills(results), "chaos_cost": _cost(results["grids"])}


def _outcome(results: dict[str, Any]) -> str:
    """Say what became of the jobs."""
    grids, kills = results["grids"], _all_kills(results)
    marks = [kill["marked"] for kill in kills if kill["marked"] is not None]
    rows: list[tuple[str, object]] = [
        ("kills", len(kills)),
        *((f"... of them {sent}", number) for sent, number in Counter(kill["sent"] for kill in kills).items()),
        ("grids that were killed until complete", len(grids)),
        *((f"... of them {kind}, with {sum(len(grid['kills']) for grid in members)} kills", len(members))
          for kind, members in _by_kind(grids).items()),
        ("jobs in them", len(grids) * results["jobs"]),
        ("**jobs lost**", sum(len(grid["lost"]) for grid in grids)),
        ("**jobs whose results differ from the undisturbed grid's**", sum(len(grid["differ"]) for grid in grids)),
        ("half-written files left", sum(len(grid["half_written"]) for grid in grids)),
        ("files that the rerun of a complete grid touched", sum(len(grid["rerun_touched"]) for grid in grids)),
        ("launches that ended by themselves with an error", sum(grid["errors"] for grid in grids)),
        ("processes that were left by a launch", sum(len(grid["left"]) for grid in grids)),
        ("processes that did not end when they were asked to", sum(len(_deaf(grid["kills"])) for grid in grids)),
        (f"W&B records kept offline, of {sum(grid['wandb']['jobs'] for grid in grids)} jobs",
         sum(grid["wandb"]["recordings"] for grid in grids)),
        ("... jobs that have none, or one under another id", sum(len(grid["wandb"]["strayed"]) for grid in grids)),
        ("jobs marked interrupted, of those that were asked to stop", f"{sum(marks)} of {len(marks)}"),
    ]  # fmt: skip
    return table(["", "number"], rows)


def _by_kind(grids: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Group grids by their kind, in the order of the first of each."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for grid in grids:
        kinds.setdefault(grid["kind"], []).append(grid)
    return kinds


def _kills(results: dict[str, Any]) -> str:
    """Say what the grids were doing when they were killed."""
    counts = Counter(kill["doing"] for kill in _all_kills(results))
    return table(["what the grid was doing", "kills"], counts.most_common())


def _cost(grids: list[dict[str, Any]]) -> str:
    """Say what the kills cost in time, by subtraction of the undisturbed grids."""
    number = sum(len(grid["kills"]) for grid in grids)
    peace = sum(grid["undisturbed"]["seconds"] for grid in grids)
    whole = sum(launch["seconds"] for grid in grids for launch in grid["launches"])
    start_ups = sum(launch["start_up"] for grid in grids for launch in grid["launches"])
    start_ups -= sum(grid["undisturbed"]["start_up"] for grid in grids)
    repeated = sum(grid["disturbed"]["repeated"] for grid in grids)
    steps = sum(grid["disturbed"]["repeated"] * grid["undisturbed"]["seconds_per_step"] for grid in grids)
    trained = sum(grid["undisturbed"]["trained"] for grid in grids)
    rows = [
        ("undisturbed", peace),
        ("with kills, all launches together", whole),
        ("**what the kills cost**", whole - peace),
        ("... starting up again, up to the first step", start_ups),
        (f"... training steps done again: {repeated}, in addition to {trained}", steps),
        ("... validating, testing, loading, and chance", whole - peace - start_ups - steps),
    ]
    cells = [[name, f"{seconds:.0f}", f"{seconds / number:.1f}" if index > 1 else ""]
             for index, (name, seconds) in enumerate(rows)]  # fmt: skip
    return table(["wall time", "s", "s per kill"], cells)


def _all_kills(results: dict[str, Any]) -> list[dict[str, Any]]:
    return [kill for grid in results["grids"] for kill in grid["kills"]]
