"""The paper's claim about the cost of DeepCardinal-50, checked against what was counted and measured."""

from typing import Any

import pandas as pd

from bus_lightning.paper.resnet101 import ResNet101
from bus_lightning.report.costs import number
from bus_lightning.report.estimates import Summaries, estimate, metric_row
from bus_lightning.report.sections import Note
from bus_lightning.statistics.conditions import Condition

REFERENCE = "resnet101"
_SAME = 0.10  # relative difference up to which two costs are called the same
_VERDICT = {True: "the claim holds", False: "the claim does not hold"}


def reference_row(conditions: list[Condition]) -> dict[str, Any] | None:
    """Count the costs of ResNet-101 at the input size of the first classifier in full size; None without one."""
    for condition in conditions:
        if condition.task == "classification" and not condition.config.debug_size:
            size, classes = int(condition.config.data.size), len(condition.config.data.classes)
            known = {"model": REFERENCE, "task": "classification", "size": size, "debug_size": False, "runs": 0}
            return known | ResNet101(classes, size).costs
    return None


def cost_claim(costs: pd.DataFrame, test: Summaries) -> Note:
    """Check the claim that DeepCardinal-50 has ResNet-50's size and cost, and ResNet-101's quality.

    Args:
        costs: From `cost_frame`.
        test: Model -> summary of the test images.
    """
    claim = "The paper says that DeepCardinal-50 has ResNet-50's size, low cost and latency, and ResNet-101's quality."
    rows = {row["model"]: row for row in costs.to_dict("records") if not row["debug_size"]}
    deep, resnet, large = (rows.get(name) for name in ("deepcardinal50", "resnet50", REFERENCE))
    if deep is None or resnet is None:
        return Note(f"{claim} Not judged here: that needs runs of both DeepCardinal-50 and ResNet-50 in full size.")
    sentences, sizes = [claim], []
    for title, key, form, scale, unit in (
        ("Parameters", "parameters", ",.0f", 1, ""), ("MACs", "macs", ",.2f", 1e9, " x 10^9"),
    ):  # fmt: skip
        if deep[key] and resnet[key] and (key == "parameters" or deep["size"] == resnet["size"]):
            ratio = deep[key] / resnet[key]
            sizes.append(abs(ratio - 1) <= _SAME)
            first, second = (f"{number(row[key], form, scale)}{unit}" for row in (deep, resnet))
            sentences.append(f"{title}: {first} against {second}, {ratio:.2f} times as many; {_VERDICT[sizes[-1]]}.")
            if large and large[key] and large["size"] == deep["size"]:
                sentences.append(f"ResNet-101 has {number(large[key], form, scale)}{unit}.")
    speeds = _speeds(deep, resnet)
    sentences += [text for text, _ in speeds]
    if not speeds:
        sentences.append("Speed: not measured for both on one device, with one precision and input size.")
    sentences.append(_quality(test))
    sentences.append(f"Two costs are called the same if they differ by at most {_SAME:.0%}.")
    holds = all([*sizes, *(fits for _, fits in speeds)])
    return Note(" ".join(sentences), ("good" if speeds else "plain") if holds else "warning")


def _speeds(deep: dict[str, Any], resnet: dict[str, Any]) -> list[tuple[str, bool]]:
    """Compare measured speeds if device, precision and input size are the same: a sentence, whether the claim holds."""
    if any(deep[key] != resnet[key] or not deep[key] for key in ("device", "precision", "size")):
        return []
    results = []
    for title, key, unit in (
        ("Training", "images_per_second", "images/s"), ("Latency", "latency_ms", "ms per image"),
    ):  # fmt: skip
        if deep[key] and resnet[key]:
            ratio = deep[key] / resnet[key]
            fits = ratio <= 1 + _SAME if key == "latency_ms" else ratio >= 1 - _SAME
            text = (
                f"{title}: {deep[key]:.1f} against {resnet[key]:.1f} {unit} ({ratio:.2f} times; {deep['device']}, "
                f"{deep['precision']}); {_VERDICT[fits]}."
            )
            results.append((text, fits))
    return results


def _quality(test: Summaries) -> str:
    rows = [metric_row(test.get(name), "accuracy") for name in ("deepcardinal50", REFERENCE)]
    if not all(rows):
        return "Quality: the paper gives no number for ResNet-101, and it was not trained here."
    deep, large = (estimate(row["value"], row["low"], row["high"]) for row in rows if row)
    return f"Quality: test accuracy {deep} against ResNet-101's {large}; the paper gives no number for it."
