"""Run the parts within the time: each has a share, and what does not fit is named."""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.gpu.parts import (
    Settings,
    reason,
    resume_run,
    run_bare_loops,
    run_tests,
    train_from_host,
    train_on_device,
)
from benchmarks.processes import MeasurementError, say

# Name -> what it does, and its share of the time. What a part leaves over, the next ones may use.
PARTS: dict[str, tuple[Callable[[Settings, float, dict[str, Any]], dict[str, Any]], float]] = {
    "device": (train_on_device, 0.28),
    "bare": (run_bare_loops, 0.14),
    "host": (train_from_host, 0.24),
    "resumed": (resume_run, 0.15),
    "tests": (run_tests, 0.19),
}
_LEAST = 5.0  # seconds below which no part is begun


def check(settings: Settings, save: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run all parts.

    Args:
        settings: What is measured, and for how long.
        save: Gets the results after each part.

    Returns:
        `parts`, what each has measured; `missing`, why a part has measured nothing; `seconds` of each.
    """
    results: dict[str, Any] = {"device": settings.device, "parts": {}, "missing": {}, "seconds": {}}
    deadline = time.monotonic() + settings.seconds
    names = list(PARTS)
    for place, name in enumerate(names):
        later = settings.seconds * sum(PARTS[other][1] for other in names[place + 1 :])
        begin = time.monotonic()
        limit = deadline - later - begin
        say(f"[{place + 1}/{len(names)}] {name}: at most {max(0, limit):.0f} s")
        if limit < _LEAST:
            results["missing"][name] = "the time was used up"
        else:
            try:
                results["parts"][name] = PARTS[name][0](settings, limit, results["parts"])
            except MeasurementError as error:
                say(str(error))
                results["missing"][name] = reason(error, time.monotonic() - begin, limit)
        results["seconds"][name] = round(time.monotonic() - begin, 1)
        save(results)
    return results


def is_well(results: dict[str, Any]) -> bool:
    """Return whether everything was measured, the tests passed, and the resumed run is the undisturbed one.

    On a GPU some test must have passed: if all were skipped, nothing was tested.
    """
    parts = results["parts"]
    tests, same = parts.get("tests", {}), parts.get("resumed", {}).get("same", {})
    stopped = any(part.get("stopped") for part in parts.values())
    is_tested = tests.get("passed") or results.get("device") == "cpu"
    return bool(is_tested and not (results["missing"] or stopped or tests.get("failed"))) and all(same.values())
