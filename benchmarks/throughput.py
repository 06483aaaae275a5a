"""Training, images/s and peak memory: ours against the bare loop and against a plain project.

Each number is the median step of a fresh process; a round runs all contestants, and their order rotates.
"""

import shutil
from dataclasses import asdict
from statistics import median
from typing import Any

from benchmarks.contestants import KEPT, SETTINGS, Resolved, Setting, resolved, timed_command
from benchmarks.processes import SCRATCH, run, say
from benchmarks.report import spread, table
from benchmarks.stamps import SKIPPED, step_seconds

# On a CPU with AVX512-BF16; (ours / bare, ours / plain).
GOALS: dict[str, tuple[float, float | None]] = {
    "resnet34": (0.95, 2.1),
    "resnet50": (0.95, 2.3),
    "alexnet": (0.90, 1.7),
    "deepcardinal50": (0.95, 2.2),
    "u2net_lite": (0.95, None),
}
MEMORY_GOAL = 1.3
_COLUMNS = ("ours", "bare", KEPT, "plain")
_QUICK = (Setting("resnet34", steps=2, rounds=1), Setting("alexnet", steps=4, rounds=1))


def measure(quick: bool) -> dict[str, Any]:
    """Train every model in rounds."""
    models = {}
    for setting in _QUICK if quick else SETTINGS:
        rounds, chosen = [], Resolved("fp32", "contiguous")
        for number in range(setting.rounds):
            names = setting.contestants
            turn = number % len(names)
            measured = {}
            for contestant in names[turn:] + names[:turn]:
                measured[contestant] = _measure_one(contestant, setting, chosen)
                if number == 0 and contestant == "ours":  # it comes first in the first round
                    chosen = resolved(SCRATCH / "throughput")
            rounds.append(measured)
        models[setting.model] = {"setting": asdict(setting), "resolved": asdict(chosen), "rounds": rounds}
    shutil.rmtree(SCRATCH / "throughput")
    return {"models": models}


def _measure_one(contestant: str, setting: Setting, chosen: Resolved) -> dict[str, Any]:
    """Train one process of a contestant."""
    folder = SCRATCH / "throughput"
    shutil.rmtree(folder, ignore_errors=True)
    # One start more than differences.
    finished = run(timed_command(contestant, setting, SKIPPED + setting.steps + 1, folder, chosen))
    seconds = step_seconds(folder / "clock.json")
    rate = setting.batch / median(seconds)
    say(f"{setting.model:15s} {contestant:17s} {rate:6.2f} images/s, peak {finished.peak_mb:.0f} MB, "
        f"{finished.seconds:.0f} s in all")  # fmt: skip
    return {"step_seconds": seconds, "images_per_second": rate, "peak_mb": finished.peak_mb, "wall": finished.seconds}


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the tables `throughput` and `memory`."""
    speed, memory = [], []
    for model, measured in results["models"].items():
        rates, peaks = (_by_contestant(measured["rounds"], key) for key in ("images_per_second", "peak_mb"))
        bare, kept, plain = (_ratio(rates, name) for name in ("bare", KEPT, "plain"))
        setting, chosen, (bare_goal, plain_goal) = measured["setting"], measured["resolved"], GOALS[model]
        label = f"{model}, {setting['batch']} x {setting['size']}², {chosen['precision']}, {chosen['layout']}"
        shown = [spread(rates[name], 1) if name in rates else "" for name in _COLUMNS]
        speed.append([label, *shown, bare, bare_goal, kept, plain, plain_goal or ""])
        shown = [f"{median(peaks[name]):.0f}" if name in peaks else "" for name in _COLUMNS]
        memory.append([model, *shown, f"{median(peaks['ours']) / median(peaks['bare']):.2f}", MEMORY_GOAL])
    ratios = ["ours / bare", "goal, at least", f"ours / {KEPT}", "ours / plain", "goal, at least"]
    return {
        "throughput": table(["images/s", *_COLUMNS, *ratios], speed),
        "memory": table(["peak resident MB", *_COLUMNS, "ours / bare", "goal, at most"], memory),
    }


def _by_contestant(rounds: list[dict[str, Any]], key: str) -> dict[str, list[float]]:
    """Turn rounds of contestants into each contestant's values."""
    return {name: [round_[name][key] for round_ in rounds] for name in rounds[0]}


def _ratio(rates: dict[str, list[float]], name: str) -> str:
    """Compare ours with a contestant round by round; empty where it took no part."""
    return (
        spread([ours / other for ours, other in zip(rates["ours"], rates[name], strict=True)]) if name in rates else ""
    )
