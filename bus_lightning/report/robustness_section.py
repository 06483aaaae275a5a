"""The section of corrupted images: results of `evaluate.py robustness=true`, paired with those of the clean images."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from bus_lightning.data.corruptions import CORRUPTIONS, STRENGTHS
from bus_lightning.metrics.catalogue import title_of
from bus_lightning.report.estimates import estimate
from bus_lightning.report.figures.inputs import labels_of, paged, span
from bus_lightning.report.figures.robustness import corrupted_examples, corruption_curves
from bus_lightning.report.sections import Item, Section, TableItem, fold
from bus_lightning.statistics.conditions import Condition, of_task
from bus_lightning.statistics.robustness import Corrupted, compare_corrupted

_METRICS = {"classification": ("accuracy", "auroc_macro"), "segmentation": ("dice_image",)}
_INTRO = (
    "Made by `evaluate.py robustness=true`: the kept networks on their test images, corrupted in five strengths at the "
    "images' own resolution, before the run's preprocessing. Each image is compared with itself as it is, by the same "
    "network and in the same bootstrap draws of groups; intervals cover 95%, and are not adjusted for the number of "
    "corruptions.\n\n"
    "An image's id decides what is random: the noise, the place of a crop, and whether gain makes it brighter or "
    "darker. It is the same at each strength. A crop cuts image and ground truth, and always keeps at least a part of "
    "the lesion; the Dice is that of what is left."
)


def robustness_section(conditions: list[Condition], cache: Path | None = None) -> Section | None:
    """Show how much corrupted images change the scores; None if no run was tested on them.

    Args:
        conditions: The conditions of the report.
        cache: Folder that keeps comparisons from one report to the next.
    """
    items: list[Item] = []
    for task, metrics in _METRICS.items():
        own = of_task(conditions, task)
        labels = labels_of(own)
        compared = {labels[each.name]: compare_corrupted(each, metrics, cache=cache) for each in own}
        tested = {label: levels for label, levels in compared.items() if levels}
        if not tested:
            continue
        items += [_changes(task, metric, tested) for metric in metrics]
        for metric in metrics:
            for suffix, page in paged(tested):
                slug = f"robustness_{metric}{suffix}"
                if figure := corruption_curves(slug, metric, page, f"n = {_images(page)} test images"):
                    items.append(figure)
        items += fold(f"{task.capitalize()}: every number of corrupted images", [_in_full(task, tested)])
    if not items:
        return None
    return Section("Robustness to corrupted images", _INTRO, [_values(), corrupted_examples(), *items])


def _values() -> TableItem:
    """List what the strengths are."""
    rows = [
        {
            "corruption": corruption.title,
            **{str(strength): f"{value:g}" for strength, value in zip(STRENGTHS, corruption.values, strict=True)},
            "value": corruption.measure,
        }
        for corruption in CORRUPTIONS.values()
    ]
    return TableItem(
        "robustness_strengths", "The corruptions and their values at strengths 1 to 5.", pd.DataFrame(rows)
    )


def _images(tested: Mapping[str, Sequence[Corrupted]]) -> str:
    return span([each.compared.n for compared in tested.values() for each in compared])


def _changes(task: str, metric: str, tested: Mapping[str, Sequence[Corrupted]]) -> TableItem:
    rows = []
    for label, compared in tested.items():
        for name, corruption in CORRUPTIONS.items():
            own = {
                each.level.strength: each
                for each in compared
                if each.level.corruption == name and each.compared.metric == metric
            }
            if not own:
                continue
            first = next(iter(own.values()))
            row = {"condition": label, "clean": estimate(first.compared.value_b), "corruption": corruption.title}
            rows.append(row | {str(strength): _change(own.get(strength)) for strength in STRENGTHS})
    caption = (
        f"{task.capitalize()}: {title_of(metric)} on clean test images, and by how much the corruption changes it at "
        f"strengths 1 to 5, with the 95% interval (n = {_images(tested)} test images)."
    )
    return TableItem(f"robustness_{metric}_changes", caption, pd.DataFrame(rows))


def _change(corrupted: Corrupted | None) -> str:
    if corrupted is None:
        return "-"
    compared = corrupted.compared
    if math.isnan(compared.difference):
        return f"not compared: {compared.reason}"
    return estimate(compared.difference, compared.low, compared.high)


def _in_full(task: str, tested: Mapping[str, Sequence[Corrupted]]) -> TableItem:
    rows = [
        {
            "condition": label,
            "corruption": CORRUPTIONS[each.level.corruption].title,
            "strength": each.level.strength,
            "its value": f"{CORRUPTIONS[each.level.corruption].values[each.level.strength - 1]:g}",
            "metric": title_of(each.compared.metric),
            "clean": round(each.compared.value_b, 8),
            "corrupted": round(each.compared.value_a, 8),
            "change": round(each.compared.difference, 8),
            "low": round(each.compared.low, 8),
            "high": round(each.compared.high, 8),
            "n": each.compared.n,
            "groups": each.compared.groups,
            "runs": each.runs,
        }
        for label, compared in tested.items()
        for each in compared
    ]
    return TableItem(
        f"robustness_{task}", f"{task.capitalize()}: every number of corrupted images.", pd.DataFrame(rows)
    )
