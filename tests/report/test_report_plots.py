"""Figures of a report: what they draw is what the cases say, and nothing that a report may hold breaks them."""

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from drawn_conditions import CLASSES, classified, condition, lines, panel, segmented
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as reference_curve

from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.report.figures.forest import by_class_and_size, forest
from bus_lightning.report.figures.history import history
from bus_lightning.report.figures.inputs import labels_of, usable
from bus_lightning.report.figures.predictions import THRESHOLDS, confusion, decision_curve, reliability
from bus_lightning.report.figures.roc import GRID, roc, roc_curves
from bus_lightning.report.figures.style import color_of, colors_of, columns_for
from bus_lightning.runs.folder import RunDir
from bus_lightning.statistics.intervals import percentile_interval
from bus_lightning.statistics.summary import draws_of

SIZES = pd.Series({f"{number}": 0.0 if number % 3 == 2 else 0.01 * (number + 1) for number in range(60)})
DRAWS = 50


def sized(conditions):
    return {each.name: (SIZES, SIZES) for each in conditions}


FIGURES = [
    lambda conditions: roc(conditions, "test", DRAWS),
    lambda conditions: confusion(conditions, "test"),
    lambda conditions: reliability(conditions, "test"),
    lambda conditions: decision_curve(conditions, "test", DRAWS),
    lambda conditions: by_class_and_size(conditions, sized(conditions), "test", DRAWS),
]


def test_roc_figure_draws_the_rates_and_areas_of_scikit_learn():
    cases = classified()
    (item,) = roc([condition(cases=cases)], "test", DRAWS)
    truth = cases["label"] == "malignant"
    axes = panel(item, "malignant against rest")
    (curve,) = lines(axes, linestyle="-")
    area = roc_auc_score(truth, cases["prob_malignant"])
    fpr, tpr, _ = reference_curve(truth, cases["prob_malignant"], drop_intermediate=False)
    points = np.isin(GRID.round(9), fpr.round(9))
    expected = [tpr[fpr.round(9) == rate.round(9)].max() for rate in GRID[points]]
    np.testing.assert_allclose(curve.get_ydata()[1:][points], expected)
    assert axes.get_legend().get_texts()[0].get_text().startswith(f"{area:.2f} (")
    assert "n = 60 test images" in item.caption


def test_areas_and_their_intervals_are_those_of_the_tables():
    cases = classified(replicates=2)
    drawn = draws_of(cases, DRAWS)
    curves = roc_curves(cases, DRAWS)
    for title, metric in (("macro mean of the classes", "auroc_macro"), ("normal against rest", "auroc_normal"),
                          ("malignant against benign", "malignant_vs_benign_auroc")):  # fmt: skip
        value = np.mean([metrics_of(table)[metric] for _, table in cases.groupby("replicate")])
        np.testing.assert_allclose(curves[title].auc, [value, *percentile_interval(drawn[metric])])


def test_replicates_are_averaged_in_a_roc_curve():
    cases = classified(replicates=2)
    alone = [roc_curves(table, 2)["benign against rest"].rates[0] for _, table in cases.groupby("replicate")]
    np.testing.assert_allclose(roc_curves(cases, 2)["benign against rest"].rates[0], np.mean(alone, axis=0))


def test_confusion_matrix_shows_counts_and_percentages_of_the_row_of_pooled_replicates():
    cases = classified(replicates=2)
    cases[[f"prob_{name}" for name in CLASSES]] = np.eye(3)[[0] * len(cases)]
    (item,) = confusion([condition(cases=cases)], "test")
    axes = panel(item, "resnet34")
    assert [text.get_text() for text in axes.texts] == ["40\n100%", "0\n0%", "0\n0%"] * 3
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [f"{name}\nn = 40" for name in CLASSES]
    assert "pooled" in item.caption


