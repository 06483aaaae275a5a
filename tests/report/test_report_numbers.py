"""Operating points, calibration, selective prediction, variance and sample size in a whole report."""

from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
from across_runs import count, describe, draw_cases, evaluate, with_validation, write_sets
from drawn_conditions import classified, condition

from bus_lightning.launch.report import main
from bus_lightning.report import operating_section as sections
from bus_lightning.report.calibration_section import calibration_section
from bus_lightning.report.certainty_section import certainty_section
from bus_lightning.report.contents import gather_evidence
from bus_lightning.report.operating_section import operating_section
from bus_lightning.report.sections import FigureItem, Note, TableItem
from bus_lightning.report.selective_section import _doubt_items, selective_section
from bus_lightning.statistics.across_sets import Across, Cell, Row
from bus_lightning.statistics.conditions import read_group

SECTIONS = (operating_section, calibration_section, selective_section, certainty_section)


class Shown:
    """The sections of this file, without the rest of a report."""

    def __init__(self, run, **options):
        self.evidence = gather_evidence(read_group(run.path.parent), **options)
        self.sections = [section for make in SECTIONS if (section := make(self.evidence))]
        items = [item for section in self.sections for item in section.items]
        self.tables = {item.slug: item.frame for item in items if isinstance(item, TableItem)}
        self.figures = {item.slug for item in items if isinstance(item, FigureItem)}
        self.captions = " ".join(item.caption for item in items if not isinstance(item, Note))
        self.notes = " ".join(item.text for item in items if isinstance(item, Note))


def halves(finished, seeds=(0,)):
    """Two runs of folds for each seed: each tests one half of the images, and validates on a third of the other."""
    for seed in seeds:
        whole = pd.read_csv(finished("model=resnet34", f"group=whole{seed}", f"seed={seed}", number=120).cases)
        for fold in (0, 1):
            own = whole.index % 2 == fold
            cases = pd.concat([whole[own].assign(split="test"), whole[~own].iloc[:21].assign(split="val")])
            options = ("data.split.folds=2", f"data.split.fold={fold}", f"seed={seed}", f"group=halves{len(seeds)}")
            run = finished("model=resnet34", *options, cases=cases)
    return run


def test_a_report_of_seeds_has_every_section_with_its_tables_and_figures(finished):
    for seed in range(2):
        run = finished("group=numbers", "model=resnet34", f"seed={seed}", number=120)
    finished("group=numbers", "model=alexnet", number=120, sure=1.0)
    shown = Shown(run)
    titles = ["Operating points for malignant", "Calibration", "Selective prediction", "How sure the numbers are"]
    assert [section.title for section in shown.sections] == titles
    names = {"operating_points", "predictive_values", "calibration", "selective", "doubts", "variance_classification",
             "sample_size"}  # fmt: skip
    assert names == shown.tables.keys()
    drawn = {"operating_points_figure", "decision_curve_test", "reliability_test", "risk_coverage_test",
             "reliability_adaptive_malignant_test", "reliability_adaptive_confidence_test",
             "variance_classification_figure", "sample_size_figure"}  # fmt: skip
    assert drawn == shown.figures
    points = shown.tables["operating_points"]
    assert len(points) == 2 * 4
    assert points["sensitivity"].str.fullmatch(r"\d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)").all()
    spread = shown.tables["variance_classification"].set_index("condition")
    assert spread.loc["resnet34", "SD over trainings"].str.endswith("2 runs of 1 test set").all()
    assert (spread.loc["alexnet", "SD over trainings"] == "not known: no second seed").all()
    assert "1 of 2 conditions has a single run" in shown.notes
    compared = set(shown.tables["sample_size"]["compared"])
    assert compared == {"one condition, against a fixed value", "two conditions, on the same images"}
    assert "another seed gives another answer" in set(shown.tables["doubts"]["doubt"])


def test_the_n_of_operating_points_counts_each_test_image_once_whatever_the_number_of_seeds(finished):
    cases = pd.read_csv(finished("model=resnet34", "group=whole").cases)
    for seed in range(3):
        run = finished("model=resnet34", "group=seeds", f"seed={seed}", cases=cases)
    shown = Shown(run)
    assert shown.tables["operating_points"]["n"].tolist() == [40] * 4
    assert "on test images (n = 40) at thresholds fixed" in shown.captions
    assert (shown.tables["predictive_values"][["TP", "FN", "FP", "TN"]].sum(axis=1) == 3 * 40).all()  # as it says


