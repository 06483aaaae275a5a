"""Write finished runs on several data sets, with their evaluations, for the tests of the report."""

import json

import numpy as np
import pandas as pd

from bus_lightning.core.randomness import stable_hash
from bus_lightning.data.splits import make_named_split
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.report.across_section import across_section
from bus_lightning.report.sections import Note, TableItem
from bus_lightning.runs.folder import RunDir
from bus_lightning.statistics.conditions import read_group

CLASSES = ("benign", "malignant")


def draw_cases(name, number=60, classes=CLASSES, sure=2.0, names=("prob_benign", "prob_malignant"), split="test",
               prefix=""):  # fmt: skip
    """Draw the answers of a classifier, or of a segmenter if `names` is empty."""
    rng = np.random.default_rng(stable_hash(name))
    labels = [classes[k % len(classes)] for k in range(number)]
    cases = pd.DataFrame({"id": [f"{prefix}{name}-{split}-{k:03d}" for k in range(number)], "split": split})
    cases["label"] = labels
    if names:
        known = [column.removeprefix("prob_") for column in names]
        raw = np.exp(rng.normal(0, 1, (number, len(names))))
        raw *= np.exp(sure * np.eye(len(names))[[known.index(label) for label in labels]])
        return cases.assign(**dict(zip(names, (raw / raw.sum(axis=1, keepdims=True)).T, strict=True)))
    lesion = (cases["label"] != "normal").to_numpy()
    for column, low, high in (("tp", 40 * sure, 60 * sure), ("fp", 0, 40), ("fn", 0, 40), ("tn", 200, 300)):
        cases[column] = rng.integers(low, high, number) * (lesion | (column not in ("tp", "fn")))
    return cases


def describe(name, images=200, **values):
    """Describe a data set as sets.json does."""
    return {
        "data": name, "images": images, "patients": images // 2, "images_without_patient": 0,
        "classes": {"benign": images // 2, "malignant": images - images // 2}, "devices": {"GE Logiq 7": images},
        "median_width": 500.0, "median_height": 400.0, "lesions": images, "median_lesion_share": 0.08,
        "median_lesion_mm": None, "share_tinted": 0.25, "share_marked": 0.5, "near_duplicate_groups": 3,
    } | values  # fmt: skip


def count(images, patients=None):
    return {"images": images, "groups": images, "patients": patients}


def write_sets(folder, sets, test, train=(), seen=0):
    """Write sets.json: `sets` name -> description, `test` name -> counts, `train` names."""
    parts = {"train": {name: count(10) for name in train}, "val": {}, "test": test}
    folder.sets.write_text(json.dumps({"sets": sets, "parts": parts, "seen": seen}))


def evaluate(run, name, cases, when="2026-01-01T00:00:00+00:00", seen=0, described=None, patients=None, per_group=2):
    """Write an evaluation of a run on a data set."""
    folder = RunDir(run.path / "evaluations" / f"test-{name}-{when[:10]}")
    folder.path.mkdir(parents=True)
    ids = cases["id"].tolist()
    groups = {id_: number // per_group for number, id_ in enumerate(ids)}
    make_named_split({"train": [], "val": [], "test": sorted(ids)}, "file", groups).save(folder.split)
    folder.write_cases(cases)
    folder.status_file.write_text(json.dumps({"ended": when}))
    write_sets(folder, {name: described or describe(name)}, {name: count(len(cases), patients)}, seen=seen)
    folder.write_metrics({"test": metrics_of(cases)})
    return folder


def with_validation(cases, name, **options):
    return pd.concat([draw_cases(name, 20, split="val", **options), cases], ignore_index=True)


TWO = "data.classes=[benign,malignant]"


def section_of(run):
    return across_section(read_group(run.path.parent).conditions, None)


def table_of(section, slug):
    (table,) = (item.frame for item in section.items if isinstance(item, TableItem) and item.slug == slug)
    return table.set_index(table.columns[0])


def notes_of(section):
    return " ".join(item.text for item in section.items if isinstance(item, Note))


def score(cases, metric="auroc_macro"):
    return f"{metrics_of(cases)[metric]:.3f} ("
