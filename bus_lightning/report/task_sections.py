"""The sections of one task: its scores, comparisons and figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data.index import read_mask
from bus_lightning.metrics.catalogue import COMPARED as COMPARED_IN_REPORT
from bus_lightning.metrics.catalogue import REPORT, shown_in, title_of
from bus_lightning.metrics.majority import majority_accuracy
from bus_lightning.paper.tables import estimate
from bus_lightning.report.figures.answers import confusion, decision_curve, reliability
from bus_lightning.report.figures.data import labels_of
from bus_lightning.report.figures.forest import by_class_and_size, forest
from bus_lightning.report.figures.pictures import find_data, segmentations, worst_errors
from bus_lightning.report.figures.roc import roc
from bus_lightning.report.sections import Item, Note, Section, TableItem
from bus_lightning.statistics.conditions import Condition, of_task
from bus_lightning.statistics.intervals import wilson
from bus_lightning.statistics.summary import COLUMNS

Summaries = dict[str, pd.DataFrame]
# What stands in the tables of a task; every other metric is in the table of all.
CLASSIFICATION, SEGMENTATION = shown_in(REPORT, "classification"), shown_in(REPORT, "segmentation")
COMPARED = {task: shown_in(COMPARED_IN_REPORT, task) for task in ("classification", "segmentation")}


def in_short(main: list[Condition], summaries: dict[str, dict[str, Summaries]], compared: pd.DataFrame) -> Section:
    """Say first what came out: the main score of each condition, and what can be told apart.

    Args:
        main: The conditions.
        summaries: Task -> part -> name of a condition -> summary.
        compared: The comparisons of both tasks.
    """
    items: list[Item] = []
    for task, (metric, *_) in COMPARED.items():
        test = summaries[task]["test"]
        own = [condition for condition in of_task(main, task) if len(test[condition.name])]
        if not own:
            continue
        labels = labels_of(own)
        if task == "classification" and (best := _best_classifier(own, test, labels)):
            items.append(best)
        shown = [metric, "auroc_macro" if task == "classification" else "false_alarm_rate"]
        rows = []
        for condition in own:
            found = test[condition.name].set_index("metric")
            row: dict[str, object] = {"condition": labels[condition.name], "runs": len(condition.runs)}
            row |= {title_of(name): _cell(found.loc[name]) for name in shown} | {"n": int(found["n"].max())}
            if task == "classification":
                row["always the most frequent"] = f"{majority_accuracy(condition.part('test')):.3f}"
            rows.append(row)
        caption = f"{task.capitalize()} of test images: value and 95% interval."
        items.append(TableItem(f"in_short_{task}", caption, pd.DataFrame(rows)))
        pairs = compared[(compared["task"] == task) & (compared["metric"] == metric)] if len(compared) else compared
        pairs = pairs[pairs["verdict"] != "not compared"] if len(pairs) else pairs
        better = [verdict for verdict in pairs.get("verdict", []) if "better" in verdict]
        if len(pairs):
            text = f"{len(better)} of {len(pairs)} pairs differ in {title_of(metric)} by more than chance"
            items.append(Note(f"{text} (paired bootstrap over near-duplicate groups, adjusted by Holm)."))
    return Section("In short", "", items)


def _best_classifier(own: list[Condition], test: Summaries, labels: Mapping[str, str]) -> Note | None:
    """Name the classifier with the highest macro AUC on test images, and say whether it is better than chance.

    It is when both intervals lie above chance: that of the macro AUC above 0.5, that of the accuracy above the share of
    the most frequent class. None if the macro AUC is undefined for all classifiers.
    """
    scores = {condition.name: test[condition.name].set_index("metric") for condition in own}
    ranked = [condition for condition in own if not scores[condition.name].loc["auroc_macro", "reason"]]
    if not ranked:
        return None
    best = max(ranked, key=lambda condition: float(scores[condition.name].loc["auroc_macro", "value"]))
    auc, accuracy = (scores[best.name].loc[metric] for metric in ("auroc_macro", "accuracy"))
    cases = best.part("test")
    majority = majority_accuracy(cases) or 0.0
    is_better = bool(auc["low"] > 0.5 and accuracy["low"] > majority)
    verdict = "better" if is_better else "not clearly better"
    subject = f"The best of {len(own)} classifiers, {labels[best.name]}," if len(own) > 1 else labels[best.name]
    images = "synthetic test images" if best.config.data.get("phantom") else "test images"
    text = (
        f"{subject} is {verdict} than chance on {auc['n']:.0f} held-out {images}: "
        f"macro AUC {_cell(auc)}, where chance gives 0.5; accuracy {_cell(accuracy)}, where always answering "
        f"'{cases['label'].mode()[0]}' gives {majority:.3f}."
    )
    return Note(text, "good" if is_better else "plain")


def task_section(
    task: str,
    main: list[Condition],
    standing: dict[str, Condition],
    summaries: dict[str, Summaries],
    compared: pd.DataFrame,
) -> Section | None:
    """Tell all about the conditions of one task; pictures of images, of one condition for each model."""
    own = of_task(main, task)
    if not own:
        return None
    labels = labels_of(own)
    pictured = of_task(standing.values(), task)
    columns = CLASSIFICATION if task == "classification" else SEGMENTATION
    items: list[Item] = [
        _scores(own, summaries[part], part, columns, task) for part in ("test", "val") if _has_part(own, part)
    ]
    test = {
        condition.name: summaries["test"][condition.name] for condition in own if len(summaries["test"][condition.name])
    }
    majority = majority_accuracy(own[0].part("test")) if task == "classification" else None
    drawn = forest(test, columns, {"accuracy": majority} if majority else None)
    if drawn:
        drawn.slug = f"forest_{task}"
        items.append(drawn)
    items += _comparison_items(task, compared, labels)
    if task == "classification":
        for part in ("val", "test"):
            items += [*roc(own, part), *confusion(own, part)]
        items += [*reliability(own, "test"), *decision_curve(own, "test")]
    else:
        items += [figure for condition in pictured if (figure := segmentations(condition))]
    items += by_class_and_size(own, _lesion_shares(own), "test")
    if task == "classification":
        items += [figure for condition in pictured if (figure := worst_errors(condition))]
    items.append(_everything(own, summaries, task))
    intro = (
        "Every number with its 95% interval in brackets: bootstrap over near-duplicate groups, stratified by class, "
        "2,000 draws. It says what other images would change; what another training would change, the standard "
        "deviation over runs says, where there are several."
    )
    return Section(task.capitalize(), intro, items)


def _has_part(conditions: list[Condition], part: str) -> bool:
    return any(len(condition.part(part)) for condition in conditions)


def _scores(own: list[Condition], summaries: Summaries, part: str, columns: Sequence[str], task: str) -> TableItem:
    rows, labels = [], labels_of(own)
    for condition in own:
        summary = summaries[condition.name]
        if summary.empty:
            continue
        found = summary.set_index("metric")
        row: dict[str, object] = {"condition": labels[condition.name], "runs": len(condition.runs)}
        row["n"] = int(found["n"].max())
        if task == "classification":
            majority = majority_accuracy(condition.part(part))
            row["always the most frequent"] = f"{majority:.3f}"
        for metric in columns:
            row[title_of(metric)] = _cell(found.loc[metric]) if metric in found.index else "not in cases.csv"
        if task == "classification":
            right = round(float(found.loc["accuracy", "value"]) * int(found["n"].max()))
            row["Wilson, for independent images"] = "{:.3f} to {:.3f}".format(*wilson(right, int(found["n"].max())))
        if found["sd_of_runs"].notna().any():
            metric = "accuracy" if task == "classification" else "dice_image"
            row["SD over runs"] = f"{found.loc[metric, 'sd_of_runs']:.3f} ({title_of(metric)})"
        rows.append(row)
    name = "Validation" if part == "val" else "Test"
    kept = " The epoch was chosen by these images, so they flatter." if part == "val" else ""
    return TableItem(f"{task}_{part}", f"{name} images: value and 95% interval.{kept}", pd.DataFrame(rows).fillna("-"))


def _cell(row: pd.Series) -> str:
    return f"undefined: {row['reason']}" if row["reason"] else estimate(row["value"], row["low"], row["high"])


def _everything(own: list[Condition], summaries: dict[str, Summaries], task: str) -> TableItem:
    """List every metric of every condition, for whoever looks one up."""
    tables = [
        table.assign(condition=condition.name, part=part)
        for condition in own
        for part in ("val", "test")
        if len(table := summaries[part][condition.name])
    ]
    table = pd.concat(tables, ignore_index=True)[["condition", "part", *COLUMNS]]
    numbers = ["value", "low", "high", "mean_of_runs", "sd_of_runs"]
    table[numbers] = table[numbers].round(4)
    return TableItem(f"{task}_all_metrics", "Every metric of every condition; null has a reason.", table)


def _comparison_items(task: str, compared: pd.DataFrame, labels: Mapping[str, str]) -> list[Item]:
    if compared.empty or not len(own := compared[compared["task"] == task]):
        return []
    beside = [name for name in ("mcnemar_p", "delong_p", "wilcoxon_p") if name in own and own[name].notna().any()]
    table = pd.DataFrame(
        {
            "A": own["a"].map(labels),
            "B": own["b"].map(labels),
            "metric": own["metric"].map(title_of),
            "n": own["n"],
            "A minus B": [estimate(*values) for values in own[["difference", "low", "high"]].itertuples(index=False)],
            "p, bootstrap": own["p"].map("{:.3f}".format),
            "p, adjusted (Holm)": own["p_holm"].map("{:.3f}".format),
            "n, one of each group": own["n_independent"],
            **{f"p, {name.removesuffix('_p')}": own[name].map("{:.3f}".format) for name in beside},
            "verdict": own["verdict"],
        }
    )
    caption = (
        "Two conditions on the same test images. What counts is the paired bootstrap over near-duplicate groups, "
        "adjusted by Holm for the number of comparisons. Beside it, for who knows them, tests of one image per group "
        "and the first seed, not adjusted: McNemar (right or wrong), DeLong (AUC of malignant against the rest), "
        "Wilcoxon (Dice per image)."
    )
    apart = (own["verdict"] == "cannot be told apart").sum()
    return [
        TableItem(f"comparisons_{task}", caption, table),
        Note(f"{apart} of {len(own)} comparisons: cannot be told apart."),
    ]


def _lesion_shares(conditions: list[Condition]) -> pd.Series:
    """Measure the lesion's share of each test image; from the counts where there are some, else from the masks."""
    counted = [condition.part("test") for condition in conditions if "tp" in condition.cases]
    if counted:
        cases = pd.concat(counted).drop_duplicates("id").set_index("id")
        return (cases["tp"] + cases["fn"]) / cases[["tp", "fp", "fn", "tn"]].sum(axis=1)
    shares: dict[str, float] = {}
    for condition in conditions:
        if (data := find_data(condition.config)) is None:
            continue
        root, frame = data
        wanted = frame[frame["id"].isin(set(condition.part("test")["id"]) - shares.keys())]
        for row in wanted.itertuples():
            try:
                shares[row.id] = _share(root, row.masks)
            except UserError:  # a broken mask leaves a picture out, not a report
                continue
    return pd.Series(shares, dtype=float)


def _share(root: Path, masks: tuple[str, ...]) -> float:
    if not masks:
        return 0.0
    with Image.open(root / masks[0]) as first:
        width, height = first.size
    return float(read_mask(root, masks, (height, width)).mean())
