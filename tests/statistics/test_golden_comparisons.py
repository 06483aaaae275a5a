"""Comparisons, intervals and checks, each compared with another computation: pair by pair, draw by draw."""

import math

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from scipy.stats import binomtest, norm, wilcoxon
from test_golden_numbers import CLASSES, answers

from bus_lightning.data.splits import make_named_split
from bus_lightning.metrics.catalogue import BY_TASK
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.statistics import comparisons, paired_bootstrap
from bus_lightning.statistics.checks import find_problems
from bus_lightning.statistics.comparisons import compare, compare_all
from bus_lightning.statistics.conditions import Condition, read_group
from bus_lightning.statistics.delong import delong
from bus_lightning.statistics.intervals import group_draws, percentile_interval
from bus_lightning.statistics.summary import draws_of, summarise, value_of


def test_draws_are_two_thousand_of_seed_zero():
    groups, strata = [3, 1, 1, 7, 9], ["a", "b", "b", "a", "b"]
    draws = group_draws(groups, strata)[1]
    assert draws.shape == (2000, 4)
    assert (draws == group_draws(groups, strata, draws=2000, seed=0)[1]).all()


def placed(positive, score):
    """DeLong's structural components, from every pair of a positive and a negative case."""
    above = score[positive][:, None] - score[~positive][None]
    wins = (above > 0) + 0.5 * (above == 0)
    return wins.mean(), wins.mean(axis=1), wins.mean(axis=0)


def test_delong_is_what_every_pair_of_cases_gives():
    rng = np.random.default_rng(5)
    positive = np.arange(50) < 17
    first = (rng.normal(size=50) + positive).round(1)
    second = (0.6 * first + rng.normal(size=50) + 0.3 * positive).round(1)
    (auc_a, up_a, down_a), (auc_b, up_b, down_b) = placed(positive, first), placed(positive, second)
    contrast = np.array([1, -1])
    variance = contrast @ (np.cov([up_a, up_b]) / 17 + np.cov([down_a, down_b]) / 33) @ contrast
    error = math.sqrt(variance)
    result = delong(positive, first, second)
    expected = (auc_a, auc_b, auc_a - auc_b, (auc_a - auc_b) / error)
    assert (result.auc_a, result.auc_b, result.difference, result.z) == pytest.approx(expected)
    assert (result.low, result.high) == pytest.approx(
        (auc_a - auc_b - 1.959964 * error, auc_a - auc_b + 1.959964 * error)
    )
    assert result.p == pytest.approx(2 * (1 - norm.cdf(abs(expected[3]))))
    assert delong(positive, second, first).p == pytest.approx(result.p)
    alike = delong(positive, first, first**3)
    assert (alike.difference, alike.low, alike.high, alike.z, alike.p, alike.reason) == (0, 0, 0, 0, 1, "")
    assert (alike.auc_a, alike.auc_b) == pytest.approx((auc_a, auc_a))
    two = np.array([1, 1, 0, 0])
    assert delong(two, [4, 1, 2, 3], [1, 3, 2, 4]).reason == ""
    assert "at least two cases" in delong(two[:3], [4, 1, 2], [1, 3, 2]).reason


def condition(name, cases, task="segmentation", groups=None):
    size = len(cases)
    head = {"run": f"{name}__seed-0", "replicate": 0, "id": [f"{k:03}" for k in range(size)], "split": "test",
            "group": np.arange(size) if groups is None else groups}  # fmt: skip
    table = pd.DataFrame(head).assign(**{"label": "benign"} | dict(cases.reset_index(drop=True)))
    return Condition(name, name, task, CLASSES, OmegaConf.create({}), [], table)


