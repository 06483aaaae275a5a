"""Time until a classifier of BUSI reaches a macro AUC of 0.92 on held-out images: ours against the plain project.

Both train EfficientNet-Lite0 from the same ImageNet weights, on the same split by near-duplicate groups. Ours takes its
short recipe, and begins with an empty cache: its audit and its cache of decoded images are within the time. Plain takes
its own: 224 pixels, Adam with a constant learning rate, float32. A training ends when the score is reached. Plain ends
after 20 epochs at the latest, far beyond six times our time; where it has not reached the score by then, our share of
its time is smaller than the table says. What was measured is kept in `benchmarks/scratch/good_model/`, so the same
command continues where it was stopped; the table says of which commits.
"""

import json
import math
import os
import shutil
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import report
from benchmarks.contestants import ours, plain
from benchmarks.processes import SCRATCH, MeasurementError, run, say
from benchmarks.provenance import commit
from bus_lightning.core.files import write_aside

AUC, SHARE_GOAL = 0.92, 1 / 6
SEEDS = (0, 1, 2)
OURS, PLAIN = "ours", "plain"
_MODEL, _FOLDER = "efficientnet_lite0", SCRATCH / "good_model"
# Averaged weights score well long before the last epoch.
_RECIPE = ["data.size=160", "augment=trivial", "optimizer=adamw", "scheduler=warmup_cosine", "callbacks=ema",
           "callbacks.ema.decay=0.9", "logger=none", "trainer.max_epochs=10"]  # fmt: skip
_SPLIT = ["data.split.ratio=[10,4,1]"]  # the validation part is held out; the test part is not used
_PLAIN_EPOCHS = 20


def measure(quick: bool) -> dict[str, Any]:
    """Train with each seed, first ours, whose split plain takes; skip what was measured before."""
    if not os.environ.get("BUSI_ROOT"):
        raise MeasurementError("set BUSI_ROOT: only BUSI has the score that is to be reached")
    measurements: dict[str, dict[str, Any]] = {OURS: {}, PLAIN: {}}
    for seed in SEEDS[:1] if quick else SEEDS:
        for name in measurements:
            kept = _FOLDER / f"{name}-{seed}.json"
            if not kept.is_file():
                code = {"commit": commit()}
                write_aside(kept, json.dumps((_ours(seed) if name == OURS else _plain(seed)) | code))
            measurements[name][str(seed)] = measured = json.loads(kept.read_text())
            reached = f"{measured['seconds']:.0f} s" if measured["seconds"] else "not reached"
            say(f"{name:5s} seed {seed}: {reached}, scores {', '.join(f'{x:.3f}' for x in measured['scores'])}")
    return {"auc": AUC, "contestants": measurements}


def _ours(seed: int) -> dict[str, Any]:
    """Train ours from an empty cache, and keep its split for plain."""
    runs, cache = _FOLDER / f"ours-runs-{seed}", _FOLDER / f"cache-{seed}"
    for folder in (runs, cache):
        shutil.rmtree(folder, ignore_errors=True)
    options = [f"seed={seed}", f"data.split.seed={seed}", f"data.cache={cache}", *_SPLIT, *_RECIPE]
    measured = _timed(ours(_MODEL, runs, *options, *_until("val/auroc_macro", runs)), runs)
    shutil.copy(next(runs.rglob("split.json")), _split_file(seed))
    shutil.rmtree(cache)
    return measured


def _plain(seed: int) -> dict[str, Any]:
    """Train plain on the split of ours."""
    runs = _FOLDER / f"plain-runs-{seed}"
    shutil.rmtree(runs, ignore_errors=True)
    options = [f"seed={seed}", f"split={_split_file(seed)}", f"trainer.max_epochs={_PLAIN_EPOCHS}"]
    return _timed(plain(_MODEL, runs, *options, *_until("val/score", runs)), runs)


def _split_file(seed: int) -> Path:
    return _FOLDER / f"split-{seed}.json"


def _until(metric: str, runs: Path) -> list[str]:
    return ["+callbacks.until._target_=benchmarks.until.Until", f"+callbacks.until.metric={metric}",
            f"+callbacks.until.goal={AUC}", f"+callbacks.until.path={runs}/until.json"]  # fmt: skip


def _timed(command: list[str], runs: Path) -> dict[str, Any]:
    """Run a training and read when it reached the score; seconds are null if it did not."""
    runs.mkdir(parents=True)
    finished = run(command, timeout=24 * 3600)
    moments = json.loads((runs / "until.json").read_text())
    reached = moments["reached"]
    seconds = reached - finished.started if reached else None
    return {"seconds": seconds, "busy": moments["busy"], "scores": moments["scores"], "whole": finished.seconds}


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the table `good_model`."""
    trainings = results["contestants"]
    rows = []
    for name, by_seed in trainings.items():
        each = list(by_seed.values())
        epochs = [len(training["scores"]) if training["seconds"] else None for training in each]
        row = [name, *(_shown([training[key] for training in each]) for key in ("seconds", "busy")), _shown(epochs)]
        row.append(report.spread([max(training["scores"]) for training in each], 3))
        if name == OURS:
            row += [_share_of_plain(each, list(trainings[PLAIN].values())), f"{SHARE_GOAL:.2f}"]
            row.append("yes" if meets_goal(results) else "**no**")
        rows.append(row + [""] * (8 - len(row)))
    headings = [f"until macro AUC {results['auc']}", "seconds", "processor seconds", "epochs", "highest macro AUC",
                "share of plain's time", "goal, at most", "reached"]  # fmt: skip
    commits = {training["commit"] for by_seed in trainings.values() for training in by_seed.values()}
    return {"good_model": f"{report.table(headings, rows)}\n\nTrained at {', '.join(sorted(commits))}."}


def meets_goal(results: dict[str, Any]) -> bool:
    """Say whether the median time of ours is within its share of plain's.

    If ours misses the score, its time is endless; if plain misses it, its time is at least that of its whole training.
    """
    trainings = results["contestants"]
    own = median(training["seconds"] or math.inf for training in trainings[OURS].values())
    other = median(training["seconds"] or training["whole"] for training in trainings[PLAIN].values())
    return own <= SHARE_GOAL * other


def _shown(values: list[float | None]) -> str:
    """Write median and range, and how many trainings did not reach the score."""
    known = [value for value in values if value is not None]
    missed = [f"{len(values) - len(known)} not reached"] if len(known) < len(values) else []
    return "; ".join([*([report.spread(known, 0)] if known else []), *missed])


def _share_of_plain(ours: list[dict[str, Any]], plain: list[dict[str, Any]]) -> str:
    """Write median and range; `under` where plain did not reach the score, so that the shares are upper bounds."""
    pairs = [(own, other) for own, other in zip(ours, plain, strict=True) if own["seconds"]]
    shares = [own["seconds"] / (other["seconds"] or other["whole"]) for own, other in pairs]
    bound = "" if all(other["seconds"] for _, other in pairs) else "under "
    return f"{bound}{report.spread(shares)}" if shares else ""
