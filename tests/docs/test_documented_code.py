"""What the Python of the pages and tutorials imports from the project exists, under the names that it uses."""

import json
import re
import textwrap
from importlib import import_module

import pytest
from pages import MARKDOWN, NOTEBOOKS

import bus_lightning

_PYTHON = re.compile(r"^([ \t]*)```python\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def code_of(page):
    """List the pieces of Python code of a page or notebook."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        return [cell for cell in cells if not cell.startswith("%%")]
    return [textwrap.dedent(code) for _, code in _PYTHON.findall(text)]


def imported(code):
    """List module and name of what the code imports from the project; a piece may be a part of a file."""
    for module, names in re.findall(r"^\s*from (bus_lightning[\w.]*) import ([\w, ]+)$", code, re.MULTILINE):
        yield from ((module, name.split(" as ")[0].strip()) for name in names.split(","))
    yield from ((module, None) for module in re.findall(r"^\s*import (bus_lightning[\w.]*)", code, re.MULTILINE))


PAGES = [page for page in (*MARKDOWN, *NOTEBOOKS) if any(list(imported(code)) for code in code_of(page))]


def test_the_pages_with_code_are_found():
    names = {page.name for page in PAGES}
    assert {"README.md", "inference.md", "extending.md", "read_a_run.ipynb", "grid_to_page.ipynb"} <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_imports_exists(page):
    for code in code_of(page):
        for module, name in imported(code):
            found = import_module(module)
            assert name is None or hasattr(found, name), f"{page}: {module} has no {name}"
        for path in re.findall(r"\bbus_lightning((?:\.[a-z_]+)+)\(", code):  # such as bus_lightning.runs.load(...)
            found = bus_lightning
            for part in path.strip(".").split("."):
                assert hasattr(found, part), f"{page}: bus_lightning{path} does not exist"
                found = getattr(found, part)
