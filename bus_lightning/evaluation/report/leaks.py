"""What handling of the data gives the paper's gap between validation and test: the runs of `sweep=leakage`."""

import math

import pandas as pd
from omegaconf import DictConfig

from bus_lightning.evaluation.conditions import Condition
from bus_lightning.evaluation.intervals import wilson
from bus_lightning.evaluation.report import paper
from bus_lightning.evaluation.report.paper_tables import estimate
from bus_lightning.evaluation.report.plot_leakage import leakage
from bus_lightning.evaluation.report.sections import Item, Note, Section, TableItem
from bus_lightning.evaluation.summary import value_of
from bus_lightning.evaluation.table import majority_accuracy

Summaries = dict[str, pd.DataFrame]
_STYLES = {"class_mark": "name of the class written", "contour": "lesion outlined", "fill": "lesion filled"}
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
    if overlay.style != "none":
        color = " in a colour per class" if overlay.color_by_class else ""
        return f"{_STYLES[overlay.style]}{color}, on {_on(overlay.parts)}"
    if mistake := config.data.get("mistake"):
        return _MISTAKES[mistake]
    if (clean.denoise != "none" or clean.contrast != "none") and set(clean.parts) != set(_PARTS):
        return f"cleaned ({clean.denoise}, {clean.contrast}), on {_on(clean.parts)}"
    return ""


def family(condition: Condition) -> tuple[object, ...]:
    """Name what conditions share that can be compared for their handling: model, size, epochs, ratio."""
    cfg = condition.config
    return condition.model, cfg.data.size, cfg.trainer.max_epochs, tuple(cfg.data.split.ratio)


