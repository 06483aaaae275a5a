"""The report shows corrupted images and baselines next to the networks, each compared on the same images."""

import json

import pandas as pd
import pytest
from omegaconf import OmegaConf
from statsmodels.stats.multitest import multipletests

from bus_lightning.data.splits import load_split
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.report.baseline_section import baseline_section
from bus_lightning.report.robustness_section import robustness_section
from bus_lightning.report.sections import Note
from bus_lightning.runs.baselines import write_baseline
from bus_lightning.runs.robustness import CLEAN, Level, RobustnessDir, corruption_values
from bus_lightning.statistics.baselines import baseline_conditions
from bus_lightning.statistics.checks import find_problems
from bus_lightning.statistics.conditions import of_task, read_group
from bus_lightning.statistics.paired_bootstrap import PairedBootstrap
from bus_lightning.statistics.robustness import compare_corrupted
from bus_lightning.statistics.summary import summarise
from bus_lightning.training.ensembles import evaluate_ensembles

PROBABILITIES = ["prob_benign", "prob_malignant", "prob_normal"]
LEVELS = (Level("blur", 2), Level("crop", 5))


def read_test_cases(run):
    cases = pd.read_csv(run.cases)
    return cases[cases["split"] == "test"].reset_index(drop=True)


def corrupt(run, levels=LEVELS):
    """Write the tables of a run whose predictions get worse: half of the malignant images are called benign."""
    folder, made_with = RobustnessDir(run.path / "robustness"), {"values": corruption_values()}
    folder.start(made_with)
    clean = read_test_cases(run)
    folder.write(CLEAN, clean, made_with)
    for level in levels:
        cases = clean.copy()
        if "tp" in cases:
            cases.loc[::2, ["tp", "fn"]] = cases.loc[::2, ["fn", "tp"]].to_numpy()
        else:
            worse = cases.index[cases["label"] == "malignant"][::2]
            cases.loc[worse, PROBABILITIES] = [0.9, 0.06, 0.04]
        folder.write(level, cases, made_with)


def baselines(run, sure=0.6):
    cases = pd.read_csv(run.cases)
    for name in ("statistics", "lesion_size"):
        weak = cases[["id", "split", "label"]].copy()
        for column in PROBABILITIES:
            right = weak["label"] == column.removeprefix("prob_")
            weak[column] = right.map({True: sure, False: (1 - sure) / 2})
        wrong = weak.index[::3]
        weak.loc[wrong, PROBABILITIES] = [0.4, 0.3, 0.3]
        write_baseline(run, name, weak)


def average(group):
    options = {"runs": f"{group}/*", "ensemble": "seeds", "part": "test", "split": None, "progress": False}
    evaluate_ensembles(OmegaConf.create(options | {"data": {"sets": {}, "root": None}}))


def test_corrupted_images_are_compared_with_themselves_as_they_are(finished, tmp_path):
    run = finished("model=alexnet", "name=alexnet", number=90)
    corrupt(run)
    (condition,) = read_group(tmp_path / "runs" / run.path.parent.name).conditions
    compared = compare_corrupted(condition, ["accuracy", "auroc_macro"], draws=200)
    assert [(each.level.corruption, each.level.strength) for each in compared] == [("blur", 2)] * 2 + [("crop", 5)] * 2
    worse = metrics_of(pd.read_csv(run.path / "robustness" / "blur-2.csv"))
    clean = metrics_of(read_test_cases(run))
    for each, metric in zip(compared, ["accuracy", "auroc_macro"] * 2, strict=True):
        difference = worse[metric] - clean[metric]
        assert difference < -0.03
        assert each.compared.difference == pytest.approx(difference)
        assert each.compared.low <= difference <= each.compared.high < 0
        assert (each.compared.n, each.runs) == (60, 1)
    section = robustness_section([condition])
    slugs = [item.slug for item in section.items]
    assert slugs == [
        "robustness_strengths", "robustness_examples", "robustness_accuracy_changes", "robustness_auroc_macro_changes",
        "robustness_accuracy", "robustness_auroc_macro", "robustness_classification",
    ]  # fmt: skip
    changes = section.items[2].frame
    assert changes["corruption"].tolist() == ["blur", "crop"]
    assert changes.loc[0, "2"].startswith(f"{compared[0].compared.difference:.3f} (")
    assert changes.loc[0, "1"] == "-"
    assert not any(getattr(item, "names_images", False) for item in section.items)


