"""The sections of one task: scores, comparisons and figures."""

from collections.abc import Mapping

import pandas as pd

from bus_lightning.metrics.catalogue import COMPARED as COMPARED_IN_REPORT
from bus_lightning.metrics.catalogue import REPORT, shown_in, title_of
from bus_lightning.metrics.majority import majority_accuracy
from bus_lightning.report.condition_options import option_items
from bus_lightning.report.ensemble_items import count_runs
from bus_lightning.report.estimates import Summaries, estimate, metric_row, write_p, write_score
from bus_lightning.report.extension import Evidence
from bus_lightning.report.figures.forest import by_class_and_size, forest
from bus_lightning.report.figures.inputs import labels_of
from bus_lightning.report.figures.pictures import segmentations, worst_errors
from bus_lightning.report.figures.predictions import confusion
from bus_lightning.report.figures.roc import roc
from bus_lightning.report.lesion_sizes import lesion_sizes
from bus_lightning.report.millimetre_items import millimetre_items
from bus_lightning.report.sections import Item, Note, Section, TableItem, fold
from bus_lightning.statistics.comparisons import NOT_COMPARED
from bus_lightning.statistics.conditions import Condition, of_task
from bus_lightning.statistics.intervals import wilson
from bus_lightning.statistics.summary import COLUMNS

# What stands in the tables of a task; every other metric is in the table of all.
CLASSIFICATION, SEGMENTATION = shown_in(REPORT, "classification"), shown_in(REPORT, "segmentation")
COMPARED = {task: shown_in(COMPARED_IN_REPORT, task) for task in ("classification", "segmentation")}


