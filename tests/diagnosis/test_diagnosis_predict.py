"""The command that diagnoses a folder: a row and pictures for each file, no name, and it goes on after any stop."""

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny_bundle import CLASSES, make_bundle, speckled, with_disc

from bus_lightning.diagnosis import networks, predict
from bus_lightning.diagnosis.bundle import SHIPPED, load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame
from bus_lightning.diagnosis.results import Results

PATIENT = "Doe_Jane_1970"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture
def images(tmp_path):
    """A folder of four pictures with lesions, of different sizes, named after a patient."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number, (height, width) in enumerate([(150, 180), (100, 90), (200, 120), (150, 180)]):
        image = with_disc(speckled(1, number, (height, width))[0], (50, 40 + number), 20)
        Image.fromarray(image).save(folder / f"{PATIENT}_{number}.png")
    return folder


def names_in(folder):
    """Name the pictures as `predict` does."""
    files = sorted(folder.iterdir())
    return [f"{k:04d}-{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}" for k, file in enumerate(files, 1)]


def table_of(out):
    with (out / "results.csv").open() as stream:
        return list(csv.DictReader(stream))


def run(bundle, *arguments):
    return predict.main([str(bundle), *map(str, arguments)])


def test_every_picture_gets_a_row_a_mask_an_overlay_and_a_json(bundle, images, tmp_path):
    out = tmp_path / "out"
    assert run(bundle, images, "--out", out, "--batch", 3) == 0
    rows = table_of(out)
    assert [row["name"] for row in rows] == names_in(images)
    for row, file in zip(rows, sorted(images.iterdir()), strict=True):
        image = cv2.imread(str(file))
        record = json.loads((out / f"{row['name']}.json").read_text())
        mask = cv2.imread(str(out / f"{row['name']}_mask.png"), cv2.IMREAD_UNCHANGED)
        assert mask.shape == image.shape[:2]
        assert set(np.unique(mask)) == {0, 255}
        assert cv2.imread(str(out / f"{row['name']}_overlay.png")).shape == image.shape
        assert sum(float(row[f"prob_{name}"]) for name in CLASSES) == pytest.approx(1, abs=1e-5)
        assert row["class"] == max(CLASSES, key=lambda name: float(row[f"prob_{name}"]))
        assert int(row["area_px"]) == (mask > 0).sum() == record["lesion"]["area_px"]
        assert float(row["long_axis_px"]) == pytest.approx(41, abs=4)
        assert row["doubts"] == ";".join(doubt["code"] for doubt in record["doubts"])
        assert record["bundle"] == load_bundle(bundle).id


def test_no_file_name_appears_anywhere(bundle, images, tmp_path, capfd):
    (images / f"{PATIENT}_broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 50)
    (images / f"{PATIENT}_link.png").symlink_to(images / f"{PATIENT}_gone.png")
    out = tmp_path / "out"
    assert run(bundle, images, images / f"{PATIENT}_missing.png", "--out", out) == 1
    written = "".join(capfd.readouterr()) + "".join(file.name for file in out.iterdir())
    written += "".join(file.read_bytes().decode(errors="replace") for file in out.iterdir())
    assert "Doe" not in written
    assert "Jane" not in written
    assert "3 of 7 files could not be diagnosed" in written


def test_names_are_kept_on_request(bundle, images, tmp_path, capsys):
    odd = images / os.fsdecode(b"sch\xf6n\n.png")
    shutil.copy(images / f"{PATIENT}_0.png", odd)
    out = tmp_path / "out"
    assert run(bundle, images, "--out", out, "--keep-names") == 0
    assert [row["file"] for row in table_of(out)][:4] == [str(file) for file in sorted(images.iterdir())][:4]


def test_kept_names_are_those_of_the_latest_command(bundle, images, tmp_path):
    out = tmp_path / "out"
    assert run(bundle, images, "--out", out, "--keep-names") == 0
    moved = images.rename(tmp_path / "moved")
    assert run(bundle, moved, "--out", out, "--keep-names") == 0
    assert [row["file"] for row in table_of(out)] == [str(file) for file in sorted(moved.iterdir())]
    assert str(images) not in "".join(file.read_text() for file in out.glob("*.json"))


def test_a_bad_file_is_listed_and_the_others_are_answered(bundle, images, tmp_path, capsys):
    (images / "a_first.png").write_bytes(b"nothing")
    out = tmp_path / "out"
    assert run(bundle, images, "--out", out) == 1
    assert len(table_of(out)) == 4
    printed = capsys.readouterr()
    assert "1 of 5 files could not be diagnosed" in printed.err
    lines = [line for line in printed.err.splitlines() if line.startswith("  ")]
    assert len(lines) == 1
    assert re.match(r"  \d{4}-[0-9a-f]{12}: The file is a text file", lines[0])


def test_a_picture_that_fails_does_not_stop_the_rest_of_its_batch(bundle, images, tmp_path, monkeypatch, capsys):
    diagnose = Diagnoser.diagnose

    def fail_on_tall(self, frames, heat_map=True):
        if any(frame.image.shape[0] == 200 for frame in frames):
            raise RuntimeError(f"about {PATIENT}")
        return diagnose(self, frames, heat_map)

    monkeypatch.setattr(Diagnoser, "diagnose", fail_on_tall)
    out = tmp_path / "out"
    assert run(bundle, images, "--out", out, "--batch", 4) == 1
    assert len(table_of(out)) == 3
    printed = capsys.readouterr().err
    assert "could not be diagnosed (RuntimeError)" in printed
    assert PATIENT not in printed


def test_results_within_the_folder_of_images_are_no_images(bundle, images):
    for _ in range(2):
        assert run(bundle, images, "--out", images / "results") == 0
        assert len(table_of(images / "results")) == 4


def test_existing_results_are_not_computed_again(bundle, images, tmp_path):
    out = tmp_path / "out"
    run(bundle, images, "--out", out)
    names = names_in(images)
    before = {file.name: file.stat().st_mtime_ns for file in out.glob("0*")}
    (out / f"{names[1]}.json").unlink()  # cut off before the JSON, which comes last
    (out / f"{names[2]}_mask.png").unlink()
    assert run(bundle, images, "--out", out) == 0
    again = {name[:17] for name, time_ in before.items() if (out / name).stat().st_mtime_ns != time_}
    assert again == set(names[1:3])
    assert len(table_of(out)) == 4


def test_results_move_along_when_files_come_before_them(bundle, images, tmp_path):
    out = tmp_path / "out"
    run(bundle, images, "--out", out)
    overlays = {file.stat().st_ino for file in out.glob("*_overlay.png")}
    Image.fromarray(with_disc(speckled(1, 9)[0])).save(images / "AAA.png")
    assert run(bundle, images, "--out", out) == 0
    assert [row["name"] for row in table_of(out)] == names_in(images)
    assert overlays < {file.stat().st_ino for file in out.glob("*_overlay.png")}
    assert sorted(file.stem for file in out.glob("*.json") if not file.name.startswith(".")) == names_in(images)


def test_results_of_other_files_stay_and_are_counted(bundle, images, tmp_path, capsys):
    out, first = tmp_path / "out", sorted(images.iterdir())[0]
    run(bundle, images, "--out", out)
    assert "earlier command" not in capsys.readouterr().out
    assert run(bundle, first, "--out", out) == 0
    assert f"{out} also holds the results of 3 other files of an earlier command" in capsys.readouterr().out
    assert len(table_of(out)) == 1
    assert len(list(out.glob("*_overlay.png"))) == 4


def test_the_json_is_written_last(bundle, tmp_path, monkeypatch):
    results = Results(tmp_path / "out", {"bundle": "b"})
    frame = Frame(with_disc(speckled(1)[0]))
    diagnosis = Diagnoser(load_bundle(bundle)).diagnose([frame])[0]

    def full_disk(self, name, kind, picture):
        if kind == "overlay":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Results, "_save_picture", full_disk)
    with pytest.raises(OSError, match="No space"):
        results.save("0001-aaaaaaaaaaaa", frame, diagnosis)
    assert not results.is_complete("0001-aaaaaaaaaaaa")
    assert not list((tmp_path / "out").glob("0*.json"))


def test_frames_of_a_file_get_a_row_each_and_go_on_after_a_stop(bundle, tmp_path):
    pages = [Image.fromarray(with_disc(speckled(1, k)[0], radius=10 + 5 * k)) for k in range(4)]
    file = tmp_path / "clip.tiff"
    pages[0].save(file, save_all=True, append_images=pages[1:])
    out = tmp_path / "out"
    assert run(bundle, file, "--out", out) == 0
    rows = table_of(out)
    assert [row["name"][-6:] for row in rows] == ["-f0000", "-f0001", "-f0002", "-f0003"]
    assert [int(row["area_px"]) for row in rows] == sorted(int(row["area_px"]) for row in rows)
    whole = rows[0]["name"][:-6]
    assert json.loads((out / f"{whole}.json").read_text())["frames"] == 4
    before = (out / f"{whole}-f0001.json").stat().st_mtime_ns
    (out / f"{whole}-f0002.json").unlink()
    assert run(bundle, file, "--out", out) == 0
    assert len(table_of(out)) == 4
    assert (out / f"{whole}-f0001.json").stat().st_mtime_ns == before


def test_the_folder_of_another_bundle_or_of_other_things_is_refused(bundle, images, tmp_path, capsys):
    out = tmp_path / "out"
    run(bundle, images, "--out", out)
    other = make_bundle(tmp_path / "other", temperature=3.0)
    assert run(other, images, "--out", out) == 2
    printed = capsys.readouterr().err
    assert "another bundle" in printed
    assert len(printed.splitlines()) == 1
    assert run(bundle, images, "--out", out, "--no-heat-map") == 2
    assert "another heat map" in capsys.readouterr().err
    assert run(bundle, images, "--out", images) == 2
    assert "other files than results" in capsys.readouterr().err
    assert predict.main(["--bundle", str(tmp_path), str(images), "--out", str(out)]) == 2
    assert "is not a bundle" in capsys.readouterr().err


def test_results_name_the_precision_of_the_cpu_and_only_that_goes_on(images, tmp_path, capsys, monkeypatch):
    asked = (SHIPPED, images, "--out", tmp_path / "out", "--precision", "bf16")
    monkeypatch.setattr(networks, "_capabilities", lambda: ["FP32"])
    assert run(*asked) == 0
    assert "This CPU has no bfloat16: bf16 is computed in fp32." in capsys.readouterr().err
    monkeypatch.setattr(networks, "_capabilities", lambda: ["FP32", "BF16"])
    assert run(*asked) == 2
    assert "another precision" in capsys.readouterr().err
    assert run(*asked[:-1], "fp32") == 0
    assert "bfloat16" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["b"], ["b", "i"], ["b", "i", "--out", "o", "--threads", "0"]])
def test_bad_usage_ends_with_2(arguments, capsys):
    try:
        code = predict.main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_says_that_it_can_go_on_and_goes_on(bundle, tmp_path, sent):
    pages = [Image.fromarray(with_disc(speckled(1, k, (400, 500))[0])) for k in range(40)]
    file, out = tmp_path / "clip.tiff", tmp_path / "out"
    pages[0].save(file, save_all=True, append_images=pages[1:])
    command = [sys.executable, "-m", "bus_lightning.diagnosis.predict", bundle, file, "--out", out]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(out.glob("*-f0003.json")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(sent)
    printed = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + sent
    assert printed.splitlines()[-1] == "Stopped: the same command continues from here."
    assert "Traceback" not in printed
    assert 3 < len(table_of(out)) < 40
    assert run(bundle, file, "--out", out) == 0
    assert len(table_of(out)) == 40


def test_help_is_quick_and_loads_no_engine():
    code = ("import sys; from bus_lightning.diagnosis import predict\ntry: predict.main(['--help'])\n"
            "except SystemExit: print(sorted({'openvino', 'cv2', 'numpy', 'torch'} & set(sys.modules)))")  # fmt: skip
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"
    assert "not a medical device" in printed


def test_prediction_takes_nothing_of_the_training_side(bundle, images, tmp_path):
    code = ("import sys; from bus_lightning.diagnosis import predict; predict.main(sys.argv[1:]); "
            "print(sorted({'torch', 'pandas', 'hydra', 'lightning', 'scipy', 'matplotlib', 'onnxruntime', 'sklearn'}"
            " & set(sys.modules)))")  # fmt: skip
    command = [sys.executable, "-c", code, bundle, images, "--out", tmp_path / "out"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_command_that_does_not_stop_at_the_first(second, tmp_path):
    script = (
        "import os, signal, sys\n"
        "from bus_lightning.diagnosis import predict\n"
        "def stubborn(options):\n"
        "    try:\n"
        f"        os.kill(os.getpid(), {int(second)})\n"
        "    except BaseException:\n"
        f"        os.kill(os.getpid(), {int(second)})\n"
        "    print('still there', flush=True)\n"
        "predict._predict = stubborn\n"
        "predict.main(['bundle', 'image.png', '--out', 'results'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (-second, "")