def test_seeds_that_were_not_tested_on_corrupted_images_do_not_count(finished, tmp_path):
    runs = [finished("model=u2net_lite", f"seed={seed}", f"name=u2net_lite__seed-{seed}") for seed in (0, 1)]
    (condition,) = read_group(runs[0].path.parent).conditions
    assert compare_corrupted(condition, ["dice_image"]) == []
    assert robustness_section([condition]) is None
    corrupt(runs[1])
    (first, _) = compare_corrupted(condition, ["dice_image"], draws=50)
    assert first.runs == 1
    assert first.compared.value_b == pytest.approx(metrics_of(read_test_cases(runs[1]))["dice_image"])
    corrupt(runs[0], levels=[Level("blur", 2)])
    blur, crop = compare_corrupted(condition, ["dice_image"], draws=50)
    assert (blur.runs, crop.runs) == (2, 1)
    both = [metrics_of(read_test_cases(run))["dice_image"] for run in runs]
    assert blur.compared.value_b == pytest.approx(sum(both) / 2)
    assert crop.compared.value_b == pytest.approx(both[1])


def test_a_later_report_takes_the_comparisons_from_the_cache(finished, tmp_path, monkeypatch):
    run = finished("model=alexnet", "name=alexnet")
    corrupt(run, levels=[Level("blur", 2)])
    (condition,) = read_group(run.path.parent).conditions
    options = {"metrics": ["accuracy"], "draws": 50, "cache": tmp_path / "cache"}
    first = compare_corrupted(condition, **options)
    with monkeypatch.context() as patch:
        patch.setattr(PairedBootstrap, "compare", lambda *_: pytest.fail("compared again"))
        assert repr(compare_corrupted(condition, **options)) == repr(first)
    changed = read_test_cases(run)
    changed.loc[0, PROBABILITIES] = changed.loc[0, PROBABILITIES[::-1]].to_numpy()
    folder = RobustnessDir(run.path / "robustness")
    folder.write(Level("blur", 2), changed, {"values": corruption_values()})
    assert repr(compare_corrupted(condition, **options)) != repr(first)


def test_damaged_tables_are_left_out_and_named(finished):
    run = finished("model=alexnet", "name=alexnet")
    corrupt(run)
    baselines(run)
    conditions = read_group(run.path.parent).conditions
    assert [problem for problem in find_problems(conditions) if problem.kind == "files"] == []
    damages = {
        "robustness/blur-2.csv": lambda text: text.replace("benign", "cyst", 1),
        "robustness/crop-5.csv": lambda text: "\n".join(text.splitlines()[:-1]) + "\n",
        "robustness/made.json": lambda text: json.dumps({"made_with": {"values": {"blur": [1, 2, 3, 4, 5]}}}),
        "baselines/statistics.csv": lambda text: text.replace(",test,", ",val,", 1),
    }
    for name, damage in damages.items():
        file = run.path / name
        whole = file.read_text()
        file.write_text(damage(whole))
        (problem,) = (problem for problem in find_problems(conditions) if problem.kind == "files")
        assert name.rpartition("/")[2] in problem.text
        assert not name.startswith("robustness") or compare_corrupted(conditions[0], ["accuracy"], draws=50) == []
        file.write_text(whole)
    assert len(compare_corrupted(conditions[0], ["accuracy"], draws=50)) == 2


@pytest.mark.slow
def test_a_baseline_counts_once_for_all_seeds_and_networks_of_a_split(finished):
    cases = read_test_cases(finished("model=alexnet", "name=drawn", "group=drawn", number=90))
    drawn = pd.concat([cases, cases.assign(id="v" + cases["id"], split="val")], ignore_index=True)
    runs = [
        finished(f"model={model}", f"seed={seed}", f"name={model}__seed-{seed}", "group=same", cases=drawn)
        for model in ("alexnet", "resnet34")
        for seed in (0, 1, 2)
    ]
    assert len({load_split(run.split).hash for run in runs}) == 1
    for run in runs:
        baselines(run)
    conditions = of_task(read_group(runs[0].path.parent).conditions, "classification")
    assert [len(condition.runs) for condition in conditions] == [3, 3]
    by_baseline = baseline_conditions(conditions)
    assert [each.name for each in by_baseline] == ["20 statistics of the image", "the lesion's size alone"]
    for each in by_baseline:
        assert (len(each.runs), len(each.part("test"))) == (1, len(cases))
    test = {condition.name: summarise(condition, "test") for condition in conditions}
    section = baseline_section(conditions, test)
    table = section.items[0].frame.set_index("classifier")
    assert list(table.index) == ["20 statistics of the image", "the lesion's size alone", "alexnet", "resnet34"]
    assert table["n"].tolist() == [len(cases)] * 4
    compared = next(item for item in section.items if getattr(item, "slug", "") == "baselines_compared").frame
    assert len(compared) == 2 * 2 * 2  # networks, baselines, metrics
    own, other = (summarise(each, "test").set_index("metric") for each in (conditions[0], by_baseline[0]))
    difference = own.loc["accuracy", "value"] - other.loc["accuracy", "value"]
    assert compared.loc[0, "network minus baseline"].startswith(f"{difference:.3f} (")


