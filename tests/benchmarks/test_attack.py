"""The attack makes the files that it says, and sees what becomes of them."""

import pickle
import re
import sys
import zlib
from contextlib import suppress
from pathlib import Path
from random import Random

import cv2
import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from benchmarks.attack import diagnosing
from benchmarks.attack.__main__ import main
from benchmarks.attack.announced import announced
from benchmarks.attack.cases import Case, give
from benchmarks.attack.diagnosing import diagnose
from benchmarks.attack.ground import Ground
from benchmarks.attack.marking import Marker
from benchmarks.attack.mutations import MUTATIONS
from benchmarks.attack.originals import originals
from benchmarks.attack.outcomes import BAD, Tally
from benchmarks.attack.places import make_places
from benchmarks.attack.runs import foreign_runs, targets
from benchmarks.attack.tables import MOST_MB, is_well, tables
from benchmarks.attack.watching import watch
from bus_lightning.diagnosis.reading import read_frames

KEPT = Path(__file__).parents[1] / "kept"
BUNDLE = KEPT / "bundle"
LIMIT_MB = 4000.0
LINE = re.compile(r"(line \d+)")


@pytest.fixture(scope="module")
def grey():
    image = cv2.imread(str(KEPT / "data" / "phantom" / "benign" / "benign (1).png"), cv2.IMREAD_GRAYSCALE)
    return cv2.resize(image, (96, 80))


@pytest.fixture(scope="module")
def intact(grey, tmp_path_factory):
    return originals(grey, tmp_path_factory.mktemp("videos"))


def test_a_folder_of_something_else_is_not_emptied(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Ground, "make", lambda ground: pytest.fail("the attack begins"))
    (tmp_path / "data.csv").write_text("kept")
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path)])
    assert "is not of an earlier attack, and would be emptied: name a new folder" in capsys.readouterr().err
    assert (tmp_path / "data.csv").read_text() == "kept"


def test_the_intact_files_are_of_every_format_and_are_read(grey, intact, tmp_path):
    assert {name.rpartition(".")[2] for name in intact} == {"png", "jpg", "bmp", "tif", "dcm", "mp4", "avi"}
    for name, content in intact.items():
        (tmp_path / name).write_bytes(content)
        frames = list(read_frames(tmp_path / name))
        assert len(frames) == {"animated": 4, "pages": 4, "clip": 4, "frames": 3}.get(name.partition(".")[0], 1), name
        assert frames[0].image.shape == (80, 96, 3), name


@pytest.mark.parametrize("kind", MUTATIONS)
def test_a_damaged_copy_differs_and_the_same_seed_makes_the_same(intact, kind):
    mutate = MUTATIONS[kind][0]
    for name, content in intact.items():
        made = [[mutate(name, content, rng) for _ in range(20)] for rng in (Random(1), Random(1))]
        assert made[0] == made[1], name
        assert sum(copy != content for copy in made[0]) >= 19, name
        assert len(set(made[0])) > 10, name


def test_a_changed_header_of_a_png_has_the_right_checksum(intact, tmp_path):
    change = MUTATIONS["header changed"][0]
    for seed in range(50):
        copy = change("grey.png", intact["grey.png"], Random(seed))
        if copy[8:16] == intact["grey.png"][8:16]:  # the first chunk still has its length
            assert int.from_bytes(copy[29:33], "big") == zlib.crc32(copy[12:29])


def test_files_that_announce_too_much_are_small(grey):
    files = announced(grey)
    assert len(files) > 120
    assert sum(map(len, files.values())) < 20_000_000


def test_pipes_and_links_are_what_they_say(tmp_path):
    paths = {path.stem: path for path in make_places(tmp_path / "places", b"content")}
    assert paths["pipe"].is_fifo()
    assert paths["socket"].is_socket()
    assert paths["to-zero"].resolve() == Path("/dev/zero")
    assert paths["to-itself"].is_symlink()


def test_files_are_answered_or_refused_by_the_real_command(intact, tmp_path):
    contents = {"intact.png": intact["grey.png"], "half.png": intact["grey.png"][:2000], "text.dcm": b"hello\n" * 50,
                "new\nline.jpg": intact["grey.jpg"], "it's.bmp": b""}  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    tally, done = Tally(), []
    diagnose(BUNDLE, [("files", tmp_path / name) for name in contents], tmp_path, LIMIT_MB, tally, done.append)
    results = {outcome.name: outcome.result for outcome in tally.outcomes}
    assert results == {"intact.png": "answered with a doubt", "half.png": "refused", "text.dcm": "refused",
                       "new\nline.jpg": "answered with a doubt", "it's.bmp": "refused"}  # fmt: skip
    lines = {outcome.name: outcome.line for outcome in tally.outcomes}
    assert "cut off" in lines["half.png"]
    assert "trained_on_synthetic" in lines["intact.png"]
    assert done == [5]
    assert 50 < tally.alone_mb < LIMIT_MB
    usual = frozenset(lines["intact.png"].split(";"))
    again = Tally()
    diagnose(BUNDLE, [("files", tmp_path / "intact.png")], tmp_path, LIMIT_MB, again, done.append, usual)
    assert again.counts() == {"files": {"answered": 1}}


HARM = """
import os, signal, sys, time
def harm(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        if "crash" in arguments[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        if "hang" in arguments[0]:
            time.sleep(60)
if "bus_lightning.diagnosis.predict" in " ".join(sys.orig_argv):
    sys.addaudithook(harm)
"""


