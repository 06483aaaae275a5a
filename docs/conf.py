"""Sphinx's settings: `make docs` builds the pages into build/site/, without a warning and without the internet.

The root of the checkout is the source folder, so that a relative link leads to the same
page on a forge and on the site.
"""

import re
from inspect import getdoc
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]

project = "bus_lightning"
(release,) = re.findall(r'^__version__ = "(.*)"$', (ROOT / "bus_lightning/__init__.py").read_text(), re.MULTILINE)
project_copyright = "the bus_lightning authors. Apache-2.0. Not a medical device"
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "benchmarks/README.md",
    "benchmarks/mutants/survivors.md",
    "docs/**",
    "bus_lightning/diagnosis/shipped/MODEL_CARD.md",
]
exclude_patterns = ["docs/tutorials/.ipynb_checkpoints"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_heading_anchors = 4  # as a forge names them
nb_execution_mode = "off"  # `make tutorials` runs the notebooks
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True}
default_role = "code"  # docstrings write `name`
add_module_names = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["assets"]
html_css_files = ["site.css"]
html_extra_path = ["site"]  # index.html, which leads to docs/index.html
html_copy_source = False
html_show_sourcelink = False


def keep_sentence(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Put back the sentence of a property of which napoleon has taken the words before a colon for its type."""
    if what in ("property", "attribute", "data") and any(line.startswith(":type:") for line in lines):
        lines[:] = (getdoc(obj) or "").splitlines()


def setup(app: Sphinx) -> None:
    """Read docstrings after napoleon does, whose priority is 500."""
    app.connect("autodoc-process-docstring", keep_sentence, priority=600)
