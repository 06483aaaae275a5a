"""The page without a browser: what it says, what it refuses, what it writes."""

import base64
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
from drawn_files import PATIENT, dicom
from page_server import NAME, make_page_bundle, save, save_given
from PIL import Image, ImageFont
from tiny_bundle import speckled, with_disc

pytest.importorskip("gradio", reason="needs gradio: pip install -e '.[app]'")

from bus_lightning.core.errors import UserError
from bus_lightning.data.drawing import STRENGTH, draw_overlay
from bus_lightning.diagnosis import app
from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame, Limits
from bus_lightning.diagnosis.page import printout, rendering
from bus_lightning.diagnosis.page.building import _given, _share
from bus_lightning.diagnosis.page.serving import announce, listen
from bus_lightning.diagnosis.page.view import SIDE, make_view
from bus_lightning.diagnosis.page.wording import NO_DOUBT, describe, percent


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_page_bundle(tmp_path_factory.mktemp("page") / "bundle")


@pytest.fixture(scope="module")
def diagnoser(bundle):
    return Diagnoser(load_bundle(bundle), threads=1)


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    return save_given(tmp_path_factory.mktemp("given"))


@pytest.fixture(scope="module")
def shown(diagnoser, decoders, picture):
    return make_view(diagnoser, decoders, picture, Limits())


# What it says.


def test_no_answer_is_shown_without_its_doubts(shown, diagnoser):
    for doubts in (shown.diagnosis.doubts, ()):
        words = describe(replace(shown, diagnosis=replace(shown.diagnosis, doubts=doubts)), diagnoser.bundle)
        page, report = rendering.render("answer", words), printout.list_lines(words)
        for doubt in [entry.text for entry in doubts] or [NO_DOUBT]:
            assert page.index(doubt) < page.index(words.answer)
            assert any(doubt in text for _, text in report)


def test_the_words_say_what_the_probabilities_were_calibrated_on(shown, diagnoser):
    words = describe(shown, diagnoser.bundle)
    assert "calibrated on 102 out-of-fold predictions" in words.calibration
    assert "sensitivity of at least 95%" in words.malignant
    assert "found 21 of 22 malignant images and flagged 24 of 80 others" in words.malignant
    bare = replace(shown, diagnosis=replace(shown.diagnosis, calibrated=False, malignant_flag=None))
    words = describe(bare, replace(diagnoser.bundle, thresholds=None))
    assert "not calibrated" in words.calibration
    assert "no threshold" in words.malignant


def test_a_malignant_flag_stands_out_and_its_absence_rules_nothing_out(shown, diagnoser):
    for flag in (True, False):
        words = describe(replace(shown, diagnosis=replace(shown.diagnosis, malignant_flag=flag)), diagnoser.bundle)
        assert ('class="flagged"' in rendering.render("answer", words)) == flag
        assert ("not ruled out" in words.malignant) != flag


def test_no_probability_is_shown_as_certain(shown, diagnoser):
    assert [percent(value) for value in (1.0, 0.72, 0.005, 0.0)] == ["more than 99%", "72%", *["less than 1%"] * 2]
    for probability, share in ((0.999, "about 99 should be"), (0.72, "about 72 should be")):
        sure = replace(shown.diagnosis, answer="malignant",
                       probabilities={"malignant": probability, "benign": 1 - probability})  # fmt: skip
        assert share in describe(replace(shown, diagnosis=sure), diagnoser.bundle).calibration
    for probability, share in ((0.99996, "more than 99.9%"), (0.72, "72.0%"), (0.0002, "less than 0.1%")):
        sure = replace(shown.diagnosis, probabilities={"malignant": probability, "benign": 1 - probability})
        words = describe(replace(shown, diagnosis=replace(sure, answer="benign")), diagnoser.bundle)
        assert words.malignant.startswith(f"Malignant: {share}, ")


def test_sizes_come_in_millimetres_where_the_pixels_are_known(shown, diagnoser):
    assert "px" in dict(describe(shown, diagnoser.bundle).measurements)["Long axis"]
    measured = replace(shown.diagnosis.measurements, long_axis_mm=12.34)
    known = replace(shown, spacing_mm=(0.1, 0.2), diagnosis=replace(shown.diagnosis, measurements=measured))
    sizes = dict(describe(known, diagnoser.bundle).measurements)
    assert sizes["Long axis"].startswith("12.3 mm")
    assert "0.2 x 0.1 mm" in sizes["Size of a pixel"]


def test_a_class_that_is_called_like_html_is_shown_as_text(shown, diagnoser):
    odd = "<b>${1+1}{{x}}`"
    diagnosis = replace(shown.diagnosis, answer=odd, probabilities={odd: 1.0}, malignant_flag=None)
    words = describe(replace(shown, diagnosis=diagnosis), diagnoser.bundle)
    assert "<b>" not in rendering.render("answer", words)
    assert printout.write_pdf(shown, words, 0.5).startswith(b"%PDF")