def in_short(main: list[Condition], summaries: dict[str, dict[str, Summaries]], compared: pd.DataFrame) -> Section:
    """Give the main result first: the main score of each condition, and how many differ.

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
            summary = test[condition.name].set_index("metric")
            row: dict[str, object] = {"condition": labels[condition.name], **count_runs(condition, own)}
            row |= {title_of(name): write_score(summary.loc[name]) for name in shown} | {"n": int(summary["n"].max())}
            if task == "classification":
                row["always the most frequent"] = f"{majority_accuracy(condition.part('test')):.3f}"
            rows.append(row)
        caption = f"{task.capitalize()} of test images: value and 95% interval."
        items.append(TableItem(f"in_short_{task}", caption, pd.DataFrame(rows)))
        pairs = compared[(compared["task"] == task) & (compared["metric"] == metric)] if len(compared) else compared
        pairs = pairs[pairs["verdict"] != NOT_COMPARED] if len(pairs) else pairs
        better = [verdict for verdict in pairs.get("verdict", []) if "better" in verdict]
        if len(pairs):
            number = f"{len(better)} of {len(pairs)} pairs" if len(pairs) > 1 else f"{len(better)} of 1 pair"
            verb = "differs" if len(better) == 1 else "differ"
            text = f"{number} {verb} in {title_of(metric)} by more than chance"
            items.append(Note(f"{text} (paired bootstrap over groups, adjusted by Holm)."))
    return Section("In short", "", [*items, *option_items(main)])


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
        f"macro AUC {write_score(auc)}, where chance gives 0.5; accuracy {write_score(accuracy)}, where always "
        f"predicting '{cases['label'].mode()[0]}' gives {majority:.3f}."
    )
    if len(own) > 1:
        text += " It is called the best by this very score, which is therefore too optimistic"
        several = len({(each.files, frozenset(each.part("test")["id"])) for each in own}) > 1
        text += ", and some of the others were tested on other images." if several else "."
    return Note(text, "good" if is_better else "plain")


def task_section(task: str, evidence: Evidence) -> Section | None:
    """Report the scores, comparisons and figures of a task; pictures only of the condition that represents its model.

    Args:
        task: classification or segmentation.
        evidence: From the report's runs.

    Returns:
        The section; None if no condition has this task.
    """
    conditions, summaries = of_task(evidence.main, task), evidence.summaries[task]
    if not conditions:
        return None
    classifies = task == "classification"
    columns = CLASSIFICATION if classifies else SEGMENTATION
    parts = [part for part in ("test", "val") if any(len(condition.part(part)) for condition in conditions)]
    scores = {part: _scores(conditions, summaries[part], part, columns, task) for part in parts}
    items: list[Item] = [scores["test"]] if "test" in scores else []
    labels = labels_of(conditions)
    test = {labels[each.name]: own for each in conditions if len(own := summaries["test"][each.name])}
    if classifies:
        items += _flat_intervals(conditions, summaries["test"])
    majorities = {majority_accuracy(condition.part("test")) for condition in conditions if classifies}
    majority = majorities.pop() if len(majorities) == 1 else None  # other test images have another line
    if figure := forest(test, columns, {"accuracy": majority} if majority else {}):
        figure.slug = f"forest_{task}"
        items.append(figure)
    if not classifies:
        items += millimetre_items(conditions, summaries["test"], "test")
    items += _comparison_items(evidence.comparisons, task, labels)
    by_class = by_class_and_size(conditions, lesion_sizes(conditions), "test")
    pictured = of_task(evidence.by_model.values(), task)
    if classifies:
        items += [*roc(conditions, "test"), *confusion(conditions, "test"), *by_class]
        items += filter(None, map(worst_errors, pictured))
    else:
        items += [*filter(None, map(segmentations, pictured)), *by_class]
    if "val" in scores:
        of_classes = [*roc(conditions, "val"), *confusion(conditions, "val")] if classifies else []
        of_masks = [] if classifies else millimetre_items(conditions, summaries["val"], "val")
        items += fold("Validation images", [scores["val"], *of_classes, *of_masks])
    items += fold("Every metric", [_all_metrics(conditions, summaries, task)])
    intro = (
        "Every number has its 95% interval in brackets: bootstrap over groups (near-duplicates, and the images of a "
        "patient) with 2,000 draws. Groups are drawn within each class; if many patients have several classes, fewer "
        "groups are drawn, from all of them, so that few patients give a wider interval. The interval shows how much "
        "other images would change the number. "
        "How much another training would change it is the standard deviation over runs, if there are several."
    )
    return Section(task.capitalize(), intro, items)


def _flat_intervals(conditions: list[Condition], test: Summaries) -> list[Item]:
    """Name the classifiers whose accuracy has an interval without width, which says nothing about its uncertainty."""
    labels = labels_of(conditions)
    flat = []
    for condition in conditions:
        row = metric_row(test[condition.name], "accuracy")
        if row and not row["reason"] and row["high"] - row["low"] < 1e-9:
            flat.append(labels[condition.name])
    if not flat:
        return []
    text = (
        f"The interval of the accuracy has no width for {', '.join(flat)}: groups are drawn within each class, and in "
        "each class all predictions are right or all are wrong. That is no certainty; Wilson's interval is in the "
        "last columns of the table."
    )
    return [Note(text, "warning")]


def _scores(conditions: list[Condition], summaries: Summaries, part: str, columns: tuple[str, ...],
            task: str) -> TableItem:  # fmt: skip
    rows, labels = [], labels_of(conditions)
    main_metric = "accuracy" if task == "classification" else "dice_image"
    for condition in conditions:
        if summaries[condition.name].empty:
            continue
        summary = summaries[condition.name].set_index("metric")
        n = int(summary["n"].max())
        row: dict[str, object] = {"condition": labels[condition.name], **count_runs(condition, conditions), "n": n}
        if task == "classification":
            row["always the most frequent"] = f"{majority_accuracy(condition.part(part)):.3f}"
        for metric in columns:
            row[title_of(metric)] = write_score(summary.loc[metric]) if metric in summary.index else "not in cases.csv"
        if task == "classification":
            correct = round(float(summary.loc["accuracy", "value"]) * n)
            row["Wilson, for independent images"] = "{:.3f} to {:.3f}".format(*wilson(correct, n))
        if summary["sd_of_runs"].notna().any():
            row["SD over runs"] = f"{summary.loc[main_metric, 'sd_of_runs']:.3f} ({title_of(main_metric)})"
        rows.append(row)
    name = "Validation" if part == "val" else "Test"
    note = " These images chose the epoch, so the values are optimistic." if part == "val" else ""
    return TableItem(f"{task}_{part}", f"{name} images: value and 95% interval.{note}", pd.DataFrame(rows).fillna("-"))


def _all_metrics(conditions: list[Condition], summaries: dict[str, Summaries], task: str) -> TableItem:
    tables = [
        table.assign(condition=condition.name, part=part)
        for condition in conditions
        for part in ("val", "test")
        if len(table := summaries[part][condition.name])
    ]
    table = pd.concat(tables, ignore_index=True)[["condition", "part", *COLUMNS]]
    numbers = ["value", "low", "high", "se", "se_of_one", "mean_of_runs", "sd_of_runs"]
    table[numbers] = table[numbers].round(8)  # the page rounds again: with few digits, 0.82946 would become 0.830
    return TableItem(f"{task}_all_metrics", "Every metric of every condition; null: undefined, with the reason.", table)


def _comparison_items(comparisons: pd.DataFrame, task: str, labels: Mapping[str, str]) -> list[Item]:
    if comparisons.empty or not len(rows := comparisons[comparisons["task"] == task]):
        return []
    without = int((rows["verdict"] == NOT_COMPARED).sum())
    rows = rows[rows["verdict"] != NOT_COMPARED]
    if rows.empty:
        pairs = f"None of {without} comparisons" if without > 1 else "The one comparison"
        text = f"{pairs} of two conditions could {'' if without > 1 else 'not '}be made: they lack shared images, "
        return [Note(f"{text}classes or data.")]
    tests = [name for name in ("mcnemar_p", "delong_p", "wilcoxon_p") if name in rows and rows[name].notna().any()]
    table = pd.DataFrame(
        {
            "A": rows["a"].map(labels),
            "B": rows["b"].map(labels),
            "metric": rows["metric"].map(title_of),
            "n": rows["n"],
            "A minus B": [estimate(*values) for values in rows[["difference", "low", "high"]].itertuples(index=False)],
            "p, bootstrap": rows["p"].map(write_p),
            "p, adjusted (Holm)": rows["p_holm"].map(write_p),
            "n, one of each group": rows["n_independent"],
            **{f"p, {name.removesuffix('_p')}": rows[name].map(write_p) for name in tests},
            "verdict": rows["verdict"],
        }
    )
    caption = (
        "Two conditions on the same test images. The verdict follows the paired bootstrap over groups, "
        "adjusted by Holm for all comparisons by the same metric, not for several metrics. The intervals are not "
        "adjusted, so one can exclude 0 although the two conditions cannot be told apart. Next to the p of the "
        "bootstrap are those of standard tests of one image per group and the first seed, not adjusted: McNemar "
        "(correct or wrong), DeLong (AUC of malignant against the rest), Wilcoxon (Dice per image)."
    )
    apart = (rows["verdict"] == "cannot be told apart").sum()
    number = f"In {apart} of {len(rows)} comparisons" if len(rows) > 1 else f"In {apart} of 1 comparison"
    text = f"{number}, the two conditions cannot be told apart; that does not show that they are equal."
    more = "1 more was" if without == 1 else f"{without} more were"
    missing = f" {more} not made: shared images, classes or data are lacking." if without else ""
    return [TableItem(f"comparisons_{task}", caption, table), Note(text + missing)]
