"""The section that says how sure the numbers are: variance over images, trainings and splits, and sample size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bus_lightning.metrics.catalogue import COMPARED, shown_in, title_of
from bus_lightning.report.ensemble_items import count_runs
from bus_lightning.report.estimates import estimate
from bus_lightning.report.extension import Evidence
from bus_lightning.report.figures.inputs import labels_of, span
from bus_lightning.report.figures.sample_size import sample_size_figure
from bus_lightning.report.figures.variance import variance_figure
from bus_lightning.report.sections import Item, Note, Section, TableItem, fold
from bus_lightning.statistics.conditions import Condition, of_task
from bus_lightning.statistics.parallel import call_in_parallel
from bus_lightning.statistics.sample_size import DIFFERENCES, images_needed, smallest_difference
from bus_lightning.statistics.summary import value_of
from bus_lightning.statistics.variance import Spread, spread_of

_LEAST = 1e-6  # standard error: a smaller one is rounding, of a score that no draw changes
# Per task: the metrics that conditions are compared by, and those of missed and of false findings.
_METRICS = {
    "classification": (*shown_in(COMPARED, "classification"), "recall_malignant", "specificity_malignant"),
    "segmentation": (*shown_in(COMPARED, "segmentation"), "missed_rate", "false_alarm_rate"),
}


@dataclass(frozen=True)
class Power:
    """What a number of images can show.

    Attributes:
        metric: Key of the metric.
        of: What is compared.
        number: Conditions, or pairs of them.
        images: Numbers of images.
        ses: Standard errors, one of each condition or pair.
    """

    metric: str
    of: str
    number: int
    images: list[int]
    ses: list[float]

    @property
    def median(self) -> tuple[float, int]:
        """The median standard error, and the number of images that has it."""
        place = int(np.argsort(self.ses)[(len(self.ses) - 1) // 2])
        return self.ses[place], self.images[place]


def certainty_section(evidence: Evidence) -> Section | None:
    """Report how much scores vary with images, trainings and splits, and which differences the images can show.

    Returns:
        The section; None if no condition has test images.

    References:
        STARD 2015 (BMJ 351 (2015) h5527), item 18: sample size. Bouthillier et al., "Accounting for variance in machine
        learning benchmarks", MLSys 2021.
    """
    items: list[Item] = []
    for task in _METRICS:
        items += _variance_items(task, evidence)
    powers = {task: _powers(task, evidence) for task in _METRICS}
    items += [*_power_table(powers), *sample_size_figure({task: _drawn(own) for task, own in powers.items() if own})]
    intro = (
        "An interval of this report says how much a number would change with other test images. Another training, and "
        "another split, change it too. If the images are the largest source, more images make a result more precise; "
        "otherwise more runs do."
    )
    return Section("How sure the numbers are", intro, items) if items else None


def _variance_items(task: str, evidence: Evidence) -> list[Item]:
    summaries = evidence.summaries.get(task, {}).get("test", {})
    conditions = [each for each in of_task(evidence.main, task) if len(summaries.get(each.name, pd.DataFrame()))]
    if not conditions:
        return []
    labels = labels_of(conditions)
    metrics = list(shown_in(COMPARED, task))
    calls = [(condition, summaries[condition.name], metrics) for condition in conditions]
    spreads = call_in_parallel(spread_of, calls, sum(len(condition.cases) for condition in conditions))
    rows = [
        {"condition": labels[condition.name], **count_runs(condition, conditions)} | _variance_row(spread)
        for condition, own in zip(conditions, spreads, strict=True)
        for spread in own
    ]
    if not rows:
        return []
    caption = (
        f"{task.capitalize()}, test images: standard deviations (SD) of a score by their source. Images: of one "
        "training, bootstrap over groups. Trainings: runs with the same test images, which differ in the seed. Splits: "
        'the means of the runs of each split; "by images and trainings" is what that SD would be if the split itself '
        'had no effect, and "beyond" is what remains. Without a second seed, what trainings change is not known and '
        "remains, too. Folds share most of their training images, so their SD tends to be too small. In brackets: 95% "
        "intervals of the normal theory (chi-squared), which are wide with few runs."
    )
    table = TableItem(f"variance_{task}", caption, pd.DataFrame(rows))
    is_known = any(len(condition.runs) > 1 for condition in conditions)
    items: list[Item] = [table] if is_known else fold(f"{task.capitalize()}: what is known of single runs", [table])
    main = {labels[each.name]: own[0] for each, own in zip(conditions, spreads, strict=True) if own}
    items += filter(None, [variance_figure(main, task)])
    single = [labels[condition.name] for condition in conditions if condition.trainings == 1]
    if single:
        which = (
            f"{len(single)} of {len(conditions)} conditions {'has' if len(single) == 1 else 'have'}"
            if len(conditions) > 1
            else f"{single[0]} has"
        )
        items.append(Note(
            f"{task.capitalize()}: {which} a single run, so nothing is known of how another seed or split would change "
            "the result, and no interval covers it. `sweep=seeds` or `sweep=folds` train more.", "warning",
        ))  # fmt: skip
    return items


def _variance_row(spread: Spread) -> dict[str, object]:
    runs = f"{spread.seed_runs} runs of {spread.seed_sets} test set{'s' * (spread.seed_sets != 1)}"
    row: dict[str, object] = {
        "score": title_of(spread.metric),
        "SD over images": estimate(spread.images),
        "SD over trainings": f"{estimate(*spread.seeds)}, {runs}" if spread.seed_runs else "not known: no second seed",
    }
    if spread.split_sets > 1:
        row["SD over splits"] = f"{estimate(*spread.splits)}, {spread.split_sets} splits"
        row["by images and trainings"] = estimate(spread.expected) + " (images alone)" * (not spread.seed_runs)
        row["beyond"] = estimate(spread.beyond) + " (with trainings)" * (not spread.seed_runs)
    else:
        row |= {"SD over splits": "not known: one split", "by images and trainings": "-", "beyond": "-"}
    return row


def _powers(task: str, evidence: Evidence) -> list[Power]:
    """Collect the standard errors of single conditions and of paired differences, by metric."""
    summaries = evidence.summaries.get(task, {}).get("test", {})
    conditions: Sequence[Condition] = [each for each in of_task(evidence.main, task) if each.name in summaries]
    compared = evidence.comparisons
    pairs = compared[(compared["task"] == task) & compared["se"].notna()] if len(compared) else compared
    powers = []
    for metric in _METRICS[task]:
        known = [
            (se, int(value_of(summaries[each.name], metric, "n")))
            for each in conditions
            if (se := value_of(summaries[each.name], metric, "se")) > _LEAST
        ]
        if known:
            ses, images = (list(values) for values in zip(*known, strict=True))
            powers.append(Power(metric, "one condition, against a fixed value", len(known), images, ses))
        own = pairs[(pairs["metric"] == metric) & (pairs["se"] > _LEAST)] if len(pairs) else pairs
        if len(own):
            powers.append(Power(metric, "two conditions, on the same images", len(own), own["n"].tolist(),
                                own["se"].tolist()))  # fmt: skip
    return powers


def _power_table(powers: Mapping[str, list[Power]]) -> list[Item]:
    rows = []
    for task, own in powers.items():
        for power in own:
            se, n = power.median
            differences = [smallest_difference(each) for each in power.ses]
            text = f"{smallest_difference(se):.3f}"
            if len(differences) > 1:
                text += f" ({min(differences):.3f} to {max(differences):.3f})"
            row: dict[str, object] = {"task": task, "score": title_of(power.metric), "compared": power.of}
            row |= {"conditions or pairs": power.number, "n": span(power.images), "standard error": f"{se:.4f}"}
            row["smallest difference that n shows"] = text
            rows.append(row | {f"images needed for {each:.2f}": images_needed(se, n, each) for each in DIFFERENCES})
    if not rows:
        return []
    caption = (
        "What the test images can show: the smallest true difference that a two-sided test at 5% finds with 80% power "
        "(2.80 standard errors, normal approximation; Julious 2004), median and range over the conditions or pairs, "
        "and the number of images that a difference of 0.02 or 0.05 needs at the median standard error, in groups like "
        "these. The standard error is that of the bootstrap over groups; that of a pair contains how often the two "
        "disagree, as in McNemar's test (Connor 1987). It is about the networks as trained, for one comparison without "
        "Holm's adjustment. A smaller difference that was not found may exist."
    )
    return [TableItem("sample_size", caption, pd.DataFrame(rows))]


def _drawn(powers: Sequence[Power]) -> dict[str, tuple[float, int]]:
    """Choose the rows of the figure: pairs where there are any, else single conditions."""
    paired = [power for power in powers if power.of.startswith("two")]
    return {title_of(power.metric): power.median for power in paired or powers}