@pytest.mark.slow
def test_a_file_that_ends_or_stops_the_command_is_found_among_others(intact, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(HARM)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}:{Path(__file__).parents[2]}")
    monkeypatch.setattr(diagnosing, "PATIENCE_S", 15.0)
    tally = Tally()
    for names in (("a.png", "crash.png", "b.png"), ("hang.png",)):
        files = [("files", tmp_path / name) for name in names]
        for _, path in files:
            path.write_bytes(intact["grey.png"])
        diagnose(BUNDLE, files, tmp_path, LIMIT_MB, tally, lambda number: None)
    results = {outcome.name: outcome.result for outcome in tally.outcomes}
    assert results["crash.png"] == "crashed"
    assert results["hang.png"] == "hung"
    assert {results["a.png"], results["b.png"]} == {"answered with a doubt"}
    assert len(tally.bad()) == 2


@pytest.mark.slow
def test_the_watch_sees_progress_hangs_and_the_memory_of_children_in_every_session():
    child = "x = bytearray(100_000_000); import time; time.sleep(1)"
    program = (
        "import subprocess, sys, time\n"
        "for k in range(3):\n    print('line', k, flush=True); time.sleep(0.2 + 0.6 * (k == 1))\n"
        f"children = [subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=k > 0) for k in (0, 1)]\n"
        "for one in children:\n    one.wait()\nsys.exit(3)"
    )
    watched = watch([sys.executable, "-c", program], LINE, 60, LIMIT_MB)
    assert (watched.code, watched.hung) == (3, False)
    assert watched.longest > 0.7
    assert 200 < watched.together_mb < 400
    assert 100 < watched.alone_mb < 200
    stopped = watch([sys.executable, "-c", "import time; time.sleep(60)"], LINE, 1.0, LIMIT_MB)
    assert (stopped.code, stopped.hung) == (None, True)
    greedy = watch([sys.executable, "-c", "x = bytearray(500_000_000); import time; time.sleep(60)"], LINE, 60, 300)
    assert (greedy.code, greedy.hung) == (None, False)
    assert greedy.together_mb > 300


@pytest.mark.slow
def test_each_way_in_which_a_command_can_end_is_distinguished(tmp_path):
    scripts = {
        "answered": "print('well')",
        "refused": "import sys; sys.exit('Error: this is no picture')",
        "traceback": "1 / 0",
        "crashed": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "without a line": "raise SystemExit(1)",
        "hung": "import time; time.sleep(60)",
    }
    cases = []
    for result, script in scripts.items():
        (tmp_path / f"{result}.py").write_text(script)
        cases.append(Case("commands", result, (str(tmp_path / f"{result}.py"),), patience=5.0))
    tally = Tally()
    printed = give(cases, ["json"], tmp_path / "cases.json", LIMIT_MB, tally, lambda number: None)
    assert {outcome.name: outcome.result for outcome in tally.outcomes} == {result: result for result in scripts}
    assert "this is no picture" in printed
    assert tally.longest > 4
    assert {outcome.result for outcome in tally.bad()} == {"traceback", "crashed", "hung", "without a line"}


def test_foreign_code_would_leave_a_marker_if_it_ran(tmp_path):
    pickle.loads(pickle.dumps(Marker(tmp_path / "pickled")))
    assert (tmp_path / "pickled").is_dir()
    left = set()
    for name, target in targets(str(tmp_path / "marker")):
        with suppress(InstantiationException):  # Hydra itself refuses a few
            built = instantiate(target)
            if target.get("_partial_"):
                built()
            if hasattr(built, "close"):
                built.close()
        for marker in tmp_path.glob("marker"):
            left.add(name)
            marker.rmdir() if marker.is_dir() else marker.unlink()
    assert left >= {"open", "torch-save", "numpy", "ours"}


def test_each_foreign_run_differs_from_the_intact_one_in_one_place(tmp_path):
    intact = KEPT / "runs" / "classification" / "finished"
    made = foreign_runs(intact, tmp_path / "runs", tmp_path / "markers")
    assert {kind: len(runs) > 8 for kind, runs in made.items()} == dict.fromkeys(made, True)
    for runs in made.values():
        for run in runs:
            changed = [file.name for file in intact.iterdir() if not _same(file, run / file.name)]
            assert len(changed) == 1, run.name
    assert not (tmp_path / "markers").exists()


def _same(file, other):
    if file.is_dir():
        return other.is_dir()
    return other.is_file() and not other.is_symlink() and file.read_bytes() == other.read_bytes()


def test_a_single_forbidden_outcome_fails_the_whole_attack():
    worst = {"longest": 1.0, "together_mb": 500.0, "alone_mb": 400.0}
    good = {"counts": {"files": {"refused": 3, "answered": 1}}, "predict": worst, "others": worst, "markers": 0,
            "secrets": 0, "routes": {"routes": 79, "requests": 1281, "answered": ["GET /"]}}  # fmt: skip
    assert is_well(good)
    assert "| **hostile and damaged files, folders and archives tried** | 4 |" in tables(good)["attack"]
    assert "| files | 4 | 3 | 0 | 1 | 0 |" in tables(good)["attack_kinds"]
    for bad in BAD:
        assert not is_well(good | {"counts": {"files": {"refused": 3, bad: 1}}}), bad
    assert not is_well(good | {"markers": 1})
    assert not is_well(good | {"secrets": 1})
    assert not is_well(good | {"routes": good["routes"] | {"answered": ["GET /", "GET /gradio_api/info"]}})
    assert not is_well(good | {"predict": worst | {"together_mb": MOST_MB + 1}})
    assert not is_well(good | {"predict": worst | {"alone_mb": MOST_MB + 1}})