# The picture.


def decoded(uri):
    return np.array(Image.open(BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGBA")).astype(float)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_the_layers_at_any_strength_make_the_picture_that_is_drawn_elsewhere(shown, strength):
    laid = decoded(rendering._as_jpeg(shown.image))[..., :3]
    shape = shown.image.shape[1::-1]
    for uri, opacity in ((rendering.heat_layer(shown), strength), (rendering.outline_layer(shown), 1)):
        layer = np.array(Image.fromarray(decoded(uri).astype(np.uint8)).resize(shape, Image.Resampling.BILINEAR)) / 255
        alpha = layer[..., 3:] * opacity
        laid = laid * (1 - alpha) + 255 * layer[..., :3] * alpha
    expected = draw_overlay(shown.image, shown.diagnosis.mask, shown.diagnosis.heat_map, strength)
    assert np.abs(laid - expected).mean() < 4  # JPEG


def test_a_large_picture_is_kept_small_and_measured_whole(diagnoser, decoders, tmp_path):
    large = np.asarray(Image.fromarray(with_disc(speckled(1)[0])).resize((2160, 1800)))
    view = make_view(diagnoser, decoders, save(large, tmp_path / "large.png"), Limits())
    assert max(view.image.shape) == SIDE == max(view.diagnosis.mask.shape)
    assert view.shape == (1800, 2160)
    assert view.diagnosis.measurements.long_axis_px == pytest.approx(51 * 12, rel=0.1)


def test_the_first_picture_of_several_is_answered_and_a_note_says_so(diagnoser, decoders, tmp_path):
    first, *others = [Image.fromarray(with_disc(image)) for image in speckled(3)]
    first.save(tmp_path / "several.tif", save_all=True, append_images=others)
    view = make_view(diagnoser, decoders, tmp_path / "several.tif", Limits())
    assert (view.image == np.asarray(first)).all()
    (note, *_) = describe(view, diagnoser.bundle).notes
    assert note.startswith(
        "The file has 3 images. This is the first. The command python -m bus_lightning.diagnosis.pre"
    )


def test_a_video_whose_header_does_not_count_is_said_to_have_several_and_one_of_one_image_is_not(diagnoser, picture):
    notes = []
    for announced in (0, 1):
        frames = (Frame(np.asarray(Image.open(picture)), number) for number in range(1))
        reader = SimpleNamespace(read=lambda *_, announced=announced, frames=frames: (announced, frames))
        notes.append(describe(make_view(diagnoser, reader, picture, Limits()), diagnoser.bundle).notes)
    assert notes[0][0].startswith("The file has several images. This is the first.")
    assert notes[0][1:] == notes[1]


# The report.


def test_the_report_is_a_pdf_and_a_png_without_the_files_name(shown, diagnoser):
    words = describe(shown, diagnoser.bundle)
    pdf, png = (write(shown, words, 0.5) for write in (printout.write_pdf, printout.write_png))
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert Image.open(BytesIO(png)).size[0] == 1000
    for content in (pdf, png, repr(shown).encode(), repr(words).encode()):
        assert NAME.encode() not in content
        assert b"given" not in content  # the folder's
    assert re.fullmatch(r"[0-9a-f]{12}", shown.name)


def test_the_report_has_the_heat_at_the_chosen_strength(shown, diagnoser):
    words = describe(shown, diagnoser.bundle)
    weak, strong = (np.asarray(Image.open(BytesIO(printout.write_png(shown, words, value)))) for value in (0.0, 1.0))
    assert weak.shape == strong.shape
    assert (weak != strong).any()


def test_a_long_name_of_a_data_set_is_whole_in_the_png(shown, diagnoser, monkeypatch):
    rows, draw = [], printout._draw_rows
    monkeypatch.setattr(printout, "_draw_rows", lambda sheet, drawn, top: rows.extend(drawn) or draw(sheet, drawn, top))
    name = "W" * 80
    words = replace(describe(shown, diagnoser.bundle), trained_on=f"Trained on 24 images of {name}.")
    printout.write_png(shown, words, 0.5)
    widths = [ImageFont.load_default(printout._STYLES[style][2]).getlength(text) for style, text in rows]
    assert max(widths) <= 1000 - 2 * printout._MARGIN
    assert name in "".join(text for _, text in rows)


def test_the_patient_that_a_dicom_header_names_appears_nowhere(diagnoser, decoders, tmp_path):
    file = tmp_path / "anything"
    pixels = with_disc(speckled(1)[0])[..., 0]
    file.write_bytes(dicom(pixels.tobytes(), Rows=pixels.shape[0], Columns=pixels.shape[1]))
    assert PATIENT.encode() in file.read_bytes()
    view = make_view(diagnoser, decoders, file, Limits())
    words = describe(view, diagnoser.bundle)
    written = [write(view, words, 0.5) for write in (printout.write_pdf, printout.write_png)]
    page = rendering.render_picture(view, words)
    page += rendering.render("answer", words) + rendering.render("details", words)
    for content in (*written, page.encode(), repr(view).encode()):
        assert PATIENT.encode() not in content


# What is given.


def test_what_the_browser_says_about_a_file_is_checked():
    assert _given({"path": "/x"}, Limits()) == "/x"
    for nothing in (None, {}, [], "x", {"path": None}, {"refused": "503"}, {"refused": 200}):
        assert _given(nothing, Limits()) is None
    with pytest.raises(UserError, match="Too many files"):
        _given({"path": "/x", "refused": 503}, Limits())


def test_a_file_that_is_too_large_is_refused_with_both_sizes():
    with pytest.raises(UserError, match="has 300 MB, more than 100 MB"):
        _given({"bytes": 300_000_000}, Limits(file_bytes=100_000_000))
    with pytest.raises(UserError, match=r"has 1\.1 MB, more than 1 MB"):  # never as large as the limit
        _given({"bytes": 1_000_001}, Limits(file_bytes=1_000_000))


def test_several_files_are_refused_with_their_number():
    with pytest.raises(UserError, match=r"^3 files were dropped: drop one at a time\.$"):
        _given({"files": 3}, Limits())


def test_the_strength_of_the_heat_is_a_share_whatever_is_sent():
    assert [_share(sent) for sent in (0.25, 7, -1)] == [0.25, 1.0, 0.0]
    assert {_share(sent) for sent in (float("nan"), float("inf"), None, "1", [0.5], True)} <= {STRENGTH, 1.0}


# The command.


def test_help_comes_without_gradio():
    code = "import sys; from bus_lightning.diagnosis.app import main\ntry: main(['--help'])\nfinally: assert 'gradio' not in sys.modules and 'openvino' not in sys.modules"  # noqa: E501
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "not a medical device" in ran.stdout


def test_what_prevents_the_start_is_one_line_and_exit_code_2(bundle, tmp_path, capsys, monkeypatch):
    tampered = tmp_path / "tampered"
    shutil.copytree(bundle, tampered)
    (tampered / "MODEL_CARD.md").write_text("Trust me.")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        cases = {
            (str(tmp_path / "missing"), "--port", "0"): "does not exist: name the folder of a bundle",
            (str(tampered), "--port", "0"): "has changed",
            (str(bundle), "--port", port): f"Port {port} is used",
            (str(bundle), "--port", "0", "--host", "203.0.113.7"): "not an address of this machine",
            (str(bundle), "--port", "0", "--host", "é" * 70): "not an address of this machine",
            (str(bundle), "--port", "0", "--host", ""): "--host is empty",  # the whole network could open the page
            (str(bundle), "--port", "0", "--precision", "int8"): "no int8",
            (str(bundle), "--port", "0", "--allow-host", "http://x"): "--allow-host http://x is not a name",
        }
        for arguments, reason in cases.items():
            assert app.main(arguments) == 2
            printed = capsys.readouterr().err
            assert reason in printed
            assert printed.count("\n") == 1
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "bus_lightning.diagnosis.page.building")
    monkeypatch.delattr("bus_lightning.diagnosis.page.building", raising=False)
    monkeypatch.delitem(sys.modules, "bus_lightning.diagnosis.page.application", raising=False)
    assert app.main([str(bundle), "--port", "0"]) == 2
    assert "pip install 'bus_lightning[app]'" in capsys.readouterr().err


NO_BFLOAT16 = """
import sys
from bus_lightning.diagnosis import app, networks
from bus_lightning.diagnosis.page import serving
networks._capabilities = lambda: ["FP32"]
serving.wait_until = lambda stopped: None
sys.exit(app.main(["--port", "0", *sys.argv[1:]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "is_said"), [("bf16", True), ("fp32", False)])
def test_the_page_says_before_it_opens_that_the_cpu_has_no_bfloat16(precision, is_said):
    command = [sys.executable, "-c", NO_BFLOAT16, "--precision", precision]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert ("This CPU has no bfloat16: bf16 is computed in fp32." in done.stderr) == is_said


def test_port_0_takes_a_free_one():
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 1023


@pytest.mark.parametrize(("host", "is_warned"), [
    ("127.0.0.1", False), ("127.0.0.2", False), ("::1", False), ("localhost", False),
    ("0.0.0.0", True), ("::", True), ("192.168.1.5", True), ("clinic.example.org", True),
])  # fmt: skip
def test_a_page_that_others_can_open_is_warned_about(diagnoser, capsys, host, is_warned):
    announce(host, 7860, diagnoser.bundle)
    assert ("Anyone on this network can open it" in capsys.readouterr().out) is is_warned