def test_folds_have_their_own_thresholds_and_a_variance_over_splits(finished):
    shown = Shown(halves(finished))
    row = shown.tables["operating_points"].set_index("malignant if").loc["threshold: sensitivity of 95% on validation"]
    low, high = map(float, row["threshold"].split(" to "))
    assert 0 < low < high < 1
    cells = shown.tables["predictive_values"][["TP", "FN", "FP", "TN"]]
    assert (cells.sum(axis=1) == 120).all()  # every image is tested once
    assert shown.tables["variance_classification"]["SD over splits"].str.endswith("2 splits").all()


def test_what_trainings_change_is_not_counted_as_known_without_a_second_seed(finished):
    alone = Shown(halves(finished)).tables["variance_classification"]
    assert (alone["SD over trainings"] == "not known: no second seed").all()
    assert alone["by images and trainings"].str.fullmatch(r"0\.\d{3} \(images alone\)").all()
    assert alone["beyond"].str.fullmatch(r"0\.\d{3} \(with trainings\)").all()
    both = Shown(halves(finished, seeds=(1, 2))).tables["variance_classification"]
    assert both[["by images and trainings", "beyond"]].stack().str.fullmatch(r"0\.\d{3}").all()


def test_few_malignant_validation_images_are_warned_of(finished):
    cases = pd.read_csv(finished("model=resnet34", "group=whole").cases)
    third = cases[(cases["split"] == "val") & (cases["label"] == "malignant")].index[3:]
    shown = Shown(finished("model=resnet34", "group=few", cases=cases.drop(index=third)))
    assert "Fewer than 20 malignant validation images chose a threshold of resnet34 (3)" in shown.notes


def test_without_validation_images_the_thresholds_are_missing_and_the_rest_is_shown(finished):
    cases = pd.read_csv(finished("model=resnet34", "group=whole").cases).query("split == 'test'")
    shown = Shown(finished("model=resnet34", "group=test", cases=cases))
    points = shown.tables["operating_points"]
    assert points["sensitivity"].str.contains("has no validation image").tolist() == [False, True, True, True]
    assert "Not computed: highest Youden index, sensitivity of 90% on validation" in shown.notes
    assert len(shown.tables["predictive_values"]) == 1
    assert shown.tables["doubts"]["doubt"].tolist() == ["confidence below 60%"]


def test_a_test_part_without_malignant_images_says_so(finished):
    cases = pd.read_csv(finished("model=resnet34", "group=whole").cases).query("label != 'malignant'")
    shown = Shown(finished("model=resnet34", "group=none", cases=cases))
    assert "no malignant test image" in shown.notes
    row = shown.tables["calibration"].iloc[0]
    assert row["slope of malignant"] == "undefined: no image of class malignant"
    assert row["well calibrated"] == "undefined"


def test_two_classes_are_enough(finished):
    whole = pd.read_csv(finished("model=resnet34", "group=whole", number=120).cases)
    two = whole[whole["label"] != "normal"].drop(columns="prob_normal")
    both = two[["prob_benign", "prob_malignant"]].sum(axis=1)
    two = two.assign(prob_benign=two["prob_benign"] / both, prob_malignant=two["prob_malignant"] / both)
    shown = Shown(finished("model=resnet34", "group=two", "data.classes=[benign,malignant]", cases=two))
    assert len(shown.tables["operating_points"]) == 4
    assert not [name for name in shown.tables["selective"] if name.startswith("AURC by the")]  # all the same order


def test_a_joint_network_doubts_answers_that_its_mask_contradicts(finished):
    classes = pd.read_csv(finished("model=resnet34", "group=whole", number=120).cases)
    pixels = pd.read_csv(finished("model=u2net_lite", "group=whole", number=120).cases)
    cases = classes.merge(pixels[["id", "tp", "fp", "fn", "tn"]], on="id")
    run = finished("model=unet", "task=joint", "group=joint", cases=cases)
    shown = Shown(run)
    doubts = set(shown.tables["doubts"]["doubt"])
    assert {
        "a lesion was outlined, but the answer is normal",
        "no lesion was outlined, but the answer is a lesion",
    } < doubts
    assert len(shown.tables["operating_points"]) == 4
    assert {"classification", "segmentation"} == set(shown.tables["sample_size"]["task"])


