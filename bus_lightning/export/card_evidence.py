"""The sections of a model card that rest on its cases: out of fold, on other data, operating points, subgroups."""

from collections.abc import Mapping, Sequence
from typing import Any

from bus_lightning.data.sources.registry import find_card
from bus_lightning.diagnosis.bundle import CASES
from bus_lightning.diagnosis.stage import CLASS
from bus_lightning.export.evidence import ALL, AUC, ERROR, OUT_OF_FOLD, TEST, Evidence
from bus_lightning.export.markdown import escape, format_interval, make_table
from bus_lightning.metrics.catalogue import heading_of, title_of

_TITLES = {ALL: "test and out of fold", OUT_OF_FOLD: "out of fold (chosen on these)", TEST: "test"}


def describe_evidence(evidence: Evidence) -> list[str]:
    """Write the sections, from what `find_evidence` returns."""
    folds = evidence["folds"]
    results = dict(evidence["results"])
    own = results.pop(ALL)
    sections = [_out_of_fold(own, folds)] if folds else []
    if results:
        sections.append(_other_data(results))
    if points := evidence["operating_points"]:
        sections.append(_operating_points(points))
    if subgroups := evidence["subgroups"]:
        sections.append(_subgroups(subgroups, ALL if folds else TEST))
    return sections


def _title(name: str) -> str:
    card = find_card(name)
    return _TITLES.get(name) or (card.title if card else escape(name))


def _out_of_fold(results: Mapping[str, Sequence[Mapping[str, Any]]], folds: int) -> str:
    note = (
        f"Each image was predicted once, by one of {folds + 1} networks of the same recipe, which saw neither it nor a "
        "near-duplicate of it. So these numbers describe the recipe. The network of this bundle is one of them; its "
        f"own results are above. Probabilities are those before calibration. All rows are computed from {CASES}."
    )
    rows = [
        [heading_of(row["metric"]), f"{row['value']:.3f}", format_interval(row), row["n"]]
        for of_output in results.values()
        for row in of_output
    ]
    return "\n\n".join(
        ["## Results out of fold", note, make_table(["metric", "value", "95% interval", "images"], rows)],
    )


def _other_data(results: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> str:
    cells = {
        (row["metric"], name): f"{row['value']:.3f} ({format_interval(row)}), n = {row['n']}"
        for name, outputs in results.items()
        for rows in outputs.values()
        for row in rows
    }
    metrics = list(dict.fromkeys(metric for metric, _ in cells))
    note = (
        "The network of this bundle on data sets that nothing was trained or chosen on. Intervals: bootstrap over "
        "patients and near-duplicates."
    )
    if ERROR in metrics:
        note += (
            " The calibration error is that with the temperature of this bundle; the other rows do not depend on it."
        )
    if all(_shows_only_lesions(outputs.get(CLASS, ())) for outputs in results.values()):
        note += " An image called normal counts as wrong, because these images all show a lesion."
    rows = [[title_of(metric), *(cells.get((metric, name), "-") for name in results)] for metric in metrics]
    cards = {name: card for name in results if (card := find_card(name))}
    sources = [f"{card.title}: {escape(card.citation)}." for card in cards.values()]
    return "\n\n".join(
        ["## Results on other data", note, make_table(["metric", *map(_title, results)], rows), " ".join(sources)]
    ).rstrip()


def _shows_only_lesions(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether all images that were classified are benign or malignant: only these count for the AUC."""
    numbers = {row["metric"]: row["n"] for row in rows}
    return AUC in numbers and numbers[AUC] == numbers["accuracy"]


def _operating_points(points: Sequence[Mapping[str, Any]]) -> str:
    note = (
        "Thresholds for the calibrated probability of malignant, each the highest with the sensitivity in the first "
        "column on the out-of-fold images, and what they give on images that did not choose them. **A threshold "
        "that suits one data set can fail on another: choose one on images of your own before you rely on it.**"
    )
    rows = [
        [f"{100 * point['asked']:g}%", f"{point['threshold']:.4f}", _title(point["tested_on"]),
         *(_estimate(point[share]) for share in ("sensitivity", "specificity")),
         f"{point['positives']} / {point['negatives']}"]
        for point in points
    ]  # fmt: skip
    names = ["asked", "threshold", "images", "sensitivity", "specificity", "malignant / others"]
    return "\n\n".join(["## Operating points", note, make_table(names, rows)])


def _estimate(values: Sequence[float | None]) -> str:
    value, low, high = values
    return "undefined" if value is None else f"{value:.3f} ({format_interval({'low': low, 'high': high})})"


def _subgroups(rows: Sequence[Mapping[str, Any]], own: str) -> str:
    """Write the subgroups; `own` says what the images of the network's data set are: `ALL`, or `TEST` without folds."""
    note = (
        "The same predictions, by what is known of the images. The accuracy within a class is its recall. A lesion is "
        "sorted by its share of the image, and marks are text, calipers or a frame that a rule found. Subgroups of "
        "fewer than 10 images are left out, and a difference between two subgroups can be chance."
    )
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    cells = {
        (row["tested_on"], row["by"], row["stratum"], row["metric"]):
            f"{row['value']:.3f} ({format_interval(row)}), n = {row['n']}"
        for row in rows
    }  # fmt: skip
    groups = list(dict.fromkeys(key[:3] for key in cells))
    lines = [
        [_title(own if name == ALL else name), by, escape(stratum),
         *(cells.get((name, by, stratum, metric), "-") for metric in metrics)]
        for name, by, stratum in groups
    ]  # fmt: skip
    table = make_table(["images", "by", "subgroup", *map(title_of, metrics)], lines)
    return "\n\n".join(["## Subgroups", note, table])
