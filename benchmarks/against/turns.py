"""Run a probe with both builds by turns."""

import json
import math
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from benchmarks.against.goals import Plan
from benchmarks.processes import MeasurementError, run, say

Turn = dict[str, float]  # the numbers of one run of a probe


def measure_by_turns(
    script: Path, keys: Collection[str], plan: Plan, builds: Mapping[str, Path], work: Path
) -> dict[str, list[Turn]]:
    """Run a probe with both builds, as often as planned; the build that comes first alternates.

    Args:
        script: The probe.
        keys: The numbers that it has to print, each above 0.
        plan: How often, how long, and whether its folder stays.
        builds: Tops of the builds.
        work: Folder in which the probe may write; removed at the end.

    Returns:
        The turns of each build; those of the same round have the same place.

    Raises:
        MeasurementError: If the probe fails with a build, or does not print its numbers; begins with the build's name.
    """
    turns: dict[str, list[Turn]] = {name: [] for name in builds}
    try:
        for number in range(plan.rounds):
            for name in list(builds) if number % 2 == 0 else list(reversed(builds)):
                if not plan.keeps_work:
                    shutil.rmtree(work, ignore_errors=True)
                (work / name).mkdir(parents=True, exist_ok=True)
                turn = _run_probe(script, keys, builds[name], work / name, plan.limit_s, name)
                turns[name].append(turn)
                numbers = ", ".join(f"{key} {turn[key]:.2f}" for key in sorted(keys))
                say(f"  round {number + 1} of {plan.rounds}, {name}: {numbers}")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return turns


def _run_probe(script: Path, keys: Collection[str], build: Path, work: Path, limit: float, name: str) -> Turn:
    """Run a probe once, and read the numbers in its last line."""
    try:
        output = run(["python", script, "--work", work], timeout=limit, folder=build, PYTHONPATH=str(build)).output
    except MeasurementError as error:
        raise MeasurementError(f"{name} build: {error}") from None
    try:
        numbers = {
            key: float(number)
            for key, number in json.loads(output.splitlines()[-1]).items()
            if isinstance(number, int | float)
        }
    except (ValueError, AttributeError, IndexError):
        numbers = {}
    if not all(numbers.get(key, 0) > 0 and math.isfinite(numbers[key]) for key in keys):
        raise MeasurementError(f"{name} build: the last line is no JSON object with {', '.join(sorted(keys))} above 0")
    return numbers
