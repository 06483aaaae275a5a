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
    client = NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": str(folder / "docs/tutorials")}})
    client.create_kernel_manager().transport = "ipc"  # no port that others on this machine could reach
    return client.execute()


def short_outputs(cell):
    """Return the outputs of a cell that are kept: texts without progress bars, as one stream or result each."""
    kept = []
    for output in cell.outputs:
        if output.output_type == "stream":
            lines = [line.rstrip() for line in output.text.split("\n") if "━" not in line]
            lines = [line for line in lines if line and not line.startswith("   ")]
            if lines and output.name == "stdout":
                kept.append(nbformat.v4.new_output("stream", name="stdout", text="\n".join(lines[:_LINES]) + "\n"))
        elif output.output_type == "execute_result":
            plain = {"text/plain": output.data["text/plain"]}
            kept.append(nbformat.v4.new_output("execute_result", data=plain, execution_count=None))
    return kept


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
            outputs = short_outputs(cell)
            if options.keep:
                own.outputs = outputs
            elif [output.output_type for output in outputs] != [output.output_type for output in own.outputs]:
                sys.exit(f"{file}: the kept outputs of a cell are of another kind than the new ones; run with --keep:\n"
                         f"{cell.source}")  # fmt: skip
    if options.keep:
        file.write_text(nbformat.writes(kept, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
