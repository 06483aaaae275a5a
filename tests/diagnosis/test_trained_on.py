"""Whoever sees an answer sees what the networks were trained on."""

import csv
import json
from dataclasses import asdict

import pytest
from drawn_files import PATIENT
from PIL import Image
from tiny_bundle import make_bundle, speckled, with_disc

from bus_lightning.core.errors import UserError
from bus_lightning.data.content import content_hash
from bus_lightning.data.index import read_index
from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame, Limits
from bus_lightning.diagnosis.page import printout
from bus_lightning.diagnosis.page.view import make_view
from bus_lightning.diagnosis.page.wording import describe
from bus_lightning.diagnosis.predict import main as predict
from bus_lightning.diagnosis.trained_on import NOT_RECORDED, TrainingData, check_name, is_synthetic, sentence
from bus_lightning.export.__main__ import main as export
from bus_lightning.export.markdown import escape
from bus_lightning.export.runs import BUSI_CONTENT

PHANTOMS = TrainingData("", True, 44, "0123456789abcdef")
BUSI = TrainingData("BUSI", False, 572, BUSI_CONTENT)
ODD = TrainingData("<script>alert(1)</script> *a* | $x$ [y](z) & co", False, 9)
KINDS = {
    "phantoms": ({"segmenter": PHANTOMS, "classifier": PHANTOMS}, "44 synthetic images (drawn phantoms)"),
    "BUSI": ({"segmenter": BUSI, "classifier": BUSI}, "Trained on 572 images of BUSI."),
    "mixed": ({"segmenter": PHANTOMS, "classifier": BUSI},
              "the segmenter on 44 synthetic images (drawn phantoms), the classifier on 572 images of BUSI"),
    "odd": ({"segmenter": ODD, "classifier": ODD}, f"Trained on 9 images of {ODD.name}."),
    "nameless": (dict.fromkeys(("segmenter", "classifier"), TrainingData("", False, 30, "0f" * 8)),
                 "Trained on 30 images of a data set without a name (files 0f0f0f0f0f0f0f0f)."),
    "earlier": ({}, NOT_RECORDED),
}  # fmt: skip


@pytest.fixture(scope="module", params=KINDS)
def bundle_of_kind(request, tmp_path_factory):
    """A bundle, its training data, and the line that must name them."""
    trained, expected = KINDS[request.param]
    folder = tmp_path_factory.mktemp("kind") / "bundle"
    make_bundle(folder, trained_on={name: asdict(data) for name, data in trained.items()} or None)
    return folder, trained, expected


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "given" / f"{PATIENT}.png"
    file.parent.mkdir()
    Image.fromarray(with_disc(speckled(1, seed=99)[0])).save(file)
    return file


