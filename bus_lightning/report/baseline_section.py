"""The section of baselines: classifiers without a network, next to the networks."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bus_lightning.data.simple_statistics import STATISTICS
from bus_lightning.metrics.catalogue import title_of
from bus_lightning.metrics.majority import majority_accuracy
from bus_lightning.report.estimates import Summaries, estimate, metric_row, write_p, write_score
from bus_lightning.report.figures.forest import forest
from bus_lightning.report.figures.inputs import labels_of
from bus_lightning.report.sections import Item, Note, Section, TableItem, fold
from bus_lightning.statistics.baselines import baseline_conditions
from bus_lightning.statistics.comparisons import NOT_COMPARED, compare_all
from bus_lightning.statistics.conditions import Condition, of_task
from bus_lightning.statistics.summary import summarise

_METRICS = ("accuracy", "balanced_accuracy", "auroc_macro", "malignant_vs_benign_auroc")
_COMPARED = ["accuracy", "auroc_macro"]
_INTRO = (
    "Made by `evaluate.py baselines=true`: logistic regressions (scikit-learn, default regularisation, standardised "
    "features), fitted on the training images of the networks' splits and tested on the same test images. One sees "
    "twenty simple statistics of the image. The other sees only the size of the lesion in the ground truth: the "
    "logarithm of its share of the image, and whether there is a lesion. A new image has no ground truth, so this is "
    "an upper bound for what size alone tells; it knows the images without a lesion. Both depend on the split and not "
    "on a seed, so that each split counts once."
)


def baseline_section(conditions: list[Condition], test: Summaries, cache: Path | None = None) -> Section | None:
    """Show the baselines next to the networks, and the networks minus the baselines.

    Args:
        conditions: The conditions of the report.
        test: Name of a classifier's condition -> summary of its test images.
        cache: Folder that keeps summaries.

    Returns:
        The section; None if no run has baselines.
    """
    networks = [condition for condition in of_task(conditions, "classification") if not condition.is_cross_fitted]
    baselines = baseline_conditions(networks)
    if not baselines:
        return None
    labels = {each.name: each.name for each in baselines} | labels_of(networks)
    shown = {each.name: summarise(each, "test", cache) for each in baselines}
    shown |= {each.name: test[each.name] for each in networks}
    shown = {name: summary for name, summary in shown.items() if len(summary)}
    items: list[Item] = [_scores([*baselines, *networks], shown, labels)]
    if figure := forest({labels[name]: summary for name, summary in shown.items()}, _METRICS):
        figure.slug = "forest_baselines"
        items.append(figure)
    tables = [
        compare_all([*networks, baseline], "test", _COMPARED, reference=baseline.name, ensembles=False)
        for baseline in baselines
    ]
    items += _comparisons(pd.concat(tables, ignore_index=True), labels)
    rows = [{"statistic": name.replace("_", " "), "what it is": text} for name, text in STATISTICS.items()]
    caption = "The twenty statistics, of the image in grey levels from 0 to 1 with a longer side of 256 pixels."
    statistics = fold("The twenty statistics", [TableItem("baseline_statistics", caption, pd.DataFrame(rows))])
    return Section("Simple baselines", _INTRO, [*items, *statistics])


def _scores(conditions: list[Condition], shown: Summaries, labels: Mapping[str, str]) -> TableItem:
    rows = []
    for condition in conditions:
        if condition.name not in shown:
            continue
        cases = condition.part("test")
        row: dict[str, object] = {"classifier": labels[condition.name], "runs or splits": condition.trainings}
        row["n"] = cases["id"].nunique()
        row["always the most frequent"] = f"{majority_accuracy(cases):.3f}"
        for metric in _METRICS:
            row[title_of(metric)] = write_score(metric_row(shown[condition.name], metric))
        rows.append(row)
    caption = "Baselines and networks on test images: value and 95% interval."
    return TableItem("baselines_test", caption, pd.DataFrame(rows))


def _comparisons(compared: pd.DataFrame, labels: Mapping[str, str]) -> list[Item]:
    lacking = int((compared["verdict"] == NOT_COMPARED).sum())
    compared = compared[compared["verdict"] != NOT_COMPARED]
    missing = f"{lacking} comparison{'s' * (lacking > 1)} of a network with a baseline could not be made: shared test "
    notes: list[Item] = [Note(f"{missing}images or classes are lacking.")] if lacking else []
    if compared.empty:
        return notes
    table = pd.DataFrame(
        {
            "network": compared["a"].map(labels),
            "baseline": compared["b"].map(labels),
            "metric": compared["metric"].map(title_of),
            "n": compared["n"],
            "network minus baseline": [
                estimate(*values) for values in compared[["difference", "low", "high"]].itertuples(index=False)
            ],
            "p, adjusted (Holm)": compared["p_holm"].map(write_p),
            "verdict": compared["verdict"].replace({"A better": "network better", "B better": "baseline better"}),
        }
    )
    caption = (
        "Networks minus baselines on the same test images: paired bootstrap over groups, p adjusted by Holm for the "
        "comparisons with the same baseline by the same metric."
    )
    better, worse = (int((table["verdict"] == f"{side} better").sum()) for side in ("network", "baseline"))
    number = f"{better} of {len(table)} comparisons" if len(table) > 1 else f"{better} of 1 comparison"
    text = f"In {number}, the network is better than the baseline by more than chance."
    if worse:
        text += f" In {worse}, the baseline is better than the network by more than chance."
    return [TableItem("baselines_compared", caption, table), Note(text), *notes]