def test_reliability_shows_how_often_answers_are_right_and_the_error_of_the_tables():
    cases = classified(n=6)
    cases[[f"prob_{name}" for name in CLASSES]] = [[0.85, 0.15, 0], [0.05, 0.9, 0.05], [0.8, 0.1, 0.1]] * 2
    cases.loc[5, ["prob_benign", "prob_normal"]] = 0.25, 0.65
    cases.loc[5, "prob_malignant"] = 0.1
    (item,) = reliability([condition(cases=cases)], "test")
    upper, lower = item.figure.axes
    (points,) = lines(upper, marker="o")
    np.testing.assert_allclose(points.get_xdata(), [0.65, (2 * 0.85 + 0.8) / 3, 0.9])
    np.testing.assert_allclose(points.get_ydata(), [1, 2 / 3, 1])
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in lower.patches]
    np.testing.assert_allclose(bars, [(0.65, 1), (0.85, 3), (0.95, 2)])
    assert f"ECE {metrics_of(cases)['calibration_error']:.3f}" in upper.get_title()


def test_decision_curve_draws_the_model_and_both_simple_policies():
    cases = classified()
    (item,) = decision_curve([condition(cases=cases)], "test", DRAWS)
    (axes,) = item.figure.axes
    truth, treated = cases["label"] == "malignant", cases["prob_malignant"] >= 0.5
    half = np.flatnonzero(THRESHOLDS == 0.5)
    (model,) = lines(axes, label="resnet34")
    np.testing.assert_allclose(model.get_ydata()[half], [((treated & truth).sum() - (treated & ~truth).sum()) / 60])
    (everyone,) = lines(axes, label="_treat all")
    np.testing.assert_allclose(everyone.get_ydata()[half], 1 / 3 - 2 / 3, atol=1e-3)


def test_forest_draws_values_intervals_and_baseline_and_says_what_is_undefined():
    columns = ["metric", "value", "low", "high", "n"]
    first = pd.DataFrame([["accuracy", 0.7, 0.6, 0.8, 60], ["npv_macro", np.nan, np.nan, np.nan, 60]], columns=columns)
    second = pd.DataFrame([["accuracy", 0.5, np.nan, np.nan, 50], ["npv_macro", 0.4, 0.3, 0.5, 50]], columns=columns)
    metrics = ["accuracy", "npv_macro", "brier"]
    item = forest({"a": first, "b": second}, metrics, {"accuracy": 0.56})
    axes = panel(item, "accuracy")
    assert [(*line.get_xdata(), *line.get_ydata()) for line in lines(axes, label="_value")] == [(0.7, 0), (0.5, 1)]
    assert [tuple(line.get_xdata()) for line in lines(axes, label="_interval")] == [(0.6, 0.8)]
    assert lines(axes, label="_majority")[0].get_xdata()[0] == 0.56
    assert "undefined" in [text.get_text() for text in panel(item, "macro NPV").texts]
    assert "n = 50 to 60 images" in item.caption
    assert not [axes for axes in item.figure.axes if axes.get_title() == "Brier score"]


def test_classes_and_sizes_show_shares_of_right_answers_and_dice():
    cases = classified()
    both = [condition(cases=cases), condition("unet", segmented(), "segmentation")]
    answers, dice = by_class_and_size(both, sized(both), "test", 9)
    (points,) = lines(panel(answers, "by class"), marker="o")
    np.testing.assert_allclose(points.get_ydata(), [metrics_of(cases)[f"recall_{name}"] for name in CLASSES])
    classes = [tick.get_text() for tick in panel(dice, "by class").get_xticklabels()]
    assert classes == ["benign\nn = 20", "malignant\nn = 20"]
    third = segmented().assign(share=lambda table: table["id"].map(SIZES)).query("share > 0").nsmallest(14, "share")
    (points,) = lines(panel(dice, "by size"), marker="o")
    assert points.get_ydata()[0] == pytest.approx((2 * 60 / (2 * 60 + 30 + third["fp"])).mean())
    sizes = [tick.get_text() for tick in panel(dice, "by size").get_xticklabels()]
    assert [text.splitlines()[-1] for text in sizes] == ["n = 14", "n = 13", "n = 13"]


def test_scores_are_shown_by_size_also_where_a_label_shortens_the_name_of_a_condition():
    shortened = [condition("resnet34__data-busi__seed-all"), condition("alexnet__data-busi__seed-all")]
    (item,) = by_class_and_size(shortened, sized(shortened), "test", 9)
    assert "resnet34" in item.figure.legends[0].get_texts()[0].get_text()
    assert [axes.get_title() for axes in item.figure.axes] == [
        "by class", "by size of the lesion\n(share of the image)", "by long axis (mm)"
    ]  # fmt: skip
    (bare,) = by_class_and_size(shortened, {}, "test", 9)
    assert ("size" in item.caption, "size" in bare.caption) == (True, False)


