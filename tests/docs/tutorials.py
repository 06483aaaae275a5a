"""Run a tutorial from top to bottom in a copy of the checkout: `python tests/docs/tutorials.py NAME FOLDER [--keep]`.

With `--keep`, the notebook in the checkout gets the outputs: short texts, without progress bars, pictures and HTML.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
TUTORIALS = ROOT / "docs" / "tutorials"
_LINES = 40  # kept of an output


def copy_checkout(folder):
    """Copy what the commands of the tutorials need."""
    for name in ("bus_lightning", "conf", "docs/tutorials"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("train.py", "evaluate.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)


def run_tutorial(name, folder):
    """Run a notebook in a copy of the checkout and return it with its outputs; an error in a cell is raised."""
    copy_checkout(folder)
    os.environ |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(folder),
                   "WANDB_MODE": "offline", "COLUMNS": "100"}  # fmt: skip
    notebook = nbformat.read(folder / "docs" / "tutorials" / f"{name}.ipynb", as_version=4)
    place = {"metadata": {"path": str(folder / "docs" / "tutorials")}}
    return NotebookClient(notebook, timeout=3600, startup_timeout=600, resources=place).execute()  # on a busy machine


def short_outputs(cell, folder):
    """Return the outputs of a cell that are kept: texts without progress bars and without the path of the copy."""
    texts = [output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout"]
    text = "".join(texts).replace(f"{folder.resolve()}/", "")
    lines = [line.rstrip() for line in text.split("\n") if "━" not in line]
    lines = [line for line in lines if line and not line.startswith("     ")]  # a bar's second line is indented
    kept = [nbformat.v4.new_output("stream", name="stdout", text="\n".join(lines[:_LINES]) + "\n")] if lines else []
    results = [output.data for output in cell.outputs if output.output_type == "execute_result"]
    shown = [{kind: data[kind] for kind in ("text/plain", "image/jpeg") if kind in data} for data in results]
    return kept + [nbformat.v4.new_output("execute_result", data=data) for data in shown]


def main():
    """Run the tutorial that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    executed = run_tutorial(options.name, options.folder)
    file = TUTORIALS / f"{options.name}.ipynb"
    kept = nbformat.read(file, as_version=4)
    for cell, own in zip(executed.cells, kept.cells, strict=True):
        if cell.cell_type == "code":
            outputs = short_outputs(cell, options.folder)
            if options.keep:
                own.outputs = outputs
            elif [output.output_type for output in outputs] != [output.output_type for output in own.outputs]:
                sys.exit(f"{file}: the kept outputs of a cell are of another kind than the new ones; run with --keep:\n"
                         f"{cell.source}")  # fmt: skip
    if options.keep:
        file.write_text(nbformat.writes(kept, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
