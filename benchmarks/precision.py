"""What bfloat16 does to the scores: bf16-mixed minus 32-true, paired by seed and split.

What an earlier call trained is taken as it is; the table says of which commits.
"""

import json
import math
import os
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student

from benchmarks.processes import SCRATCH, run, say
from benchmarks.report import table

_PRECISIONS = ("32-true", "bf16-mixed")
_SCORES = ("accuracy", "auroc_macro")
# (data, model, overrides)
_RECIPES = (
    ("phantom", "resnet34", ["data=phantom", "data.size=64", "trainer.max_epochs=8"]),
    ("BUSI", "resnet34", ["data.size=64", "trainer.max_epochs=5"]),
)


def measure(quick: bool) -> dict[str, Any]:
    """Train every recipe with every seed in both precisions; what an earlier call finished is taken as it is."""
    seeds = range(1) if quick else range(5)
    recipes = []
    for data, model, overrides in _RECIPES:
        if data == "BUSI" and not os.environ.get("BUSI_ROOT"):
            say(f"{data}, {model}: left out, because BUSI_ROOT is not set")
            continue
        group = f"{data}-{model}".lower()
        for precision in _PRECISIONS:
            run(
                ["python", "train.py", "-m", f"model={model}", *overrides, f"seed={','.join(map(str, seeds))}",
                 f"trainer.precision={precision}", "channels_last=true", f"runs_dir={SCRATCH / 'precision'}",
                 f"group={group}-{precision}", "logger=csv"], timeout=7200,
            )  # fmt: skip
        scores = {
            score: [[_score(f"{group}-{precision}", seed, score) for precision in _PRECISIONS] for seed in seeds]
            for score in _SCORES
        }
        say(f"{data}, {model}: {scores}")
        recipes.append({"data": data, "model": model, "scores": scores})
    statuses = [json.loads(file.read_text()) for file in (SCRATCH / "precision").glob("*/*/status.json")]
    commits = {f"{status['commit'][:7]}{'-dirty' if status['dirty'] else ''}" for status in statuses}
    return {"seeds": list(seeds), "recipes": recipes, "commits": sorted(commits)}


def _score(group: str, seed: int, score: str) -> float:
    """Read a test score of the one run of a group that has this seed."""
    files = [path for path in (SCRATCH / "precision" / group).glob("*/metrics.json") if ".old-" not in path.parent.name]
    file = next(path for path in files if f"seed-{seed}__" in f"{path.parent.name}__")
    return float(json.loads(file.read_text())["test"][score])


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the table `precision`."""
    rows = []
    for recipe in results["recipes"]:
        for score, pairs in recipe["scores"].items():
            differences = [second - first for first, second in pairs]
            each = ", ".join(f"{first:.3f} / {second:.3f}" for first, second in pairs)
            rows.append([f"{recipe['data']}, {recipe['model']}, {score}", interval(differences), each])
    text = table(["test score", "bf16 - fp32, mean [95%]", "fp32 / bf16 of each seed"], rows)
    return {"precision": f"{text}\n\nTrained at {', '.join(results['commits'])}."}


def interval(values: list[float]) -> str:
    """Write a mean with its 95% t interval."""
    if len(values) < 2:
        return f"{values[0]:+.3f}"
    half = float(student.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return f"{mean(values):+.3f} [{mean(values) - half:+.3f}, {mean(values) + half:+.3f}]"
