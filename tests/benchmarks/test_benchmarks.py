"""The tables of benchmarks/README.md are what was measured, and nothing else."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_bundle import make_bundle, speckled

import benchmarks.__main__
from benchmarks import diagnosis, report
from benchmarks.__main__ import SECTIONS, main
from benchmarks.contestants import Setting, timed_command
from benchmarks.gpu.tables import page_tables
from benchmarks.probes.users import peak_mb, served
from benchmarks.probes.views import SIDE, lesion, pictures
from benchmarks.processes import run
from benchmarks.stamps import SKIPPED, step_seconds, write_stamps
from bus_lightning.data.index import read_index

ROOT = Path(__file__).parents[2]


def test_the_readme_shows_what_the_results_hold(tmp_path):
    copy = tmp_path / "README.md"
    shutil.copy(report.README, copy)
    tables = {}
    for name, section in SECTIONS.items():
        tables |= report.section_tables(report.RESULTS, name, section.tables)
    tables |= page_tables(report.RESULTS)
    assert report.render(tables, copy) == []
    assert copy.read_text() == report.README.read_text()
    places = set(re.findall(r"<!-- table:(\w+) -->", copy.read_text()))
    assert places == set(tables)


def test_rendering_leaves_the_prose_alone(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("Before.\n<!-- table:one -->\nold\n<!-- end -->\nBetween.\n<!-- table:two -->\n<!-- end -->\n")
    assert report.render({"one": "new", "none": "lost"}, readme) == ["none"]
    assert readme.read_text() == (
        "Before.\n<!-- table:one -->\nnew\n<!-- end -->\nBetween.\n<!-- table:two -->\n<!-- end -->\n"
    )


def test_a_page_with_a_damaged_marker_ends_rendering_in_one_line(tmp_path, monkeypatch, capsys):
    damaged = tmp_path / "README.md"
    damaged.write_text("<!-- table:growth -->\nold\n")
    monkeypatch.setattr(report, "PAGES", (damaged,))
    assert main(["growth", "--render"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line == f"{damaged}: the table growth has no end; add the line <!-- end --> below it."


def test_no_result_names_a_path_of_the_machine_that_made_it():
    files = list(report.RESULTS.glob("*.json"))
    assert {file.stem for file in files} - {"gpu"} == set(SECTIONS) | {"chaos", "attack", "page_load"}
    for file in files:
        content = json.loads(file.read_text())
        assert content["commit"]
        assert not re.search(r'"/\w', file.read_text()), file


def test_a_section_that_reads_no_images_of_busi_does_not_name_them(tmp_path, monkeypatch):
    facts = json.loads((report.RESULTS / "startup.json").read_text()) | {"data": "BUSI"}
    monkeypatch.setattr(benchmarks.__main__, "provenance", lambda: facts)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    for name, data in (("coverage", "simulated"), ("doubt", "BUSI")):
        monkeypatch.setattr(SECTIONS[name], "measure", lambda quick: {})
        monkeypatch.setattr(SECTIONS[name], "tables", lambda results: {})
        assert main([name, "--quick"]) == 0
        assert json.loads((tmp_path / "quick" / f"{name}.json").read_text())["data"] == data


def test_step_times_leave_the_first_steps_out(tmp_path):
    write_stamps(tmp_path / "clock.json", [0.0, 100.0, 101.0, 103.0, 107.0])
    assert step_seconds(tmp_path / "clock.json") == [2.0, 4.0]


@pytest.mark.nightly
@pytest.mark.busi
@pytest.mark.parametrize("contestant", ["ours", "plain"])
def test_contestants_that_read_data_are_timed_over_the_same_steps(contestant, tmp_path, busi):
    command = timed_command(contestant, Setting("alexnet"), 4, tmp_path, None)
    run(command)
    assert len(step_seconds(tmp_path / "clock.json")) == 4 - SKIPPED - 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count in other units")
def test_a_megabyte_of_memory_is_a_million_bytes():
    finished = run(["python", "-c", "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"])
    assert finished.peak_mb == pytest.approx(1024 * int(finished.output) / 1e6, rel=0.01)


def test_no_percentile_lies_between_what_was_measured():
    values = [float(number) for number in range(100, 0, -1)]
    assert diagnosis.percentile(values, 0.99) == 99
    assert diagnosis.percentile(values[:10], 0.99) == 100
    assert diagnosis.tail([1.0, 2.0, 30.0]) == "2.0 (p99 30.0)"


def test_ratios_and_parts_of_a_diagnosis_are_of_medians(timed):
    networks, wholes, parts, *_ = timed
    assert "| net | 1 | 40.0 (p99 44.0) | 20.0 (p99 22.0) |" in networks
    assert networks.splitlines()[2].endswith("| 2.0 | 4.0 | 4.0 | 8.0 |")
    # 3 to decode, 30 to answer; the heat map takes 2 more.
    assert "| pair | 1 | 33.0 (p99 36.0) | 33.0 (p99 36.0) | 33.0 (p99 36.0) | 100 | 1.0 | 2.0 (p99 2.0) |" in wholes
    # Of the 33, 3 + 12 + 6 + 1 + 2 are parts of their own.
    assert parts.splitlines()[2] == "| pair | 1 | 3.0 | 12.0 | 6.0 | 1.0 | 2.0 | 9.0 | 2.0 | 20.0 |"


def test_a_page_that_did_not_start_says_why_in_its_table(timed):
    assert "| broken | not measured: no page |" in timed[-1]
    assert "| pair | 0.50 (p99 0.50) | 1.50 (p99 2.00) | 2 | 2.0 | 400 |" in timed[-1]


@pytest.fixture
def timed():
    """The tables of made-up times."""
    ms = {"decode": [2, 3, 4], "answer": [29, 30, 32], "answer and heat map": [31, 32, 34], "segmenter": [12],
          "classifier": [6], "measure": [1], "doubt": [2], "save": [20]}  # fmt: skip
    contestants = zip(diagnosis.CONTESTANTS, (40, 20, 10, 10, 5), strict=True)
    results = {
        "networks": [{"net": "net", "threads": 1, "ms": {name: [x, x, 1.1 * x] for name, x in contestants}}],
        "diagnoses": [{"pair": "pair", "threads": 1, "ms": dict.fromkeys(diagnosis.PRECISIONS, ms)}],
        "predict": [{"pair": "pair", "threads": 1, "rates": {"int8": {"folder": [9.0], "video": [10.0]}},
                     "peak_mb": {"int8": [400.0]}}],
        "first": [{"pair": "pair", "precision": "int8", "first": [2.0], "later": [0.5], "peak_mb": [400.0],
                   "steps": {key: [0.1] for key in ("begun", "imported", "loaded", "compiled", "answered")}}],
        "page": [{"pair": "pair", "alone": [0.5], "together": [1.0, 1.5, 1.5, 2.0], "seconds": 2.0, "peak_mb": 400.0},
                 {"pair": "broken", "reason": "no page"}],
    }  # fmt: skip
    return list(diagnosis.tables(results).values())


def test_a_moved_picture_is_another_one(small_phantom):
    shown = pictures(small_phantom, 2 * len(read_index(small_phantom)))
    assert len({picture.tobytes() for picture in shown}) == len(shown)
    assert all(picture.shape == (SIDE, SIDE, 3) for picture in shown)
    assert set(np.unique(lesion(small_phantom))) == {0, 255}


@pytest.mark.nightly
def test_users_are_timed_until_the_page_has_answered(tmp_path):
    bundle = make_bundle(tmp_path / "bundle")
    _, picture = cv2.imencode(".png", speckled(1)[0])
    with served(bundle, "fp32") as (page, process):
        assert page.ask(picture.tobytes()) > 0
        with pytest.raises(RuntimeError, match="no answer"):
            page.ask(b"no picture")
        assert peak_mb(process) > 50


def test_mutants_without_their_extra_are_one_line_that_names_it():
    code = "import runpy, sys; sys.modules['cosmic_ray'] = None; runpy.run_module('benchmarks.mutants', alter_sys=True)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith("The extra `mutants` brings it: pip install -e '.[mutants]'\n")
