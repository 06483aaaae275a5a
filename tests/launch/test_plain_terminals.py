"""In a terminal that shows only ASCII, the commands print other letters as escapes, and end with the usual code."""

import io
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from bus_lightning import __version__

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "train.py", ROOT / "evaluate.py", *ROOT.glob("bus_lightning/**/*.py"))
    if '__name__ == "__main__"' in path.read_text()
)
ASCII = {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "0"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("plain") / "grün"


def run_in_ascii(*arguments, folder=ROOT):
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, env=os.environ | ASCII, capture_output=True, timeout=300,
        encoding="ascii",
    )  # fmt: skip


def test_the_card_of_a_model_is_printed():
    done = run_in_ascii("-m", "bus_lightning.diagnosis.predict", "--card")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Paw\\u0142owska" in done.stdout


def test_an_audit_prints_where_it_wrote(small_phantom, place):
    out = ("--out", place / "audit", "--cache", place / "cache")
    done = run_in_ascii("-m", "bus_lightning.data.audit", small_phantom, *out)
    assert (done.returncode, done.stderr) == (0, "")
    assert "gr\\xfcn" in done.stdout


def test_phantoms_are_drawn_and_a_data_folder_is_compared(place):
    drawn = run_in_ascii("-m", "bus_lightning.data.phantom", place / "phantom", "--images", "3")
    assert (drawn.returncode, drawn.stdout.count("gr\\xfcn")) == (0, 1)
    compared = run_in_ascii("-m", "bus_lightning.data.download", "--out", place / "phantom")
    assert (compared.returncode, compared.stdout.count("gr\\xfcn")) == (1, 1)


def test_a_training_prints_where_it_failed(small_phantom, place):
    options = (f"data.root={small_phantom}", f'data.cache="{place / "cache"}"', f'runs_dir="{place / "runs"}"')
    done = run_in_ascii("train.py", "model=alexnet", "debug=fast", "logger=none", "model.weights=gone.pth", *options)
    assert done.returncode == 1
    assert "gr\\xfcn" in done.stdout


@pytest.mark.slow
def test_a_job_in_another_process_shows_its_progress(place):
    phantom = ROOT / "tests" / "kept" / "data" / "phantom"
    options = (f"data.root={phantom}", f'data.cache="{place / "cache"}"', f'runs_dir="{place / "jobs"}"')
    grid = ("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "model=alexnet", "debug=fast", "logger=none")
    done = run_in_ascii("train.py", *grid, "seed=0,1", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "UnicodeEncodeError" not in done.stdout + done.stderr


def test_every_command_is_found():
    assert len(COMMANDS) == 11


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # another test has imported it
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_escapes_letters_from_its_first_line_on_and_has_a_version(command, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "argv", [command, "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / command), run_name="__main__")
    terminal.flush()
    assert end.value.code == 0
    assert terminal.buffer.getvalue().decode() == f"bus_lightning {__version__}\n"
    assert terminal.errors == "backslashreplace"
