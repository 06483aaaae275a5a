"""Conditions with drawn answers, and what a figure shows, for the tests of the report's figures."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from bus_lightning.statistics.conditions import Condition

CLASSES = ["benign", "malignant", "normal"]


def classified(n=60, replicates=1, seed=0):
    generator = np.random.default_rng(seed)
    tables = []
    for replicate in range(replicates):
        labels = np.arange(n) % 3
        logits = generator.normal(size=(n, 3)).round(1)
        logits[np.arange(n), labels] += 1
        odds = np.exp(logits)
        probabilities = dict(zip([f"prob_{c}" for c in CLASSES], (odds / odds.sum(1, keepdims=True)).T, strict=True))
        table = {"run": f"r{replicate}", "replicate": replicate, "id": [str(i) for i in range(n)], "split": "test",
                 "group": np.arange(n) // 2 * 2 + labels % 2, "label": np.array(CLASSES)[labels]}  # fmt: skip
        tables.append(pd.DataFrame(table | probabilities))
    return pd.concat(tables, ignore_index=True)


def segmented(n=60):
    table = classified(n)[["run", "replicate", "id", "split", "group", "label"]]
    lesion = 90 * (table["label"] != "normal")
    return table.assign(tp=lesion * 2 // 3, fn=lesion // 3, fp=np.arange(n), tn=1000)


def condition(name="resnet34", cases=None, task="classification", runs=()):
    monitor = "val/auroc_macro" if task == "classification" else "val/dice_image"
    config = OmegaConf.create({"task": {"monitor": monitor, "mode": "max"}})
    cases = classified() if cases is None else cases
    return Condition(name, name.partition("__")[0], task, CLASSES, config, list(runs), cases)


def panel(item, title):
    (panel_axes,) = [axes for axes in item.figure.axes if axes.get_title().startswith(title)]
    return panel_axes


def lines(axes, **properties):
    return [
        line for line in axes.lines if all(mpl.artist.getp(line, key) == value for key, value in properties.items())
    ]