def test_a_doubt_that_is_raised_once_among_many_answers_is_not_said_to_be_never_raised():
    sure = {"prob_benign": 0.9, "prob_malignant": 0.06, "prob_normal": 0.04}
    cases = pd.DataFrame({"id": [str(k) for k in range(2500)], "label": "benign"}).assign(
        run="r", replicate=0, split="test", group=range(2500), **sure
    )
    never = SimpleNamespace(main=[condition(cases=cases)], operating_points={})
    table, note = _doubt_items(never, {"resnet34": "resnet34"})
    assert note.text == "In 1 row the doubt is never raised, so it changes nothing."
    cases.loc[0, list(sure)] = [0.5, 0.3, 0.2]
    (table,) = _doubt_items(never, {"resnet34": "resnet34"})
    assert table.frame["share of answers"].str.startswith("0.000").all()


def test_a_report_of_segmenters_has_only_what_masks_can_give(finished):
    shown = Shown(finished("model=u2net_lite", "group=masks"))
    assert [section.title for section in shown.sections] == ["How sure the numbers are"]
    assert {"Dice, mean of lesions", "IoU, pooled"} <= set(shown.tables["sample_size"]["score"])


def test_the_prevalence_is_stated_and_can_be_chosen(finished):
    run = finished("model=resnet34", "group=rare", number=120)
    shown = Shown(run)
    assert "PPV at 0.015" in shown.tables["predictive_values"]
    assert "111 cancers in 7,473" in shown.captions
    shown = Shown(run, prevalence=0.3)
    assert "PPV at 0.3" in shown.tables["predictive_values"]
    assert "111 cancers" not in shown.captions


@pytest.mark.parametrize("share", ["0", "1", "-0.1", "1.5", "nan"])
def test_a_prevalence_that_is_no_share_is_refused_in_one_line(finished, capsys, share):
    group = finished("model=resnet34", "group=wrong").path.parent
    assert main([str(group), "--prevalence", share]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: --prevalence")
    assert not (group / "report").exists()


def test_another_data_set_is_tested_at_the_same_threshold(finished):
    own = with_validation(draw_cases("busi"), "busi")
    run = finished("group=across", "data=busi", "data.classes=[benign,malignant]", "model=resnet34", cases=own)
    write_sets(run, {"busi": describe("busi")}, {"busi": count(60)}, train=["busi"])
    other = draw_cases("bus_bra", 40, sure=0.5)
    evaluate(run, "bus_bra", other)
    shown = Shown(run)
    outside = shown.tables["operating_points_outside"].set_index("malignant if")
    assert set(outside["tested on"]) == {"bus_bra"}
    rule = "threshold: sensitivity of 90% on validation"
    (points,) = shown.evidence.operating_points.values()
    (point,) = [each for each in points if each.rule in rule]
    (threshold,) = point.thresholds.values()
    called = other.loc[other["label"] == "malignant", "prob_malignant"] >= threshold
    assert outside.loc[rule, "sensitivity"].startswith(f"{called.mean():.3f} (")


def test_an_ensemble_of_more_networks_than_chose_the_threshold_is_named(monkeypatch):
    drawn = classified()
    own = condition("ensemble", cases=pd.concat([drawn, drawn.assign(split="val")]))
    for networks, notes in ((1, []), (5, ["averages 5 networks on another data set"])):
        cell = Cell("breast", replace(own, cases=drawn, networks=networks), images=60, groups=30, runs=1)
        across = Across([Row(own, ("busi",), {"breast": cell})], ["busi", "breast"], {})
        monkeypatch.setattr(sections, "read_across", lambda _, made=across: made)
        table, *others = sections._outside_table([own], {"ensemble": "E"})
        assert len(table.frame) == 4
        assert len(others) == len(notes)
        assert all(f"E {text}" in note.text for note, text in zip(others, notes, strict=True))
