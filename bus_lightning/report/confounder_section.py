"""The section of confounders: scores with and without burned-in marks, by lesion size, by device, by data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bus_lightning.core.class_names import MALIGNANT
from bus_lightning.data.burned_in import ERROR
from bus_lightning.data.described import UNKNOWN
from bus_lightning.data.sources.source_index import NO_CLASS
from bus_lightning.metrics.catalogue import title_of
from bus_lightning.report.estimates import estimate
from bus_lightning.report.figures.inputs import labels_of, paged, span, usable
from bus_lightning.report.figures.strata import Point, strata_forest
from bus_lightning.report.sections import Item, Note, Section, TableItem
from bus_lightning.report.studied_images import MARKS, Studied
from bus_lightning.statistics.conditions import Condition, of_task
from bus_lightning.statistics.strata import LEAST, Score, metrics_in_strata, score_strata

_SIZE, _DEVICE, _SET = "lesion, share of the image", "device", "data set"
_THIRDS = ("smallest third", "middle third", "largest third")
_MOST_DEVICES = 6
EVERY = ("all", "all test images")
_Key = tuple[str, str]  # factor and stratum


@dataclass(frozen=True)
class _Scored:
    """The scores of a condition in its strata.

    Attributes:
        scores: Factor and stratum -> metric -> score.
        malignant: Factor and stratum -> share of malignant images; NaN if it is not known.
        sizes: Third -> its lesions, as a range of their share of the image.
    """

    scores: Mapping[_Key, Mapping[str, Score]]
    malignant: Mapping[_Key, float]
    sizes: Mapping[str, str]


def confounder_section(conditions: Sequence[Condition], studied: Sequence[Studied]) -> Section | None:
    """Compare the scores of test images that differ in something else than the diagnosis.

    Args:
        conditions: Those of the report.
        studied: Their images.

    Returns:
        The section; None if nothing is known of the images of any condition.
    """
    images = {condition.name: each.images for each in studied for condition in each.conditions}
    items: list[Item] = []
    for task in ("classification", "segmentation"):
        scored = {}
        own = [condition for condition in of_task(conditions, task) if condition.name in images]
        labels = labels_of(own)
        for condition in own:
            cases = usable(condition, "test")
            tested = images[condition.name].loc[sorted(set(cases["id"]))] if len(cases) else pd.DataFrame()
            strata = find_strata(tested) if len(tested) else {}
            if len(strata) > 1:
                scored[labels[condition.name]] = _score(condition, cases, strata, tested)
        if scored:
            items += [*_figures(task, scored), _table(task, scored)]
    if not items:
        return None
    older = sum("marked" not in table for table in images.values())
    if older:
        items.append(
            Note(
                f"{older} of {len(images)} conditions have no recorded marks and devices, because an earlier version "
                "made their runs: `evaluate.py runs=...` records them."
            )
        )
    intro = (
        "A network can use other things than the lesion: calipers, the device, the size of the image. Each row scores "
        "the test images with such a property. Nobody assigned it at random: a difference can also come from other "
        "classes or lesions in the stratum, so the share of malignant images is given, where it is known. Intervals: "
        "95%, bootstrap over groups, drawn from all classes together; all strata have the same draws. Burned-in marks "
        f"were found by a rule that is {ERROR}."
    )
    return Section("Confounders", intro, items)


def find_strata(images: pd.DataFrame) -> dict[_Key, set[str]]:
    """Divide images by what is known of them.

    Args:
        images: A row per test image, by id; perhaps with `marked`, `lesion_share`, `device` and `dataset`.

    Returns:
        Factor and stratum -> ids; first all images; only factors with two strata and more.
    """
    by_factor: dict[str, dict[str, set[str]]] = {}
    if "marked" in images:
        by_factor[MARKS] = {
            name: set(images.index[images["marked"] == value]) for name, value in (("without", 0), ("with", 1))
        }
    if "lesion_share" in images and (images["lesion_share"] > 0).sum() >= 3 * LEAST:
        shares = images.loc[images["lesion_share"] > 0, "lesion_share"]
        places = np.searchsorted(np.quantile(shares, [1 / 3, 2 / 3]), shares)
        by_factor[_SIZE] = {name: set(shares.index[places == place]) for place, name in enumerate(_THIRDS)}
    if "device" in images:
        counts = images.loc[images["device"] != UNKNOWN, "device"].value_counts()
        names = [str(name) for name in counts.index[:_MOST_DEVICES]]
        by_factor[_DEVICE] = {name: set(images.index[images["device"] == name]) for name in names}
    if "dataset" in images:
        by_factor[_SET] = {str(name): set(own.index) for name, own in images.groupby("dataset")}
    strata: dict[_Key, set[str]] = {EVERY: set(images.index)}
    for factor, by_name in by_factor.items():
        filled = {name: ids for name, ids in by_name.items() if ids}
        if len(filled) > 1:
            strata |= {(factor, name): ids for name, ids in filled.items()}
    return strata


def _score(condition: Condition, cases: pd.DataFrame, strata: Mapping[_Key, set[str]], images: pd.DataFrame) -> _Scored:
    metrics = metrics_in_strata(condition.task, condition.classes)
    names = {key: "\0".join(key) for key in strata}
    scores = score_strata(cases, {names[key]: ids for key, ids in strata.items()}, metrics)
    labels = cases.drop_duplicates("id").set_index("id")["label"]
    return _Scored(
        {key: {metric: scores[names[key], metric] for metric in metrics} for key in strata},
        {key: _share_of_malignant(labels[sorted(ids)], condition.classes) for key, ids in strata.items()},
        {name: _range_of(images.loc[sorted(ids), "lesion_share"]) for (factor, name), ids in strata.items()
         if factor == _SIZE},
    )  # fmt: skip


def _share_of_malignant(labels: "pd.Series[str]", classes: Sequence[str]) -> float:
    """Compute the share of malignant images; NaN if no class is called so, or the class of an image is not known."""
    is_known = MALIGNANT in classes and not (labels == NO_CLASS).any()
    return float((labels == MALIGNANT).mean()) if is_known else float("nan")


def _range_of(shares: "pd.Series[float]") -> str:
    return f"{100 * shares.min():.1f}% to {100 * shares.max():.1f}%"


def _table(task: str, scored: Mapping[str, _Scored]) -> TableItem:
    rows = []
    for label, each in scored.items():
        first: dict[str, _Key] = {}
        for key, by_metric in each.scores.items():
            factor, stratum = key
            reference = first.setdefault(factor, key)
            size = f", {each.sizes[stratum]}" if stratum in each.sizes else ""
            row: dict[str, object] = {"condition": label, "by": factor, "images": f"{stratum}{size}"}
            row["malignant"] = "-" if np.isnan(each.malignant[key]) else f"{each.malignant[key]:.0%}"
            for metric, score in by_metric.items():
                title = title_of(metric)
                row[title] = _write(score)
                row[f"n ({title})"] = f"{score.n} ({score.groups} groups)"
                minus = score.minus(each.scores[reference][metric])
                row[f"minus the first ({title})"] = "-" if key == reference else estimate(*minus)
            rows.append(row)
    caption = (
        "Test images by a property: value and 95% interval, number of images and groups, and the difference from the "
        f"first stratum of the property. Fewer than {LEAST} images have no value. The thirds are those of the test "
        "images with a lesion, with the smallest and the largest lesion of each."
    )
    if any(factor == _DEVICE for each in scored.values() for factor, _ in each.scores):
        caption += f" Devices: at most the {_MOST_DEVICES} with the most images, of those that are known."
    return TableItem(f"confounders_{task}", caption, pd.DataFrame(rows))


def _write(score: Score) -> str:
    return f"fewer than {LEAST} images" if score.n < LEAST else estimate(score.value, *score.interval)


def _figures(task: str, scored: Mapping[str, _Scored]) -> list[Item]:
    items: list[Item] = []
    for suffix, page in paged(scored):
        keys = list(dict.fromkeys(key for each in page.values() for key in each.scores))
        metrics = list(dict.fromkeys(metric for each in page.values() for metric in each.scores[EVERY]))
        points = {
            metric: {
                label: {key: _point(own[metric]) for key, own in each.scores.items() if metric in own}
                for label, each in page.items()
            }
            for metric in metrics
        }
        counts = {key: span([max(score.n for score in each.scores[key].values()) for each in page.values()
                             if key in each.scores]) for key in keys}  # fmt: skip
        caption = (
            f"{task.capitalize()} of test images by properties other than the diagnosis: value and 95% interval "
            f"(bootstrap over groups). n: images. Strata of fewer than {LEAST} images are empty. The dotted line is "
            "the value of the first condition on all images."
        )
        items.append(strata_forest(f"strata_{task}{suffix}", caption, keys, counts, points))
    return items


def _point(score: Score) -> Point:
    return Point(score.value, *score.interval)
