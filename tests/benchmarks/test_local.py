"""The section of the page in the browser: real answers, and differences that it would notice."""

import re

import numpy as np
import pytest

from benchmarks import local, report
from benchmarks.__main__ import main
from benchmarks.processes import MeasurementError
from bus_lightning.diagnosis.answering import Answer
from bus_lightning.diagnosis.doubt import Doubt
from bus_lightning.diagnosis.networks import computed_precision

MASK = np.array([[True, True, False], [False, False, False]])


def make_answer(mask):
    return Answer(
        probabilities={"benign": 0.6, "malignant": 0.4}, calibrated=True, answer="benign", malignant_flag=False,
        mask=mask, measurements=None, heat_map=None, doubts=(Doubt("unsure", "Unsure."),),
        image=np.zeros((2, 3, 3), np.uint8),
    )  # fmt: skip


def test_each_difference_from_the_server_is_noticed():
    equal = {
        "probabilities": {"benign": 0.6, "malignant": 0.4},
        "answer": "benign",
        "mask": "110000",
        "doubts": ["unsure"],
    }
    no_difference = {"probability": 0, "dice": 1, "class": 0, "doubts": 0}
    assert local.differences(equal, make_answer(MASK)) == no_difference
    other = {
        "probabilities": {"benign": 0.45, "malignant": 0.55},
        "answer": "malignant",
        "mask": "100100",
        "doubts": [],
    }
    all_differences = {"probability": pytest.approx(0.15), "dice": 0.5, "class": 1, "doubts": 1}
    assert local.differences(other, make_answer(MASK)) == all_differences
    assert local.differences({**equal, "mask": "000000"}, make_answer(np.zeros_like(MASK))) == no_difference
    assert local.differences(equal, make_answer(np.zeros_like(MASK)))["dice"] == 0


def test_images_are_spread_over_each_class(small_phantom, monkeypatch):
    monkeypatch.setenv("BUSI_ROOT", str(small_phantom))
    chosen = local.choose_images(2)
    assert len(set(chosen)) == 6
    assert {path.parent.name for path in chosen} == {"benign", "malignant", "normal"}
    monkeypatch.delenv("BUSI_ROOT")
    assert len(local.choose_images(2)) == 6


def test_a_missing_engine_is_named_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.setattr(local, "RUNTIME", local.PROJECT / "build" / "no-engine")
    with pytest.raises(MeasurementError, match=re.escape(f"make build/no-engine/{local.VERSION} brings it")):
        local.measure(quick=True)


@pytest.mark.parametrize(
    ("lacking", "line"),
    [
        ("browser", "local could not be measured: no browser: install Chromium"),
        ("data", "local could not be measured: No data folder at /no/such/folder (BUSI_ROOT)"),
    ],
)
def test_what_is_lacking_is_named_in_a_line_before_the_page_starts(lacking, line, monkeypatch, capsys):
    monkeypatch.setattr(local, "find_runtime", lambda _: {})
    monkeypatch.setattr(local, "running_page", None)
    monkeypatch.setattr(local, "_CHROMIUM", ("no-such-browser" if lacking == "browser" else "sh",))
    monkeypatch.setenv("BUSI_ROOT", "/no/such/folder")
    assert main(["local", "--quick"]) == 1
    assert line in capsys.readouterr().out


def test_the_tables_hold_ranges_and_the_worst_image():
    compared = {"probability": [0.0, 2e-7, 1.3e-6], "dice": [1.0, 1.0, 0.99999], "class": [0.0, 0.0, 1.0],
                "doubts": [0.0, 1.0, 1.0]}  # fmt: skip
    times, differences = local.tables(
        {"first": [2.2, 2.0, 2.5], "later": [0.3, 0.4], "compared": {"fp32": compared}}
    ).values()
    assert "| first, with the engine and the network | 2.20 (2.00 to 2.50) | 3 | 3.0 |" in times
    assert "| later | 0.35 (0.30 to 0.40) | 2 |  |" in times
    assert "| fp32 | 3 | 0.0000002 | 0.0000013 | 1.00000 | 0.99999 | 1 | 2 |" in differences


def test_the_guide_of_the_page_shows_what_was_measured():
    text = report.DIAGNOSIS.read_text()
    shown = report.section_tables(report.RESULTS, "local", local.tables)
    assert set(shown) == {"local_times", "local_differences"}
    assert all(table in text for table in shown.values())


@pytest.mark.browser
def test_the_browser_is_timed_and_compared_with_the_server(monkeypatch):
    if not (local.RUNTIME / local.VERSION).is_file():
        pytest.skip(f"needs onnxruntime-web: make build/onnxruntime-web/{local.VERSION}")
    monkeypatch.delenv("BUSI_ROOT", raising=False)
    monkeypatch.setattr(local, "LATER", 1)
    results = local.measure(quick=True)
    assert (len(results["first"]), len(results["later"])) == (2, 2)
    assert min(results["first"]) > 0
    same = results["compared"]["fp32"]
    assert len(same["probability"]) == 6
    assert max(same["probability"]) < 0.001
    assert min(same["dice"]) > 0.99
    assert sum(same["class"]) == 0
    assert ("bf16" in results["compared"]) == (computed_precision("bf16") == "bf16")
    rounded = results["compared"].get("bf16")
    assert rounded is None or max(rounded["probability"]) > max(same["probability"])
