"""Which handling of the data explains the paper's gap between validation and test: the runs of `sweep=leakage`."""

import math
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from bus_lightning.config.split_options import PARTS
from bus_lightning.metrics.columns import Floats
from bus_lightning.metrics.majority import majority_accuracy
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.paper import numbers as paper
from bus_lightning.paper.leak_figure import leakage
from bus_lightning.report.estimates import Summaries, estimate
from bus_lightning.report.sections import Item, Note, Section, TableItem
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.intervals import percentile_interval, wilson
from bus_lightning.statistics.summary import DRAWS, draws_of, value_of

_STYLES = {
    "class_mark": "name of the class written",
    "contour": "lesion outlined",
    "fill": "lesion filled",
    "channel": "lesion's mask as a channel",
    "crop": "cropped to the lesion",
}
_MISTAKES = {
    "flipped_copies": "flipped copies made before the split into train and validation",
    "mask_files": "mask files used as images",
}
_PARTS = {"train": "train", "val": "validation", "test": "test"}
_METRICS = {"validation accuracy": ("val", "accuracy"), "test accuracy": ("test", "accuracy"),
            "test loss": ("test", "log_loss")}  # fmt: skip
_ACCURACY = ("accuracy",)


def handling(config: DictConfig) -> str:
    """Describe what was done to which images; empty if nothing was done that could leak.

    Args:
        config: A run's config.
    """
    overlay, clean = config.overlay, config.preprocess
    texts = []
    if overlay.style != "none" and overlay.source == "ground_truth":
        color = " in a colour per class" if overlay.color_by_class else ""
        texts.append(f"{_STYLES[overlay.style]}{color}, on {_on(overlay.parts)}")
    if mistake := config.data.get("mistake"):
        texts.append(_MISTAKES[mistake])
    if (clean.denoise != "none" or clean.contrast != "none") and set(clean.parts) != set(_PARTS):
        texts.append(f"cleaned ({clean.denoise}, {clean.contrast}), on {_on(clean.parts)}")
    return "; ".join(texts)


def _on(parts: list[str]) -> str:
    return "all images" if set(parts) == set(_PARTS) else " and ".join(_PARTS[part] for part in parts)


def separate_leaks(conditions: list[Condition]) -> tuple[list[Condition], list[Condition]]:
    """Separate the conditions of leak experiments, with their baselines, from the rest.

    A baseline has the model, size, epochs and split ratio of an experiment, and nothing that leaks.

    Returns:
        Conditions without a leak, except baselines of a model that also has another condition; and the experiments with
        their baselines.
    """

    def family(condition: Condition) -> tuple[object, ...]:
        cfg = condition.config
        return condition.model, cfg.data.size, cfg.trainer.max_epochs, tuple(cfg.data.split.ratio)

    leaking = [
        condition for condition in conditions if condition.task == "classification" and handling(condition.config)
    ]
    families = {family(condition) for condition in leaking}
    clean = [condition for condition in conditions if not handling(condition.config)]
    plain = [
        condition for condition in clean if condition.config.overlay.style == "none" and not condition.is_cross_fitted
    ]
    baselines = [condition for condition in plain if family(condition) in families]
    elsewhere = {condition.model for condition in clean if family(condition) not in families}
    main = [condition for condition in clean if family(condition) not in families or condition.model not in elsewhere]
    return main, leaking + baselines if leaking else []