def part_leaks(conditions: list[Condition]) -> tuple[list[Condition], list[Condition]]:
    """Part the conditions of leakage experiments, with those that they are compared with, from the rest.

    Returns:
        The rest (where nothing is left, those without a leak) and the experiments.
    """
    families = {family(condition) for condition in conditions if handling(condition.config)}
    experiments = [condition for condition in conditions if family(condition) in families]
    rest = [condition for condition in conditions if family(condition) not in families]
    return rest or [condition for condition in experiments if not handling(condition.config)], experiments


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
        "What was done to which images, and what networks that were trained on them score: mean over seeds, 95% "
        f"interval over near-duplicate groups (n = {rows[0]['val_n']} validation and {rows[0]['test_n']} test images). "
        "A macro AUC of the probe: how well 20 global statistics of the training images' intensities tell the class, "
        "without any network, beside the same images without overlay."
    )
    items: list[Item] = [TableItem("leakage_handlings", caption, table)]
    majority = majority_accuracy(experiments[0].part("test"))
    if figure := leakage(pd.concat([_runs(one) for one in experiments]), paper_points(), majority):
        items.append(figure)
    items += verdicts(rows)
    intro = (
        "The paper's four networks reach 0.58 to 0.97 on validation images and 0.49 to 0.61 on test images, with test "
        "losses above ln 3. Which handling of the data does that to a network? Each row is the same network, trained "
        "alike, on the same images."
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


def verdicts(rows: list[dict[str, object]]) -> list[Note]:
    """Say which handlings the numbers allow as an explanation of the paper's gap, and which they rule out.

    A handling is allowed when the intervals of its validation and of its test accuracy meet those of the paper's
    residual networks (Wilson's, for 79 and 156 images), and its test loss is above ln 3, as all of the paper's are.
    """
    residual = paper_points().query("model != 'AlexNet'")
    val = _range(residual["val_accuracy"], paper.VALIDATION_IMAGES)
    test = _range(residual["test_accuracy"], paper.TEST_IMAGES)
    allowed, excluded = [], []
    for row in rows:
        name = f"{row['handling'] or 'nothing'} ({row['split']} split)"
        against = []
        if not _meets(row, "val", *val):
            against.append(f"validation accuracy {row['val_value']:.2f}")
        if not _meets(row, "test", *test):
            against.append(f"test accuracy {row['test_value']:.2f}")
        if not float(str(row["test_loss"])) > math.log(3):
            against.append(f"test loss {row['test_loss']:.2f}")
        if against:
            excluded.append(f"{name}: {', '.join(against)}")
        else:
            allowed.append(name)
    rule = (
        f"The paper's residual networks have validation accuracies whose 95% intervals (Wilson) span {val[0]:.2f} to "
        f"{val[1]:.2f}, test accuracies of {test[0]:.2f} to {test[1]:.2f}, and test losses above ln 3 = "
        f"{math.log(3):.2f}."
    )
    fit = f"Our numbers allow: {'; '.join(allowed)}." if allowed else "No handling that was run gives all three."
    caution = "This shows what could have happened, not what did."
    notes = [Note(f"{rule} {fit} {caution}", "good" if allowed else "warning")]
    if excluded:
        notes.append(Note(f"Ruled out, at these sizes and epochs, by what does not fit: {'; '.join(excluded)}."))
    return notes


def _range(accuracies: pd.Series, images: int) -> tuple[float, float]:
    """Span the intervals of some accuracies."""
    intervals = [wilson(round(accuracy * images), images) for accuracy in accuracies]
    return min(low for low, _ in intervals), max(high for _, high in intervals)


def _meets(row: dict[str, object], part: str, low: float, high: float) -> bool:
    own_low, own_high = (float(str(row[f"{part}_{end}"])) for end in ("low", "high"))
    return own_low <= high and own_high >= low


def _on(parts: list[str]) -> str:
    return "all images" if set(parts) == set(_PARTS) else " and ".join(_PARTS[part] for part in parts)


def _row(condition: Condition, validation: pd.DataFrame, test: pd.DataFrame) -> dict[str, object]:
    status = condition.runs[0].status
    row: dict[str, object] = {
        "model": paper.NAMES.get(condition.model, condition.model),
        "handling": handling(condition.config),
        "split": condition.config.data.split.method,
        "seeds": len(condition.runs),
        "test_loss": value_of(test, "log_loss"),
        "probe": status.get("probe_auc"),
        "probe_without": status.get("probe_auc_without_overlay"),
    }
    for part, summary in (("val", validation), ("test", test)):
        row |= {f"{part}_{key}": value_of(summary, "accuracy", key) for key in ("value", "low", "high")}
        row[f"{part}_n"] = int(summary["n"].max()) if len(summary) else 0
    return row


def _written(row: dict[str, object]) -> dict[str, object]:
    probe = f"{row['probe']:.2f} ({row['probe_without']:.2f} without)" if row["probe"] else "-"
    return {
        "network": row["model"],
        "done to the images": row["handling"] or "nothing",
        "split": row["split"],
        "seeds": row["seeds"],
        "validation accuracy": estimate(row["val_value"], row["val_low"], row["val_high"]),  # type: ignore[arg-type]
        "test accuracy": estimate(row["test_value"], row["test_low"], row["test_high"]),  # type: ignore[arg-type]
        "test loss": f"{row['test_loss']:.2f}",
        "macro AUC of the probe": probe,
    }


def _paper_rows() -> list[dict[str, object]]:
    return [
        {
            "network": f"{row.model}, the paper",
            "done to the images": "not said in full",
            "split": "random",
            "seeds": "not said",
            "validation accuracy": f"{row.val_accuracy:.3f}",
            "test accuracy": f"{row.test_accuracy:.3f}",
            "test loss": f"{row.test_loss:.2f}",
            "macro AUC of the probe": "-",
        }
        for row in paper_points().itertuples()
    ]


def _runs(condition: Condition) -> pd.DataFrame:
    """Make a row per run, for the picture."""
    rows = []
    for run in condition.runs:
        scores = run.metrics
        rows.append(
            {
                "handling": handling(condition.config) or "nothing",
                "split": condition.config.data.split.method,
                "seed": condition.config.seed,
                "val_accuracy": scores.get("val", {}).get("accuracy"),
                "test_accuracy": scores.get("test", {}).get("accuracy"),
                "test_loss": scores.get("test", {}).get("loss"),
            }
        )
    return pd.DataFrame(rows)
