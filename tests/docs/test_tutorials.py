"""The tutorials run from top to bottom on synthetic images, and are kept small enough to be reviewed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pages import NOTEBOOKS

TUTORIALS = Path(__file__).parent / "tutorials.py"


@pytest.mark.nightly
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_tutorial_runs_from_top_to_bottom(notebook, tmp_path):
    pytest.importorskip("nbclient", reason="needs pip install -e '.[docs]'")
    command = [sys.executable, TUTORIALS, notebook.stem, tmp_path / "checkout"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr


def test_the_tutorials_of_the_pages_are_there():
    names = [notebook.stem for notebook in NOTEBOOKS]
    assert names == ["first_grid", "grid_to_page", "own_data", "own_network", "read_a_run"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_tutorial_keeps_short_texts_and_small_pictures_only(notebook):
    assert notebook.stat().st_size < 80_000
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs
    assert {output["output_type"] for output in outputs} <= {"stream", "execute_result"}  # no error
    assert all(set(output.get("data", {})) <= {"text/plain", "image/jpeg"} for output in outputs)
    texts = "".join("".join(output.get("text", output.get("data", {}).get("text/plain", ""))) for output in outputs)
    assert "\x1b" not in texts  # colours of a terminal
    assert "/home/" not in texts
    assert "/tmp/" not in texts  # nor a path of the machine that ran it