def test_the_folds_of_a_baseline_are_one_replicate(finished):
    runs = []
    for seed in (0, 1):
        for fold in (0, 1):
            drawn = read_test_cases(finished("model=alexnet", f"name=drawn{seed}{fold}", "group=drawn", number=60))
            part = drawn.iloc[fold::2].reset_index(drop=True)
            both = pd.concat([part, part.assign(id="v" + part["id"], split="val")], ignore_index=True)
            overrides = [f"seed={seed}", "data.split.folds=2", f"data.split.fold={fold}", "group=folds"]
            runs.append(finished("model=alexnet", *overrides, f"name=alexnet__seed-{seed}__data.split.fold-{fold}",
                                 cases=both))  # fmt: skip
    for run in runs:
        baselines(run)
    (condition,) = read_group(runs[0].path.parent).conditions
    assert condition.cases["replicate"].nunique() == 2
    for each in baseline_conditions([condition]):
        cases = each.part("test")
        assert len(each.runs) == 2
        assert cases["replicate"].nunique() == 1
        assert len(cases) == cases["id"].nunique() == 40


def test_without_baselines_there_is_no_section(finished):
    run = finished("model=alexnet", "name=alexnet")
    conditions = read_group(run.path.parent).conditions
    assert baseline_section(conditions, {}) is None


@pytest.mark.slow
def test_the_folds_of_a_baseline_are_compared_with_a_network_whatever_the_names_of_its_runs(finished):
    runs = []
    for name, seed, fold in (("a", 0, 0), ("b", 1, 1), ("c", 1, 0), ("d", 0, 1)):  # the first runs have two seeds
        drawn = read_test_cases(finished("model=alexnet", f"name=drawn{name}", "group=drawn", number=60))
        part = drawn.iloc[fold::2].reset_index(drop=True)
        both = pd.concat([part, part.assign(id="v" + part["id"], split="val")], ignore_index=True)
        overrides = [f"seed={seed}", "data.split.folds=2", f"data.split.fold={fold}", "group=mixed"]
        runs.append(finished("model=alexnet", *overrides, f"name={name}", cases=both))
        baselines(runs[-1])
    (condition,) = read_group(runs[0].path.parent).conditions
    section = baseline_section([condition], {condition.name: summarise(condition, "test")})
    compared = next(item for item in section.items if getattr(item, "slug", "") == "baselines_compared").frame
    assert compared["n"].tolist() == [40] * 4
    assert not compared.astype(str).isin(["nan", "undefined", "not compared"]).any(axis=None)


@pytest.mark.slow
def test_p_of_a_network_minus_a_baseline_is_adjusted_for_the_comparisons_with_this_baseline_alone(finished):
    runs = [finished("model=alexnet", f"seed={seed}", "group=averaged", number=90, sure=0.9) for seed in (0, 1)]
    for run in runs:
        baselines(run, sure=0.35)
    average(runs[0].path.parent)
    conditions = read_group(runs[0].path.parent).conditions
    section = baseline_section(conditions, {each.name: summarise(each, "test") for each in conditions})
    table = next(item for item in section.items if getattr(item, "slug", "") == "baselines_compared").frame
    bootstrap = PairedBootstrap("test", 2000)
    for baseline in baseline_conditions(conditions):
        p = [bootstrap.compare(each, baseline, "accuracy").p for each in conditions]
        own = table[(table["baseline"] == baseline.name) & (table["metric"] == "accuracy")]
        expected = multipletests(p, method="holm")[1]
        assert own["p, adjusted (Holm)"].tolist() == [f"{each:.3f}" for each in expected]


def test_a_baseline_that_is_better_than_a_network_is_said_to_be(finished):
    run = finished("model=alexnet", "name=alexnet", number=120, sure=0.0)
    baselines(run)
    (condition,) = read_group(run.path.parent).conditions
    section = baseline_section([condition], {condition.name: summarise(condition, "test")})
    notes = [item.text for item in section.items if isinstance(item, Note)]
    assert notes == [
        "In 0 of 4 comparisons, the network is better than the baseline by more than chance. In 4, the baseline is "
        "better than the network by more than chance."
    ]
