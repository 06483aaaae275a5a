"""What handling of the data gives the paper's gap between validation and test: the runs of `sweep=leakage`."""

import math
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from bus_lightning.data.splits import PARTS
from bus_lightning.metrics.columns import Floats
from bus_lightning.metrics.majority import majority_accuracy
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.paper import numbers as paper
from bus_lightning.paper.leak_figure import leakage
from bus_lightning.paper.tables import estimate
from bus_lightning.report.sections import Item, Note, Section, TableItem
from bus_lightning.report.task_sections import Summaries
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.intervals import percentile_interval, wilson
from bus_lightning.statistics.summary import DRAWS, draws_of, value_of

_STYLES = {
    "class_mark": "name of the class written",
    "contour": "lesion outlined",
    "fill": "lesion filled",
    "channel": "lesion's mask as a channel",
    "crop": "cut around the lesion",
}
_MISTAKES = {
    "flipped_copies": "flipped copies made before train and validation were parted",
    "mask_files": "mask files taken for images",
}
_PARTS = {"train": "train", "val": "validation", "test": "test"}


def handling(config: DictConfig) -> str:
    """Say in words what was done to which images; empty where nothing was done that could leak.

    Args:
        config: A run's config.
    """
    overlay, clean = config.overlay, config.preprocess
    said = []
    if overlay.style != "none" and overlay.source == "ground_truth":
        color = " in a colour per class" if overlay.color_by_class else ""
        said.append(f"{_STYLES[overlay.style]}{color}, on {_on(overlay.parts)}")
    if mistake := config.data.get("mistake"):
        said.append(_MISTAKES[mistake])
    if (clean.denoise != "none" or clean.contrast != "none") and set(clean.parts) != set(_PARTS):
        said.append(f"cleaned ({clean.denoise}, {clean.contrast}), on {_on(clean.parts)}")
    return "; ".join(said)


def family(condition: Condition) -> tuple[object, ...]:
    """Name what conditions share that can be compared for their handling: model, size, epochs, ratio."""
    cfg = condition.config
    return condition.model, cfg.data.size, cfg.trainer.max_epochs, tuple(cfg.data.split.ratio)


def part_leaks(conditions: list[Condition]) -> tuple[list[Condition], list[Condition]]:
    """Part the conditions of leakage experiments, with those that they are compared with, from the rest.

    Returns:
        Conditions without a leak, but the baselines of experiments whose model has another one; and the experiments
        with their baselines.
    """
    classifiers = [condition for condition in conditions if condition.task == "classification"]
    leaking = [condition for condition in classifiers if handling(condition.config)]
    families = {family(condition) for condition in leaking}
    clean = [condition for condition in conditions if not handling(condition.config)]
    plain = [one for one in clean if one.config.overlay.style == "none" and not one.is_cross_fitted]
    baselines = [condition for condition in plain if family(condition) in families]
    elsewhere = {condition.model for condition in clean if family(condition) not in families}
    main = [one for one in clean if family(one) not in families or one.model not in elsewhere]
    return main, leaking + baselines if leaking else []


def leakage_section(experiments: list[Condition], validation: Summaries, test: Summaries) -> Section | None:
    """Set validation against test for each handling of the data, beside the paper's four networks.

    Args:
        experiments: The conditions, with their references.
        validation: Name of a condition -> summary of its validation images.
        test: The same for its test images.

    Returns:
        The section; None without experiments.
    """
    if not experiments:
        return None
    experiments = sorted(experiments, key=lambda one: (handling(one.config) != "", handling(one.config), one.name))
    rows = [_row(condition, validation[condition.name], test[condition.name]) for condition in experiments]
    table = pd.DataFrame([_written(row) for row in rows] + _paper_rows())
    caption = (
        "What was done to which images, and what networks that were trained on them score: mean over runs, 95% "
        "interval over near-duplicate groups. Mask files and flipped copies that were taken for validation images "
        "count there. Macro AUC of the probe: how well 20 statistics of the training images' intensities tell the "
        "class, without any network, and the same without the overlay."
    )
    items: list[Item] = [TableItem("leakage_handlings", caption, table)]
    majority = majority_accuracy(experiments[0].part("test"))
    if figure := leakage(pd.concat([_runs(one) for one in experiments]), paper_points(), majority):
        items.append(figure)
    items += verdicts(rows)
    intro = (
        "The paper's four networks reach 0.58 to 0.97 on validation images and 0.49 to 0.61 on test images, with test "
        "losses above ln 3. Which handling of the data does that to a network? All rows have the same network, input "
        "size and epochs."
    )
    return Section("The leak: what gives 0.97 on validation and 0.56 on test", intro, items)


def paper_points() -> pd.DataFrame:
    """Give the paper's validation and test accuracy and test loss of the networks that have all three."""
    rows = []
    for model in ("deepcardinal50", "resnet50", "resnet34", "alexnet"):
        found = {
            "val_accuracy": paper.value_of(paper.VALIDATION, model, "accuracy"),
            "test_accuracy": paper.value_of(paper.TEST, model, "accuracy"),
            "test_loss": paper.value_of(paper.TEST, model, "log_loss"),
        }
        rows.append({"model": paper.NAMES[model], **found})
    return pd.DataFrame(rows).dropna()


