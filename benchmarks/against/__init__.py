"""What changed since the previous release: the same commands with an earlier build and with this one, by turns."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from os import getloadavg
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.against.builds import code_checksum, find_reference, two_builds
from benchmarks.against.goals import PLANS, Plan, keys_of
from benchmarks.against.rendering import tables as tables
from benchmarks.against.turns import measure_by_turns
from benchmarks.against.unfinished import Unfinished
from benchmarks.processes import PROJECT, SCRATCH, MeasurementError, say
from bus_lightning.core.interruption import interruptible

_GUARD = '__name__ == "__main__"'  # of a script


@dataclass(frozen=True)
class Places:
    """Where the comparison reads and writes.

    Attributes:
        results: Folder of the JSON.
        project: The checkout that is the new build.
        probes: Folder of the probes.
        scratch: Folder of the builds and of what the probes write; git ignores it.
    """

    results: Path = report.RESULTS
    project: Path = PROJECT
    probes: Path = Path(__file__).parent / "rows"
    scratch: Path = SCRATCH / "against"


def list_probes(folder: Path = Places.probes) -> dict[str, Path]:
    """List the probes by name; a module that is no script is none."""
    return {file.stem: file for file in sorted(folder.glob("*.py")) if _GUARD in file.read_text()}


def measure(
    quick: bool, about: dict[str, Any], reference: str | None, chosen: Sequence[str], places: Places
) -> dict[str, Any]:
    """Run the probes with both builds, and save after each.

    The same command goes on where an interrupted one stopped, as long as the code is the same; it tries failed probes
    again.

    Args:
        quick: Whether each build has one turn only.
        about: Provenance of the results.
        reference: Tag, branch or commit to compare with; see `find_reference`.
        chosen: Names of probes; none takes all that are not planned on request.
        places: Where to read and write. Rows that the results have of the same reference stay until they are measured
            again.

    Returns:
        `reference`, the turns of each probe in `probes`, and in `failed` why a probe failed this time.

    Raises:
        MeasurementError: If there is nothing to compare with.
    """
    earlier = find_reference(places.project, reference)
    plans = {name: PLANS.get(name, Plan()) for name in list_probes(places.probes)}
    wanted = chosen or [name for name, plan in plans.items() if not plan.on_request]
    scripts = {name: file for name, file in list_probes(places.probes).items() if name in wanted}
    content = {"reference": asdict(earlier), "probes": _stored(places.results, earlier.commit), "failed": {}}
    task = {"reference": earlier.commit, "code": code_checksum(places.project), "probes": [*scripts], "quick": quick}
    unfinished = Unfinished(places.scratch / "unfinished.json", task)
    waiting = [name for name in scripts if name not in content["probes"] or not unfinished.has(scripts[name])]
    say(f"compared with {earlier.name} ({earlier.commit[:7]}): {', '.join(waiting)}")
    if done := scripts.keys() - waiting:
        say(f"measured already, before the interruption: {', '.join(sorted(done))}")
    with interruptible(), two_builds(places.project, earlier, places.scratch / "builds") as builds:
        for number, name in enumerate(waiting, 1):
            say(f"[{number}/{len(waiting)}] {name}")
            plan = replace(plans[name], **{"rounds": 1} if quick else {})
            try:
                turns = measure_by_turns(scripts[name], keys_of(name), plan, builds, places.scratch / "work")
            except MeasurementError as error:
                say(f"{name} failed, {error}")
                content["failed"][name] = str(error).partition(" after ")[0].partition("\n")[0]
            else:
                when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
                load = round(getloadavg()[0], 1)
                content["probes"][name] = {"turns": turns, "commit": about["commit"], "date": when, "load": load}
            report.save(places.results, "against", about, content)
            if name not in content["failed"]:
                unfinished.add(scripts[name])  # after the result: a stop in between loses nothing
    if not content["failed"]:
        unfinished.forget()
    return content


def _stored(results: Path, commit: str) -> dict[str, Any]:
    """Read the rows that were measured against a commit before."""
    stored = report.load(results, "against")
    if stored and stored["reference"]["commit"] == commit:
        return dict(stored["probes"])
    return {}