def leak_section(experiments: list[Condition], summaries: dict[str, Summaries]) -> Section:
    """Compare validation with test for each handling of the data, next to the paper's four networks.

    Args:
        experiments: The conditions, with their baselines; at least one condition.
        summaries: val and test -> name of a condition -> summary.
    """
    experiments = sorted(
        experiments,
        key=lambda condition: (handling(condition.config) != "", handling(condition.config), condition.name),
    )
    rows = [_row(condition, summaries) for condition in experiments]
    caption = (
        "What was done to which images, and the scores of networks that were trained on them: mean over runs, 95% "
        "interval over near-duplicate groups. Mask files and flipped copies that were used as validation images "
        "count as validation images. Macro AUC of the probe: how well 20 statistics of the training images' "
        "intensities predict the class, without any network, and the same without the overlay."
    )
    frame = pd.DataFrame([_cells(row) for row in rows] + _paper_rows())
    recipes = [(each.model, each.config.data.size, each.config.trainer.max_epochs) for each in experiments]
    if len(set(recipes)) > 1:
        ours = [f"{size}, {epochs}" for _, size, epochs in recipes]
        frame.insert(1, "pixels, epochs", ours + ["not stated, 100"] * (len(frame) - len(ours)))
    table = TableItem("leakage_handlings", caption, frame)
    majority = majority_accuracy(experiments[0].part("test")) or 0.0
    figure = leakage(pd.concat([_runs(condition) for condition in experiments]), paper_points(), majority)
    items: list[Item] = [table, *([figure] if figure else []), *verdicts(rows)]
    intro = (
        "The paper's four networks reach 0.58 to 0.97 on validation images and 0.49 to 0.61 on test images, with test "
        "losses above ln 3. Which handling of the data has this effect on a network? "
    )
    same = "the same network, input size and epochs"
    intro += f"Our rows have {same}." if len(set(recipes)) == 1 else f"Compare only rows that have {same}."
    return Section("The leak: what gives 0.97 on validation and 0.56 on test", intro, items)


def paper_points() -> pd.DataFrame:
    """Return the paper's validation and test accuracy and test loss of the networks that have all three."""
    places = {"val_accuracy": (paper.VALIDATION, "accuracy"), "test_accuracy": (paper.TEST, "accuracy"),
              "test_loss": (paper.TEST, "log_loss")}  # fmt: skip
    models = ("deepcardinal50", "resnet50", "resnet34", "alexnet")
    return pd.DataFrame([
        {"model": paper.NAMES[model]}
        | {key: paper.value_of(where, model, metric) for key, (where, metric) in places.items()}
        for model in models
    ])  # fmt: skip


def verdicts(rows: list[dict[str, Any]]) -> list[Note]:
    """Say which handlings could explain the paper's gap, and which are ruled out.

    A handling is possible if the 95% intervals of its validation accuracy, its test accuracy and the gap between them
    overlap those of the paper's residual networks (Wilson's, for 79 and 156 images; the gaps as they are), and the
    interval of its test loss reaches above ln 3, as all of the paper's losses do.
    """
    residual = paper_points().query("model != 'AlexNet'")
    gaps = residual["val_accuracy"] - residual["test_accuracy"]
    paper_ranges = {
        "validation accuracy": _range(residual["val_accuracy"], paper.VALIDATION_IMAGES),
        "test accuracy": _range(residual["test_accuracy"], paper.TEST_IMAGES),
        "gap": (gaps.min(), gaps.max()),
        "test loss": (math.log(3), math.inf),
    }
    possible, excluded, not_judged = [], [], []
    for row in rows:
        name = f"{row['handling'] or 'no handling at all'} ({row['split']} split)"
        intervals = {key: (row[f"{key}_low"], row[f"{key}_high"]) for key in paper_ranges}
        misfits = [
            f"{key} {low:.2f} to {high:.2f}"
            for key, (low, high) in intervals.items()
            if high < paper_ranges[key][0] or low > paper_ranges[key][1]
        ]
        if any(math.isnan(low) for low, _ in intervals.values()):
            not_judged.append(name)
        elif misfits:
            excluded.append(f"{name}: {', '.join(misfits)}")
        else:
            possible.append(name)
    (val_low, val_high), (test_low, test_high), (gap_low, gap_high), _ = paper_ranges.values()
    rule = (
        f"The paper's residual networks have validation accuracies whose 95% intervals (Wilson) span {val_low:.2f} to "
        f"{val_high:.2f}, test accuracies of {test_low:.2f} to {test_high:.2f}, gaps of {gap_low:.2f} to "
        f"{gap_high:.2f}, and test losses above ln 3 = {math.log(3):.2f}."
    )
    fit = f"Our intervals meet all four for: {'; '.join(possible)}." if possible else "No handling meets all four."
    notes = [Note(f"{rule} {fit} This shows what could have happened, not what did.")]
    if excluded:
        notes.append(Note(f"Ruled out, at this size and these epochs, by what does not fit: {'; '.join(excluded)}."))
    if not_judged:
        notes.append(Note(f"Not judged, because a number is missing: {'; '.join(not_judged)}."))
    return notes


