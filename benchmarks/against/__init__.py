"""What changed since the previous release: the same commands with an earlier build and with this one, by turns."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from os import getloadavg
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.against.builds import code_checksum, find_reference, two_builds
from benchmarks.against.goals import PLANS, Plan, keys_of
from benchmarks.against.tables import tables as tables
from benchmarks.against.turns import measure_by_turns
from benchmarks.processes import PROJECT, SCRATCH, MeasurementError, say
from bus_lightning.core.files import write_aside
from bus_lightning.core.interruption import interruptible

PROBES = Path(__file__).parent / "rows"
_FOLDER = SCRATCH / "against"


def probes() -> dict[str, Path]:
    """List the probes by name."""
    return {file.stem: file for file in sorted(PROBES.glob("*.py")) if not file.stem.startswith("_")}


def measure(
    quick: bool, about: dict[str, Any], results: Path, reference: str | None = None, chosen: Sequence[str] = ()
) -> dict[str, Any]:
    """Run the probes with both builds, and save after each.

    The same command goes on where an interrupted one stopped, as long as the code is the same; it tries failed probes
    again.

    Args:
        quick: Whether each build has one turn only.
        about: Provenance of the results.
        results: Folder of the JSON; rows that it has of the same reference stay until they are measured again.
        reference: Tag, branch or commit to compare with; see `find_reference`.
        chosen: Names of probes; none takes all.

    Raises:
        MeasurementError: If there is nothing to compare with.
    """
    earlier = find_reference(PROJECT, reference)
    say(f"compared with {earlier.name} ({earlier.commit[:7]})")
    content: dict[str, Any] = {"reference": asdict(earlier), "probes": {}, "failed": {}}
    stored = report.load(results, "against")
    if stored and stored["reference"]["commit"] == earlier.commit:
        content = stored | {"reference": asdict(earlier), "failed": {}}
    scripts = {name: file for name, file in probes().items() if not chosen or name in chosen}
    task = {"reference": earlier.commit, "code": code_checksum(PROJECT), "probes": sorted(scripts), "quick": quick}
    done = {
        name: seal for name, seal in _unfinished(task).items() if scripts.get(name) and seal == _seal(scripts[name])
    }
    done = {name: seal for name, seal in done.items() if name in content["probes"]}
    if done:
        say(f"going on; measured already: {', '.join(done)}")
    with interruptible(), two_builds(PROJECT, earlier, _FOLDER / "builds") as builds:
        for number, (name, script) in enumerate(scripts.items(), 1):
            if name in done:
                continue
            say(f"[{number}/{len(scripts)}] {name}")
            plan = PLANS.get(name, Plan())
            try:
                turns = measure_by_turns(script, keys_of(name), replace(plan, rounds=1) if quick else plan, builds, _FOLDER / "work",
                                         lambda line: say(f"  {line}"))  # fmt: skip
            except MeasurementError as error:
                say(f"{name} failed, {error}")
                content["failed"][name] = str(error).partition(" after ")[0].partition("\n")[0]
                continue
            when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
            content["probes"][name] = turns | {
                "commit": about["commit"],
                "date": when,
                "load": round(getloadavg()[0], 1),
            }
            report.save(results, "against", about, content)
            done[name] = _seal(script)
            _note_unfinished(task, done)
    if not content["failed"]:
        _note().unlink(missing_ok=True)
    return content


def _seal(script: Path) -> str:
    return hashlib.sha256(script.read_bytes()).hexdigest()


def _note() -> Path:
    return _FOLDER / "unfinished.json"


def _unfinished(task: dict[str, Any]) -> dict[str, str]:
    """Read which probes an interrupted command of the same task has measured, with the checksums of their scripts."""
    with suppress(OSError, ValueError, KeyError):
        noted = json.loads(_note().read_text())
        return dict(noted["done"]) if noted["task"] == task else {}
    return {}


def _note_unfinished(task: dict[str, Any], done: dict[str, str]) -> None:
    write_aside(_note(), json.dumps({"task": task, "done": done}))