def verdicts(rows: list[dict[str, Any]]) -> list[Note]:
    """Say which handlings the numbers allow as an explanation of the paper's gap, and which they rule out.

    A handling is allowed when the 95% intervals of its validation accuracy, its test accuracy and the gap between them
    meet those of the paper's residual networks (Wilson's, for 79 and 156 images; the gaps as they are), and the
    interval of its test loss reaches above ln 3, as all of the paper's losses do.
    """
    residual = paper_points().query("model != 'AlexNet'")
    gaps = residual["val_accuracy"] - residual["test_accuracy"]
    wanted = {
        "validation accuracy": _range(residual["val_accuracy"], paper.VALIDATION_IMAGES),
        "test accuracy": _range(residual["test_accuracy"], paper.TEST_IMAGES),
        "gap": (gaps.min(), gaps.max()),
        "test loss": (math.log(3), math.inf),
    }
    kinds: dict[str, list[str]] = {"allowed": [], "excluded": [], "not judged": []}
    for row in rows:
        name = f"{row['handling'] or 'no handling at all'} ({row['split']} split)"
        found = {key: (row[f"{key}_low"], row[f"{key}_high"]) for key in wanted}
        if any(math.isnan(low) for low, _ in found.values()):
            kinds["not judged"].append(name)
            continue
        against = [
            f"{key} {found[key][0]:.2f} to {found[key][1]:.2f}"
            for key, (low, high) in wanted.items()
            if found[key][1] < low or found[key][0] > high
        ]
        kinds["excluded" if against else "allowed"].append(f"{name}: {', '.join(against)}" if against else name)
    (val_low, val_high), (test_low, test_high), (gap_low, gap_high), _ = wanted.values()
    rule = (
        f"The paper's residual networks have validation accuracies whose 95% intervals (Wilson) span {val_low:.2f} to "
        f"{val_high:.2f}, test accuracies of {test_low:.2f} to {test_high:.2f}, gaps of {gap_low:.2f} to "
        f"{gap_high:.2f}, and test losses above ln 3 = {math.log(3):.2f}."
    )
    allowed = kinds["allowed"]
    fit = f"Our intervals meet all four for: {'; '.join(allowed)}." if allowed else "No handling here meets all four."
    notes = [Note(f"{rule} {fit} That shows what could have happened, not what did.")]
    if kinds["excluded"]:
        notes.append(
            Note(f"Ruled out, at this size and these epochs, by what does not fit: {'; '.join(kinds['excluded'])}.")
        )
    if kinds["not judged"]:
        notes.append(Note(f"Not judged, for a number is missing: {'; '.join(kinds['not judged'])}."))
    return notes


def _range(accuracies: pd.Series, images: int) -> tuple[float, float]:
    """Span the intervals of some accuracies."""
    intervals = [wilson(round(accuracy * images), images) for accuracy in accuracies]
    return min(low for low, _ in intervals), max(high for _, high in intervals)


def _on(parts: list[str]) -> str:
    return "all images" if set(parts) == set(_PARTS) else " and ".join(_PARTS[part] for part in parts)


def _row(condition: Condition, validation: pd.DataFrame, test: pd.DataFrame) -> dict[str, Any]:
    status = condition.runs[0].status
    row: dict[str, Any] = {
        "model": paper.NAMES.get(condition.model, condition.model),
        "handling": handling(condition.config),
        "split": condition.config.data.split.method,
        "runs": len(condition.runs),
        "probe": status.get("probe_auc"),
        "probe_without": status.get("probe_auc_without_overlay"),
    }
    numbers = {"validation accuracy": (validation, "accuracy"), "test accuracy": (test, "accuracy"),
               "test loss": (test, "log_loss")}  # fmt: skip
    for name, (summary, metric) in numbers.items():
        row |= {f"{name}_{key}": value_of(summary, metric, key) for key in ("value", "low", "high", "n")}
    gap = _drawn_accuracy(condition, "val") - _drawn_accuracy(condition, "test")
    row["gap_low"], row["gap_high"] = percentile_interval(gap)
    return row


def _drawn_accuracy(condition: Condition, part: str) -> Floats:
    """Draw the accuracy of one part; the two parts have different images, so their draws are independent."""
    cases = condition.part(part)
    return draws_of(cases, seed=PARTS.index(part))["accuracy"] if len(cases) else np.full(DRAWS, np.nan)


def _written(row: dict[str, Any]) -> dict[str, object]:
    probe = f"{row['probe']:.2f} ({row['probe_without']:.2f} without)" if row["probe"] else "-"
    names = ("validation accuracy", "test accuracy", "test loss")
    return {
        "network": row["model"],
        "done to the images": row["handling"] or "nothing",
        "split": row["split"],
        "runs": row["runs"],
        **{name: estimate(*(row[f"{name}_{key}"] for key in ("value", "low", "high"))) for name in names},
        "n, validation and test": f"{row['validation accuracy_n']:.0f}, {row['test accuracy_n']:.0f}",
        "macro AUC of the probe": probe,
    }


def _paper_rows() -> list[dict[str, object]]:
    return [
        {
            "network": f"{row.model}, the paper",
            "done to the images": "not said in full",
            "split": "random",
            "runs": "not said",
            "validation accuracy": f"{row.val_accuracy:.3f}",
            "test accuracy": f"{row.test_accuracy:.3f}",
            "test loss": f"{row.test_loss:.2f}",
            "n, validation and test": f"{paper.VALIDATION_IMAGES}, {paper.TEST_IMAGES}",
            "macro AUC of the probe": "-",
        }
        for row in paper_points().itertuples()
    ]


def _runs(condition: Condition) -> pd.DataFrame:
    """Make a row per run, for the picture."""
    rows = []
    for number, (_, cases) in enumerate(condition.cases.groupby("run")):
        scores = {part: metrics_of(cases[cases["split"] == part]) for part in ("val", "test")}
        rows.append(
            {
                "handling": handling(condition.config) or "nothing",
                "split": condition.config.data.split.method,
                "seed": number,
                "val_accuracy": scores["val"]["accuracy"],
                "test_accuracy": scores["test"]["accuracy"],
                "test_loss": scores["test"]["log_loss"],
            }
        )
    return pd.DataFrame(rows)