def test_titles_and_sizes_of_three_panels_do_not_touch():
    own = condition("unet", segmented(), "segmentation")
    (item,) = by_class_and_size([own], {"unet": (SIZES / 2, 60 * SIZES)}, "test", 9)
    renderer = FigureCanvasAgg(item.figure).get_renderer()
    item.figure.draw(renderer)
    titles = [axes.title for axes in item.figure.axes]
    ticks = [tick for axes in item.figure.axes for tick in axes.get_xticklabels()]
    for texts in (titles, ticks):
        boxes = [text.get_window_extent(renderer) for text in texts]
        assert all(left.x1 + 3 < right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize("draw", FIGURES)
def test_nothing_to_show_is_no_figure(draw):
    assert draw([]) == draw([condition(cases=classified().iloc[:0])]) == draw([condition(cases=pd.DataFrame())]) == []


def test_nothing_to_compare_is_no_figure(tmp_path):
    assert history([condition(runs=[RunDir(tmp_path)])]) == []
    assert forest({"a": pd.DataFrame(columns=["metric", "value", "low", "high", "n"])}, ["accuracy"]) is None


@pytest.mark.parametrize("draw", FIGURES)
@pytest.mark.parametrize("cases", [classified(1), classified().query("label != 'normal'"), classified(3)])
def test_a_single_case_and_a_missing_class_can_be_drawn(draw, cases):
    for item in draw([condition(cases=cases), condition("unet", segmented(1), "segmentation")]):
        item.figure.draw_without_rendering()
        assert "n = " in item.caption


def test_rows_with_gaps_do_not_count():
    cases = classified()
    gaps = classified(n=3).assign(id=["x", "y", "z"])
    gaps.loc[0, "prob_benign"], gaps.loc[1, "label"], gaps.loc[2, "label"] = np.nan, None, "cyst"
    rows = usable(condition(cases=pd.concat([cases, gaps])), "test")
    pd.testing.assert_frame_equal(rows, cases)


@pytest.mark.parametrize("draw", FIGURES)
def test_words_can_be_read_and_no_more_than_six_models_share_a_figure(draw):
    before = dict(mpl.rcParams)
    items = draw([condition(f"model{number}") for number in range(7)])
    assert len({item.slug for item in items}) == 2
    for item in items:
        item.figure.draw_without_rendering()
        words = [text for text in item.figure.findobj(Text) if text.get_text() and text.get_visible()]
        assert min(text.get_fontsize() for text in words) >= 8
        assert item.figure.get_figwidth() <= 7
        assert "model" in item.alt or "benign" in item.alt
    assert dict(mpl.rcParams) == before


def test_a_name_keeps_its_colour_and_six_together_differ():
    names = [f"model{number}" for number in range(20)]
    # The same in every process and next to any other name: readers compare the figures of several reports.
    assert [color_of(name) for name in names[:4]] == ["#CC79A7", "#D55E00", "#D55E00", "#56B4E9"]
    assert colors_of(["model3"])["model3"] == colors_of(["alexnet", "model3"])["model3"] == "#56B4E9"
    colors = colors_of([*names, "resnet50", "alexnet"])
    assert all(len({colors[name] for name in names[start : start + 6]}) == 6 for start in (0, 6, 12))
    assert colors["resnet50"] == color_of("resnet50")


def test_labels_name_what_differs_between_conditions():
    names = ["a__lr-0.1__data.split.method-random", "a__lr-0.1__data.split.method-grouped"]
    assert list(labels_of([condition(name) for name in names]).values()) == ["method-random", "method-grouped"]
    assert list(labels_of([condition(name) for name in (*names, "b__lr-0.1")]).values())[2] == "b"
    same = ["a__x.lr-1", "a__y.lr-1"]
    assert list(labels_of([condition(name) for name in same]).values()) == same


def test_panels_leave_as_few_gaps_as_their_rows_allow():
    assert [columns_for(count, 3) for count in range(1, 8)] == [1, 2, 3, 2, 3, 3, 3]
    assert columns_for(7, 4) == 4
