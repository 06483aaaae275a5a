"""Training, images/s and peak memory: ours against the bare loop and against a plain project.

Each number is the median step of a fresh process; a round runs all contestants, and their order rotates.
"""

import shutil
from dataclasses import asdict
from statistics import median
from typing import Any

from benchmarks.contestants import NAMES, SETTINGS, Resolved, Setting, resolved, timed_command
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
_QUICK = (Setting("resnet34", steps=3, rounds=1), Setting("alexnet", steps=6, rounds=1))


def measure(quick: bool) -> dict[str, Any]:
    """Train every model in rounds."""
    models = {}
    for setting in _QUICK if quick else SETTINGS:
        rounds, chosen = [], Resolved("fp32", "contiguous")
        for number in range(setting.rounds):
            turn = number % len(NAMES)
            found = {}
            for contestant in NAMES[turn:] + NAMES[:turn]:
                found[contestant] = _measure_one(contestant, setting, chosen)
                if number == 0 and contestant == "ours":  # it comes first in the first round
                    chosen = resolved(SCRATCH / "throughput")
            rounds.append(found)
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
    say(f"{setting.model:15s} {contestant:6s} {rate:6.2f} images/s, peak {finished.peak_mb:.0f} MB, "
        f"{finished.seconds:.0f} s in all")  # fmt: skip
    return {"step_seconds": seconds, "images_per_second": rate, "peak_mb": finished.peak_mb, "wall": finished.seconds}


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the tables `throughput` and `memory`."""
    speed, memory = [], []
    for model, found in results["models"].items():
        rates = {name: [one[name]["images_per_second"] for one in found["rounds"]] for name in NAMES}
        peaks = {name: [one[name]["peak_mb"] for one in found["rounds"]] for name in NAMES}
        to_bare, to_plain = (
            [mine / other for mine, other in zip(rates["ours"], rates[name], strict=True)] for name in ("bare", "plain")
        )
        bare_goal, plain_goal = GOALS[model]
        setting, chosen = found["setting"], found["resolved"]
        label = f"{model}, {setting['batch']} x {setting['size']}², {chosen['precision']}, {chosen['layout']}"
        speed.append([label, *(spread(rates[name], 1) for name in NAMES), spread(to_bare), bare_goal,
                      spread(to_plain), plain_goal or "none", len(found["rounds"])])  # fmt: skip
        memory_ratio = median(peaks["ours"]) / median(peaks["bare"])
        memory.append([model, *(f"{median(peaks[name]):.0f}" for name in NAMES), f"{memory_ratio:.2f}", MEMORY_GOAL])
    return {
        "throughput": table(
            ["images/s", *NAMES, "ours / bare", "goal, at least", "ours / plain", "goal, at least", "rounds"], speed
        ),
        "memory": table(["peak resident MB", *NAMES, "ours / bare", "goal, at most"], memory),
    }