def outlined(good):
    """Forty lesions and twenty normals, outlined well or badly in every respect."""
    n = np.arange(60)
    tp, fn = np.where(n < 40, 60 + n % 7, 0), np.where(n < 40, 5 + n % 3, 0)
    fp = np.where(n < 40, 4 + n % 5, n % 4 == 0)
    if not good:
        missed = n % 2 == 0
        tp, fn = np.where(missed, 0, tp // 3), np.where(n < 40, tp + fn - np.where(missed, 0, tp // 3), 0)
        fp = fp + 40 + n % 11
    table = pd.DataFrame({"tp": tp, "fp": fp, "fn": fn, "tn": 400 - tp - fp - fn})
    near = np.where(n < 40, 5.0 + n % 3, np.nan)
    return table.assign(hd95=near if good else near + 30, surface_dice=0.9 - n % 4 / 100 if good else 0.2 + n % 4 / 100)


def called(good):
    """Ninety images with sure predictions, one in ten wrong, or every second one: as each other class equally often."""
    n = np.arange(90)
    labels, wrong = n % 3, n % (10 if good else 2) == 0
    other = (labels + 1 + n // 6 % 2) % 3
    probabilities = np.full((90, 3), 0.01 if good else 0.05)
    probabilities[n, np.where(wrong, other, labels)] = 0.98 if good else 0.9
    table = pd.DataFrame(probabilities, columns=[f"prob_{name}" for name in CLASSES])
    return table.assign(label=[CLASSES[k] for k in labels])


@pytest.mark.parametrize(("task", "made"), [("segmentation", outlined), ("classification", called)])
def test_a_network_that_is_better_in_every_respect_is_called_better_by_every_metric(task, made):
    well, badly = condition("well", made(True), task), condition("badly", made(False), task)
    neutral = {metric.key for metric in BY_TASK[task] if not metric.better}
    names = [name for name in metrics_of(well.cases) if name not in {"n", "undefined", *neutral}]
    compared = {name: compare(well, badly, "test", name, draws=200) for name in names}
    assert [name for name in names if not compared[name].p < 0.05] == []
    assert {name for name in names if compared[name].difference < 0} == {*names} & comparisons.LOWER_IS_BETTER
    some = [names[0], *sorted({*names} & comparisons.LOWER_IS_BETTER)[:2]]
    for pair, verdict in (([well, badly], "A better"), ([badly, well], "B better")):
        assert set(compare_all(pair, "test", some, draws=200)["verdict"]) == {verdict}


def test_ten_shared_images_are_compared_and_nine_are_not():
    table = outlined(True)
    ten = condition("a", table.iloc[:10]), condition("b", outlined(False).iloc[:13])
    compared = compare(*ten, "test", "iou_image")
    assert (compared.n, compared.left_out, compared.reason) == (10, 3, "")
    few = compare(condition("a", table.iloc[:9]), ten[1], "test", "iou_image")
    assert (few.n, few.left_out) == (9, 4)
    assert few.reason == "they share 9 test images, fewer than 10"


@pytest.mark.parametrize(("number", "pairs"), [(8, 28), (9, 8)])
def test_eight_conditions_are_compared_in_all_pairs_and_nine_with_the_first(number, pairs):
    table = compare_all(
        [condition(f"c{k}", outlined(k % 2 == 0)) for k in range(number)], "test", "dice_image", draws=20
    )
    assert len(table) == pairs == table["comparisons"].iloc[0]


def test_a_p_equal_to_the_level_is_not_significant(monkeypatch):
    pair = [condition("a", outlined(True)), condition("b", outlined(False))]
    for p, verdict in ((0.05, "cannot be told apart"), (0.0499, "A better")):
        monkeypatch.setattr(paired_bootstrap, "two_sided_p", lambda _, p=p: p)
        assert compare_all(pair, "test", "iou_image", draws=20)["verdict"].tolist() == [verdict]
        text = compare_all(pair, "test", "iou_image", draws=20)["text"][0]
        assert f"p = {p:.3f} adjusted for 1 comparison." in text


def test_the_classical_tests_take_the_dice_and_the_right_answers_of_each_image():
    well, badly = (
        condition("well", outlined(True)),
        condition("badly", outlined(False).assign(fp=lambda t: t["fp"] // 2)),
    )
    compared = compare(well, badly, "test", "dice_image", draws=20)
    dice = [
        2 * t["tp"] / (2 * t["tp"] + t["fp"] + t["fn"])
        for t in (condition.cases.iloc[:40] for condition in (well, badly))
    ]
    assert compared.n_independent == 40
    assert compared.tests == {"wilcoxon": pytest.approx(wilcoxon(dice[0] - dice[1]).pvalue)}
    labels, first, _ = answers(60)
    second = answers(60, seed=8)[1]
    named = [
        condition(name, pd.DataFrame(table, columns=[f"prob_{c}" for c in CLASSES]).assign(
            label=[CLASSES[k] for k in labels]), "classification")
        for name, table in (("a", first), ("b", second))
    ]  # fmt: skip
    tests = compare(*named, "test", "accuracy", draws=20).tests
    right = [table.argmax(axis=1) == labels for table in (first, second)]
    only = (right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum()
    assert tests["mcnemar"] == pytest.approx(binomtest(only[0], sum(only)).pvalue)
    assert tests["delong"] == pytest.approx(delong(labels == 1, first[:, 1], second[:, 1]).p)


def test_the_cases_of_several_runs_have_consecutive_numbers(finished):
    runs = [finished("model=resnet34", f"seed={seed}") for seed in (0, 1)]
    (condition,) = read_group(runs[0].path.parent).conditions
    assert condition.cases.index.tolist() == list(range(120))
    assert condition.cases["replicate"].tolist() == [0] * 60 + [1] * 60


def test_conditions_are_sorted_by_task_and_then_by_name(finished):
    for model, name in (("unet", "a"), ("resnet34", "c"), ("alexnet", "b")):
        run = finished(f"model={model}", f"name={name}", "group=mixed")
    order = [(condition.task, condition.name) for condition in read_group(run.path.parent).conditions]
    assert order == [("classification", "b"), ("classification", "c"), ("segmentation", "a")]


def two_seeds():
    """Two replicates of the same images, some of them near-duplicates, as the cases of a condition."""
    tables = []
    for replicate in (0, 1):
        labels, probabilities, _ = answers(24, seed=replicate)
        table = pd.DataFrame(probabilities, columns=[f"prob_{name}" for name in CLASSES])
        head = {"run": f"r{replicate}", "replicate": replicate, "id": [f"{k:02}" for k in range(24)], "split": "test",
                "group": [100 - k // 2 if k < 10 else k for k in range(24)]}  # fmt: skip
        tables.append(table.assign(label=[CLASSES[k] for k in labels], **head))
    return pd.concat(tables, ignore_index=True)


def test_a_draw_is_the_metric_of_the_images_that_it_drew_averaged_over_seeds():
    cases = two_seeds()
    unique, drawn = group_draws(cases["group"].tolist(), cases["label"].tolist(), 12, seed=4)
    draws = draws_of(cases, 12, seed=4)
    for draw, multiplicity in enumerate(drawn.astype(int)):
        times = dict(zip(unique.tolist(), multiplicity.tolist(), strict=True))
        seeds = []
        for _, table in cases.groupby("replicate"):
            seeds.append(metrics_of(table.loc[table.index.repeat(table["group"].map(times))]))
        for name in ("accuracy", "auroc_macro", "brier", "calibration_error"):
            assert draws[name][draw] == pytest.approx(np.mean([metrics[name] for metrics in seeds]), abs=1e-6)


def test_a_summary_is_the_mean_over_seeds_with_the_middle_of_two_thousand_draws():
    cases = two_seeds()
    row = summarise(Condition("c", "m", "classification", CLASSES, OmegaConf.create({}), [], cases), "test")
    seeds = [metrics_of(table) for _, table in cases.groupby("replicate")]
    draws = draws_of(cases, 2000, seed=0)
    for name in ("accuracy", "log_loss", "auroc_malignant"):
        values = [metrics[name] for metrics in seeds]
        low, high = percentile_interval(draws[name])
        expected = {"value": np.mean(values), "low": low, "high": high, "n": 24, "runs": 2,
                    "mean_of_runs": np.mean(values), "sd_of_runs": np.std(values, ddof=1)}  # fmt: skip
        assert {column: value_of(row, name, column) for column in expected} == pytest.approx(expected)
        assert value_of(row, name) == pytest.approx(np.mean(values))
    assert math.isnan(value_of(row, "no such metric"))


def test_near_duplicates_are_counted_in_validation_and_test_in_the_run_with_the_most():
    groups = {f"benign/{k}": group for k, group in enumerate([1, 2, 3, 1, 5, 6, 2, 3])}
    ids = list(groups)
    few = make_named_split({"train": ids[:2], "val": ids[4:6], "test": ids[6:]}, "random", groups)
    many = make_named_split({"train": ids[:3], "val": ids[3:6], "test": ids[6:]}, "random", groups)
    cases = pd.concat([
        pd.DataFrame({"run": run, "replicate": 0, "id": split.part(part), "split": part, "label": "benign"})
        for run, split in (("few", few), ("many", many)) for part in ("val", "test")
    ])  # fmt: skip
    config = OmegaConf.create({"overlay": {"style": "none"}, "data": {"split": {}}, "trainer": {"max_epochs": 1}})
    condition = Condition("c", "m", "segmentation", ["benign"], config, [], cases, {"few": few, "many": many})
    texts = [problem.text for problem in find_problems([condition]) if problem.kind == "twins"]
    assert [text.partition(" images")[0] for text in texts] == ["1 of 3 val", "2 of 2 test"]
    assert [problem.kind for problem in find_problems([condition])] == ["twins", "twins"]


@pytest.mark.parametrize("parts", [("test",), ("val",), ("val", "test")])
def test_each_evaluated_part_is_checked_for_itself(parts):
    # Always benign, of which there are three in five: the majority, and no better.
    labels = ["benign"] * 6 + ["malignant"] * 3 + ["normal"]
    table = pd.DataFrame({"label": labels, "prob_benign": 0.4, "prob_malignant": 0.3, "prob_normal": 0.3})
    head = {"run": "r", "replicate": 0, "id": [str(k) for k in range(10)]}
    cases = pd.concat([table.assign(split=part, **head) for part in parts])
    split = make_named_split({"train": ["t"], "val": [], "test": []}, "random", {"t": 0})
    config = OmegaConf.create({"overlay": {"style": "none"}, "data": {"split": {}}, "trainer": {"max_epochs": 1}})
    condition = Condition("c", "m", "classification", CLASSES, config, [], cases, {"r": split})
    texts = [problem.text for problem in find_problems([condition]) if problem.kind == "baseline"]
    # Log-loss: ln(1 / 0.4) and ln(1 / 0.3) in the mean, 1.031, are better than ln 3.
    assert [text.partition(" images")[0].split()[-1] for text in texts] == list(parts)
    assert all("accuracy" in text and "(0.600)" in text for text in texts)
    even = Condition(
        "c", "m", "classification", CLASSES, config, [], cases.assign(prob_benign=0.3, prob_normal=0.4), {"r": split}
    )
    texts = [problem.text for problem in find_problems([even]) if "log-loss" in problem.text]
    assert [text.partition(" images")[0].split()[-1] for text in texts] == list(parts)
