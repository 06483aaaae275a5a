"""Conditions whose answers are given, for the tests of comparisons."""

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from bus_lightning.statistics.conditions import Condition

CLASSES = ["benign", "malignant", "normal"]


def condition(name, *replicates, labels=None, groups=None, ids=None, task="classification"):
    """A condition of replicates, each whether an image is answered right (certainly), or a table of columns."""
    tables = []
    for number, answers in enumerate(replicates):
        size = len(answers)
        truth = np.array(labels if labels is not None else ["benign"] * size)
        if isinstance(answers, pd.DataFrame):
            columns = dict(answers)
        else:
            wrong = np.roll(np.eye(3), 1, axis=1)
            places = [CLASSES.index(label) for label in truth]
            answered = np.where(np.array(answers, bool)[:, None], np.eye(3)[places], wrong[places])
            columns = {f"prob_{label}": answered[:, k] for k, label in enumerate(CLASSES)}
        head = {
            "run": f"{name}__seed-{number}",
            "replicate": number,
            "id": ids[number] if ids else [f"{i:03}" for i in range(size)],
            "split": "test",
            "group": np.arange(size) if groups is None else groups,
            "label": truth,
        }
        tables.append(pd.DataFrame(head | columns))
    return Condition(name, name, task, CLASSES, OmegaConf.create({}), [], pd.concat(tables, ignore_index=True))


def right(share, size=40):
    return np.arange(size) < round(share * size)


def pixels(tp, fp, fn):
    return pd.DataFrame({"tp": tp, "fp": fp, "fn": fn, "tn": 1000})
