"""Write finished runs whose images are described, for the tests of the sections that a reviewer asks for."""

import json

import numpy as np
import pandas as pd

from bus_lightning.runs.images import write_images

CLASSES = ("benign", "malignant", "normal")


def describe_images(ids, seed=0, **columns):
    """Describe images as `tabulate_images` does; their class is the beginning of their id."""
    rng = np.random.default_rng(seed)
    classes = [id_.partition("/")[0] for id_ in ids]
    number = len(ids)
    values = {
        "id": list(ids), "dataset": "busi", "class": classes, "patient": pd.array(range(number), "Int64"),
        "duplicates": range(number), "width": 500, "height": 400,
        "lesion_share": np.where(np.array(classes) == "normal", 0.0, rng.uniform(0.01, 0.3, number).round(4)),
        "lesion_mm": np.nan, "marked": pd.array([k % 2 for k in range(number)], "Int64"), "tinted": 0,
        "device": ["A" if k % 3 else "B" for k in range(number)], "birads": "unknown",
    }  # fmt: skip
    return pd.DataFrame(values | columns)


FLOW = {
    "files": 210, "not_read": 5, "masks": 100, "masks_without_image": 0, "rows_without_file": 0, "images": 105,
    "left_out": {"excluded": 3, "conflict": 2}, "copied": 0, "used": 100,
}  # fmt: skip


def record(run, images, flow=FLOW, name="busi"):
    """Add to a finished run what it records of its images."""
    write_images(run, images)
    described = {name: {"data": name, "images": len(images)}}
    content = {"sets": described, "parts": {}, "seen": 0, "flow": {name: flow} if flow else {}}
    run.sets.write_text(json.dumps(content))
    return run


def draw_predictions(ids, seed=0, sure=2.0, part="test", of=CLASSES):
    """Draw the answers of a classifier; the class is the beginning of the id."""
    rng = np.random.default_rng(seed)
    labels = [id_.partition("/")[0] for id_ in ids]
    raw = np.exp(rng.normal(0, 1, (len(ids), len(of))) + sure * np.eye(len(of))[[of.index(name) for name in labels]])
    cases = pd.DataFrame({"id": list(ids), "split": part, "label": labels})
    return cases.assign(**{f"prob_{name}": (raw / raw.sum(axis=1, keepdims=True))[:, k] for k, name in enumerate(of)})


def name_images(number, first=0):
    """Name images of three classes in turn."""
    return [f"{CLASSES[k % 3]}/{CLASSES[k % 3]} ({first + k})" for k in range(number)]
