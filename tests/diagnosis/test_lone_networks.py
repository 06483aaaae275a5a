"""A bundle of a lone classifier answers classes only, one of a lone segmenter outlines only, and both say so."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tiny_bundle import CLASSES, make_bundle, speckled, with_disc

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame, Limits
from bus_lightning.diagnosis.lacking import NO_CLASS, NO_OUTLINE
from bus_lightning.diagnosis.members import Member
from bus_lightning.diagnosis.predict import main as predict

THRESHOLDS = {"malignant": {"threshold": 0.3}}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """The bundle of a pair, and those of either network alone."""
    folder = tmp_path_factory.mktemp("bundles")
    return {
        only: make_bundle(folder / str(only), thresholds=THRESHOLDS, only=only)
        for only in (None, "classifier", "segmenter")
    }


@pytest.fixture(scope="module")
def frame():
    return Frame(with_disc(speckled(1, seed=99)[0]))


def test_a_lone_network_answers_as_it_does_in_a_pair(bundles, frame):
    pair, classes, outline = (
        Diagnoser(load_bundle(bundles[only]), threads=1).diagnose([frame])[0]
        for only in (None, "classifier", "segmenter")
    )
    assert classes.probabilities == pair.probabilities
    assert (classes.answer, classes.malignant_flag) == (pair.answer, pair.malignant_flag)
    np.testing.assert_array_equal(classes.heat_map, pair.heat_map)
    assert classes.mask is None
    assert classes.measurements is None
    np.testing.assert_array_equal(outline.mask, pair.mask)
    assert outline.mask.any()
    assert outline.measurements == pair.measurements
    assert (outline.probabilities, outline.answer, outline.malignant_flag, outline.heat_map) == ({}, None, None, None)
    assert not outline.calibrated


def test_doubts_concern_only_what_is_answered(bundles, frame):
    empty = Frame(speckled(1, seed=99)[0])
    for only, image_frame, possible in (
        ("classifier", empty, {"low_confidence", "malignant_not_excluded"}),
        ("segmenter", frame, {"several_lesions", "at_the_border"}),
        ("segmenter", empty, {"several_lesions", "at_the_border"}),
    ):
        (diagnosis,) = Diagnoser(load_bundle(bundles[only]), threads=1).diagnose([image_frame])
        assert {doubt.code for doubt in diagnosis.doubts} <= {"not_ultrasound", *possible}


@pytest.mark.parametrize(("only", "sentence"), [("classifier", NO_OUTLINE), ("segmenter", NO_CLASS)])
def test_predict_says_what_is_lacking_in_the_console_the_table_and_each_json(
    bundles, frame, tmp_path, capsys, only, sentence
):
    (tmp_path / "images").mkdir()
    Image.fromarray(frame.image).save(tmp_path / "images" / "a.png")
    arguments = [str(bundles[only]), str(tmp_path / "images"), "--out", str(tmp_path / "out")]
    written = []
    for _ in range(2):  # the second time everything is complete, and nothing is diagnosed again
        assert predict(arguments) == 0
        assert sentence in capsys.readouterr().out
        written.append({file.name: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("[0-9]*")})
    assert written[0] == written[1]
    with (tmp_path / "out" / "results.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    (file,) = (tmp_path / "out").glob("[0-9]*.json")
    record = json.loads(file.read_text())
    answers = "class only" if only == "classifier" else "outline only"
    assert (row["answers"], record["answers"]) == (answers, answers)
    masks = list((tmp_path / "out").glob("*_mask.png"))
    if only == "classifier":
        assert (record["lesion"], masks) == (None, [])
        assert not {"lesions", "area_px", "box_top"} & row.keys()
        assert float(row["prob_malignant"]) == pytest.approx(record["probabilities"]["malignant"], abs=1e-6)
    else:
        assert (record["class"], record["probabilities"], len(masks)) == (None, {}, 1)
        assert not {"class", "prob_malignant", "malignant_flag"} & row.keys()
        assert int(row["lesions"]) == 1
    assert len(list((tmp_path / "out").glob("*_overlay.png"))) == 1


@pytest.mark.parametrize(("only", "sentence"), [("classifier", NO_OUTLINE), ("segmenter", NO_CLASS)])
def test_page_and_reports_say_what_is_lacking(bundles, frame, tmp_path, decoders, only, sentence):
    rendering = pytest.importorskip("bus_lightning.diagnosis.page.rendering")
    from bus_lightning.diagnosis.page import printout
    from bus_lightning.diagnosis.page.kept import Kept
    from bus_lightning.diagnosis.page.view import make_view
    from bus_lightning.diagnosis.page.wording import describe

    Image.fromarray(frame.image).save(tmp_path / "a.png")
    bundle = load_bundle(bundles[only])
    kept = Kept()
    kept.put("visitor", make_view(Diagnoser(bundle, threads=1), decoders, tmp_path / "a.png", Limits()), 0.0)
    view = kept.get("visitor")
    words = describe(view, bundle)
    shown = " ".join(rendering.render(part, words) for part in ("answer", "details"))
    assert sentence in shown
    picture = rendering.render_picture(view, words)
    if only == "classifier":
        assert "Probability of each class" in shown
        assert "No outline" in picture
        assert "outline of the lesion" not in picture
        assert words.title == "Breast ultrasound: class and doubts"
    else:
        assert "Most likely" not in shown
        assert "Probability" not in shown
        assert "calibrated" not in shown
        assert "1 lesion outlined" in shown
        assert "heat" not in picture
    assert any(sentence in text for _, text in printout.list_lines(words))
    assert printout.write_pdf(view, words, 0.5).startswith(b"%PDF")
    assert printout.write_png(view, words, 0.5).startswith(b"\x89PNG")


def test_the_no_lesion_rule_empties_an_outline_with_a_low_score(bundles, frame):
    bundle = load_bundle(bundles["segmenter"])
    (predicted,) = (Member(stage, [], "fp32", 1).predict([frame.image], [None]) for stage in bundle.networks.values())
    score = float(predicted.scores[0])
    assert score == predicted.masks.max()
    for least, is_there in ((score - 1e-6, True), (score + 1e-6, False)):
        (diagnosis,) = Diagnoser(replace(bundle, least_score=least), threads=1).diagnose([frame])
        assert diagnosis.mask.any() == is_there
        assert diagnosis.measurements.lesions == is_there


def test_a_manifest_whose_networks_and_classes_do_not_fit_is_refused(tmp_path):
    from forged_bundles import rewrite

    folder = make_bundle(tmp_path / "bundle")
    networks = json.loads((folder / "bundle.json").read_text())["networks"]
    segmenter, classifier = networks["segmenter"], networks["classifier"]
    for news, words in (
        ({"networks": {}}, "networks has 0 entries"),
        ({"classes": []}, "networks.classifier.classes are not those of the bundle"),
        ({"networks": {"segmenter": segmenter}}, "classes and the outputs of the networks do not fit"),
        ({"networks": networks | {"segmenter": segmenter | {"outputs": ["class", "mask"]}}}, "both in this order"),
        ({"networks": networks | {"segmenter": segmenter | {"head": "head.npy"}}}, "a head for classes"),
        ({"networks": networks | {"segmenter": segmenter | {"flips": 1}}}, "flips is 1, not true or false"),
        ({"networks": networks | {"classifier": classifier | {"classes": CLASSES[:2]}}}, "are not those of the bundle"),
        ({"networks": {"classifier": classifier | {
            "overlay": {"style": "contour", "source": "predicted"}}}}, "takes a mask, which no network gives"),
        ({"no_lesion": 1.5}, "no_lesion is 1.5, not a number from 0 to 1"),
        ({"calibrated_on": "tests"}, "calibrated_on is 'tests', not one of"),
    ):  # fmt: skip
        rewrite(folder, **{"networks": networks, "classes": CLASSES, "no_lesion": None, "calibrated_on": None, **news})
        with pytest.raises(UserError, match="is not valid") as raised:
            load_bundle(folder)
        assert words in str(raised.value)
        assert "\n" not in str(raised.value)