def _range(accuracies: pd.Series, images: int) -> tuple[float, float]:
    """Return the range of the intervals of some accuracies."""
    low, high = zip(*(wilson(round(accuracy * images), images) for accuracy in accuracies), strict=True)
    return min(low), max(high)


def _row(condition: Condition, summaries: dict[str, Summaries]) -> dict[str, Any]:
    status = condition.runs[0].status
    row: dict[str, Any] = {
        "model": paper.NAMES.get(condition.model, condition.model),
        "handling": handling(condition.config),
        "split": condition.config.data.split.method,
        "runs": len(condition.runs),
        "probe": status.get("probe_auc"),
        "probe_without": status.get("probe_auc_without_overlay"),
    }
    for name, (part, metric) in _METRICS.items():
        summary = summaries[part][condition.name]
        row |= {f"{name}_{key}": value_of(summary, metric, key) for key in ("value", "low", "high", "n")}
    gap = _drawn_accuracy(condition, "val") - _drawn_accuracy(condition, "test")
    row["gap_low"], row["gap_high"] = percentile_interval(gap)
    return row


def _drawn_accuracy(condition: Condition, part: str) -> Floats:
    """Draw the accuracy of one part; the two parts have different images, so their draws are independent."""
    cases = condition.part(part)
    return draws_of(cases, seed=PARTS.index(part), only=_ACCURACY)["accuracy"] if len(cases) else np.full(DRAWS, np.nan)


def _cells(row: dict[str, Any]) -> dict[str, object]:
    return {
        "network": row["model"],
        "done to the images": row["handling"] or "nothing",
        "split": row["split"],
        "runs": row["runs"],
        **{name: estimate(*(row[f"{name}_{key}"] for key in ("value", "low", "high"))) for name in _METRICS},
        "n, validation and test": f"{row['validation accuracy_n']:.0f}, {row['test accuracy_n']:.0f}",
        "macro AUC of the probe": f"{row['probe']:.2f} ({row['probe_without']:.2f} without)" if row["probe"] else "-",
    }


def _paper_rows() -> list[dict[str, object]]:
    return [
        {
            "network": f"{row.model}, the paper",
            "done to the images": "not stated in full",
            "split": "random",
            "runs": "not stated",
            "validation accuracy": f"{row.val_accuracy:.3f}",
            "test accuracy": f"{row.test_accuracy:.3f}",
            "test loss": f"{row.test_loss:.2f}",
            "n, validation and test": f"{paper.VALIDATION_IMAGES}, {paper.TEST_IMAGES}",
            "macro AUC of the probe": "-",
        }
        for row in paper_points().itertuples()
    ]


def _runs(condition: Condition) -> pd.DataFrame:
    """Make a row per run, for the figure."""
    names = {"handling": handling(condition.config) or "nothing", "split": condition.config.data.split.method}
    rows = []
    for _, cases in condition.cases.groupby("run"):
        validation, test = (metrics_of(cases[cases["split"] == part]) for part in ("val", "test"))
        scores = {"val_accuracy": validation["accuracy"], "test_accuracy": test["accuracy"]}
        rows.append(names | scores | {"test_loss": test["log_loss"]})
    return pd.DataFrame(rows)
