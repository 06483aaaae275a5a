"""A bundle of one network holds its predictions for held-out images if that is asked for, and only then."""

import json

import pytest
from exported_runs import write_run

from bus_lightning.core.csv_files import read_table
from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.bundle import CASES, MANIFEST
from bus_lightning.export import variants
from bus_lightning.export.card_evidence import describe_evidence
from bus_lightning.export.making import make_bundle
from bus_lightning.runs.finished import open_run

pytestmark = pytest.mark.usefixtures("quick_export")
TRUSTED = ["tiny_nets"]
NOTE = "Chosen by <b>number</b>."


@pytest.fixture(scope="module")
def folds(tmp_path_factory, phantom, audit_cache):
    """The three folds of a joint network."""
    runs = tmp_path_factory.mktemp("folds")
    options = ("data.split.folds=3", "data.split.ratio=[6,6,3]", "trainer.precision=32-true")
    return [write_run(runs, phantom, audit_cache, f"joint-{fold}", f"seed={fold}", f"data.split.fold={fold}", *options)
            for fold in range(3)]  # fmt: skip


@pytest.fixture(scope="module")
def others(folds):
    return str(folds[0].parent / "joint-[12]")


def test_each_case_says_whether_the_network_or_another_fold_predicted_it(folds, others, tmp_path):
    bundle = make_bundle(folds[:1], tmp_path / "bundle", others, with_cases=True, note=NOTE, trusted=TRUSTED)
    cases = read_table(bundle.path / CASES, ["set", "part", "fold", "id", "group", "tp"], ["part", "id", "label"])
    assert cases["id"].is_unique
    for fold, run in enumerate(map(open_run, folds)):
        own = cases[cases["fold"] == fold]
        assert set(own["id"]) == set(run.split.test)
        assert set(own["part"]) == {"out_of_fold" if fold else "test"}
        kept = run.cases[run.cases["split"] == "test"].set_index("id")["prob_malignant"]
        assert own.set_index("id")["prob_malignant"].to_dict() == pytest.approx(kept.to_dict())
    evidence = json.loads((bundle.path / MANIFEST).read_text())["evidence"]
    assert evidence["folds"] == 2
    (accuracy,) = (row for row in evidence["results"]["all"]["class"] if row["metric"] == "accuracy")
    assert accuracy["n"] == len(cases) == 72
    assert "by one of 3 networks of the same recipe" in bundle.card
    assert "## Operating points" in bundle.card
    assert "Chosen by \\<b\\>number\\</b\\>." in bundle.card


def test_a_bundle_names_no_image_unless_its_cases_are_asked_for(folds, others, tmp_path):
    bundle = make_bundle(folds[:1], tmp_path / "bundle", others, trusted=TRUSTED)
    assert not (bundle.path / CASES).exists()
    assert json.loads((bundle.path / MANIFEST).read_text())["evidence"] is None
    ids = open_run(folds[0]).split.part("all")
    for file in ("bundle.json", "MODEL_CARD.md"):
        text = (bundle.path / file).read_text()
        assert not [id_ for id_ in ids if id_ in text]
    assert "## Subgroups" not in bundle.card


@pytest.mark.parametrize(("number", "images"), [(0, "test"), (4, "test and out of fold")])
def test_the_subgroups_name_images_out_of_fold_only_if_there_are_folds(number, images):
    row = {"tested_on": "all", "by": "class", "stratum": "benign", "metric": "accuracy", "value": 0.8, "low": 0.7,
           "high": 0.9, "n": 20}  # fmt: skip
    evidence = {"folds": number, "results": {"all": {}}, "operating_points": [], "subgroups": [row]}
    text = describe_evidence(evidence)[-1]
    assert f"| {images} | class | benign | 0.800 (0.700 to 0.900), n = 20 |" in text


def test_the_cases_of_several_networks_are_refused(folds, tmp_path):
    with pytest.raises(UserError, match="--cases describes one network"):
        make_bundle(folds, tmp_path / "bundle", with_cases=True, trusted=TRUSTED)
    assert not (tmp_path / "bundle").exists()


def test_a_precision_that_is_asked_for_is_the_default_only_if_it_answers_like_fp32():
    fp32, near, far = ({"ms": ms, "iou_difference": iou, "auc_difference": 0.0}
                       for ms, iou in ((9, 0.0), (5, 0.01), (3, 0.02)))  # fmt: skip
    measured = {"fp32": fp32, "bf16": near, "int8": far}
    assert variants.choose_precision(measured) == "bf16"
    assert variants.choose_precision(measured, "fp32") == "fp32"
    with pytest.raises(UserError, match="--precision int8: its answers differ too much"):
        variants.choose_precision(measured, "int8")