def test_every_file_of_results_and_the_console_name_the_training_data(bundle_of_kind, picture, tmp_path, capsys):
    folder, trained, expected = bundle_of_kind
    pages = [Image.fromarray(image) for image in speckled(2, seed=3)]
    pages[0].save(picture.with_name("two.tiff"), save_all=True, append_images=pages[1:])
    assert predict([str(folder), str(picture.parent), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert expected in printed.out + printed.err
    with (tmp_path / "out" / "results.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    records = [json.loads(file.read_text()) for file in (tmp_path / "out").glob("[0-9]*.json")]
    assert (len(rows), len(records)) == (3, 4)
    for record in rows + records:
        assert expected in record["trained_on"]
        assert str(tmp_path) not in record["trained_on"]
    for row in rows:
        assert ("trained_on_synthetic" in row["doubts"].split(";")) == is_synthetic(trained)
    for file in (tmp_path / "out").glob("*.png"):
        with Image.open(file) as drawn:
            drawn.load()
            assert drawn.info["Description"] == sentence(trained)


def test_page_and_reports_name_the_training_data_in_the_same_words(bundle_of_kind, decoders, picture):
    from html import unescape

    rendering = pytest.importorskip("bus_lightning.diagnosis.page.rendering")
    folder, trained, expected = bundle_of_kind
    bundle = load_bundle(folder)
    shown = make_view(Diagnoser(bundle, threads=1), decoders, picture, Limits())
    words = describe(shown, bundle)
    banner = rendering.render("trained_on", sentence(trained), is_synthetic(trained))
    assert expected in unescape(banner)
    assert "<script" not in banner
    assert ("trained synthetic" in banner) == is_synthetic(trained)
    style, first = printout.list_lines(words)[0]
    assert (expected in first, style == "doubt") == (True, is_synthetic(trained))
    assert any("synthetic" in doubt for doubt in words.doubts) == is_synthetic(trained)
    assert words.is_doubted or not is_synthetic(trained)
    assert ("(synthetic images)" in words.calibration) == is_synthetic(trained)
    assert printout.write_pdf(shown, words, 0.5).startswith(b"%PDF")


def test_the_printouts_name_the_training_data(bundle_of_kind, decoders, picture, monkeypatch):
    folder, _, expected = bundle_of_kind
    bundle = load_bundle(folder)
    shown = make_view(Diagnoser(bundle, threads=1), decoders, picture, Limits())
    written = []
    monkeypatch.setattr(printout, "_add_lines", lambda pdf, lines: written.extend(text for _, text in lines))
    printout.write_pdf(shown, describe(shown, bundle), 0.5)
    assert any(expected in text for text in written)
    rows = []
    original = printout._draw_rows
    monkeypatch.setattr(
        printout, "_draw_rows",
        lambda sheet, drawn, top: rows.extend(text for _, text in drawn) or original(sheet, drawn, top),
    )  # fmt: skip
    printout.write_png(shown, describe(shown, bundle), 0.5)
    assert expected.split()[-1] in " ".join(rows)
    assert " ".join(expected.split()) in " ".join(rows)


def test_the_doubt_of_synthetic_training_comes_first_in_python(tmp_path):
    make_bundle(tmp_path / "bundle", trained_on={"segmenter": asdict(PHANTOMS), "classifier": asdict(BUSI)})
    (diagnosis,) = Diagnoser(load_bundle(tmp_path / "bundle"), threads=1).diagnose([Frame(with_disc(speckled(1)[0]))])
    assert diagnosis.doubts[0].code == "trained_on_synthetic"


def test_a_bundle_of_an_earlier_version_takes_its_training_data_from_its_card(tmp_path):
    text = "## Data\n\nTrained on **drawn phantoms**: the answers say nothing about real images. Images: 44.\n"
    bundle = load_bundle(make_bundle(tmp_path / "drawn", card=text))
    assert is_synthetic(bundle.trained_on)
    assert sentence(bundle.trained_on).startswith("Trained on synthetic images (drawn phantoms).")
    unclear = "Trained on BUSI (Al-Dhabyani et al.), unless another folder was given."
    bundle = load_bundle(make_bundle(tmp_path / "unclear", card=unclear))
    assert sentence(bundle.trained_on) == NOT_RECORDED


@pytest.mark.parametrize(
    "content", [[], "phantoms", {"segmenter": 1}, {"segmenter": {"name": 1, "synthetic": True}}, {"segmenter": {}},
                {"classifier": {"name": "", "synthetic": "yes"}},
                {"classifier": {"name": "", "synthetic": True, "images": "many"}}],
)  # fmt: skip
def test_a_manifest_with_impossible_training_data_is_refused(tmp_path, content):
    with pytest.raises(UserError, match="is not valid"):
        make_bundle(tmp_path / "bundle", trained_on=content)


@pytest.mark.parametrize("name", ["", "  ", "/home/anna/scans", "C:\\scans", "a" * 81, "a\x00b", "../x"])
def test_a_name_that_is_a_path_or_none_is_refused_in_one_line(name, tmp_path, capsys):
    with pytest.raises(UserError, match="--data-name"):
        check_name(name)
    runs = ["--run", str(tmp_path), str(tmp_path)]
    assert export([*runs, "--out", str(tmp_path / "b"), "--data-name", name]) == 1
    assert capsys.readouterr().err.startswith("Error: --data-name")


def test_a_name_of_any_letters_is_kept_as_plain_text():
    assert check_name("  Klinik Süd,\n Ultraschall <2024> ") == "Klinik Süd, Ultraschall <2024>"
    for mark in "`*_<>[]|~$&#":
        assert f"\\{mark}" in escape(mark)


def test_results_of_an_earlier_version_are_not_continued(bundle_of_kind, picture, tmp_path, capsys):
    folder = bundle_of_kind[0]
    out = tmp_path / "out"
    assert predict([str(folder), str(picture), "--out", str(out)]) == 0
    marker = out / ".made_with.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"version": 1}))
    assert predict([str(folder), str(picture), "--out", str(out)]) == 2
    assert "another version" in capsys.readouterr().err


def test_busi_is_known_by_its_files(busi):
    assert content_hash(busi, read_index(busi)).startswith(BUSI_CONTENT)
