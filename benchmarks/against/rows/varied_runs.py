"""Make a group of many finished runs from the kept runs of the tests, with other numbers in each."""

import json
import shutil
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd

import bus_lightning
from bus_lightning.data.splits import Split, make_named_split
from bus_lightning.metrics.per_case import metrics_of

_KEPT = Path(bus_lightning.__file__).parents[1] / "tests" / "kept" / "runs"
_KINDS = ("classification/finished", "two_stage/segmenter-null", "joint/finished")
_FILES = ("config.yaml", "status.json", "history.csv")
_CONDITIONS = 20  # as many in a larger group, with more seeds each
_IMAGES = {"train": 572, "val": 52, "test": 156}  # as of BUSI
_CLASSES = ("benign", "malignant", "normal")
_PIXELS = 4096


def make_runs(folder: Path, number: int) -> Path:
    """Write so many runs of 20 conditions into a folder, unless it is there: classifiers, segmenters and both.

    Args:
        folder: The group.
        number: Number of runs; a multiple of 20.
    """
    if not folder.is_dir():
        fresh = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(fresh, ignore_errors=True)
        split, labels = _make_split()
        for run in range(number):
            _make_run(fresh, run % _CONDITIONS, run // _CONDITIONS, split, labels)
        fresh.rename(folder)
    return folder


def _make_split() -> tuple[Split, dict[str, str]]:
    """Divide invented ids into parts; one image in four shares its group with the one before it."""
    labels: dict[str, str] = {}
    parts: dict[str, list[str]] = {}
    for part, size in _IMAGES.items():
        own = [(_CLASSES[place % 3], f"{part}-{place}") for place in range(size)]
        parts[part] = sorted(f"{name}/{name} ({number})" for name, number in own)
        labels |= {id_: id_.partition("/")[0] for id_ in parts[part]}
    ids = [id_ for own in parts.values() for id_ in own]
    groups, group = {}, -1
    for place, id_ in enumerate(ids):
        starts = place % 4 != 3 or id_ in (parts["val"][0], parts["test"][0])
        group += starts
        groups[id_] = group
    return make_named_split(parts, "grouped", groups, (11, 1, 3)), labels


def _make_run(group: Path, condition: int, seed: int, split: Split, labels: dict[str, str]) -> None:
    original = _KEPT / _KINDS[condition % len(_KINDS)]
    target = group / f"{original.parent.name}__optimizer.lr-{condition + 1}e-5__seed-{seed}"
    target.mkdir(parents=True)
    for name in _FILES:
        shutil.copy(original / name, target)
    split.save(target / "split.json")
    if network := _count_network(original):
        (target / "network.json").write_text(network)
    lines = (target / "config.yaml").read_text().splitlines()
    changed = {"seed: 0": f"seed: {seed}", "  lr: 0.0001": f"  lr: {(condition + 1) * 1e-5:.5f}"}
    (target / "config.yaml").write_text("\n".join(changed.get(line, line) for line in lines) + "\n")
    rng = np.random.default_rng([condition, seed])
    ids = [*split.val, *split.test]
    table = pd.DataFrame({"id": ids, "split": ["val"] * len(split.val) + ["test"] * len(split.test)})
    table["label"] = [labels[id_] for id_ in ids]
    columns = (original / "cases.csv").read_text().split("\n", 1)[0].split(",")
    if "prob_benign" in columns:
        logits = rng.normal(size=(len(ids), 3)) + (1 + condition % 5 / 5) * (
            table["label"].to_numpy()[:, None] == np.array(_CLASSES)
        )
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        table[[f"prob_{name}" for name in _CLASSES]] = shares
    if "tp" in columns:
        has_lesion = (table["label"] != "normal").to_numpy()
        lesion = np.where(has_lesion, rng.integers(50, 800, len(ids)), 0)
        overlap = rng.binomial(lesion, rng.uniform(0.2, 0.95, len(ids)))
        alarms = rng.integers(0, 400, len(ids)) * (rng.random(len(ids)) < 0.8)
        table["tp"], table["fp"], table["fn"] = overlap, alarms, lesion - overlap
        table["tn"] = _PIXELS - lesion - alarms
        table["hd95"] = np.where(has_lesion, rng.uniform(1, 60, len(ids)), np.nan)
        table["surface_dice"] = np.where(has_lesion, rng.uniform(0, 1, len(ids)), np.nan)
    table.to_csv(target / "cases.csv", index=False)
    grouped = table.assign(group=table["id"].map(split.groups))
    scores = {part: metrics_of(own) for part, own in grouped.groupby("split")}
    (target / "metrics.json").write_text(json.dumps(scores, indent=1))


@cache
def _count_network(original: Path) -> str:
    """Return what the runs of this build write about their network; empty for a build whose runs write nothing."""
    with suppress(ImportError, AttributeError):
        count = import_module("bus_lightning.report.costs").count_network
        run = import_module("bus_lightning.runs.finished").open_run(original)
        return json.dumps(count(run.config, run.origin), indent=1)
    return ""
