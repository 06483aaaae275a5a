"""Sphinx's settings: `make docs` builds the pages into build/site/, without a warning and without the internet.

The root of the checkout is the source folder, so that a relative link leads to the same
page on a forge and on the site.
"""

import re
from inspect import getdoc
from pathlib import Path

from docutils import nodes
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
highlight_language = "text"  # of a block without a language: commands, and what they print

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True}
default_role = "code"  # docstrings write `name`
add_module_names = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False  # what is returned is read in the order in which it is written

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["assets"]
html_css_files = ["site.css"]
html_extra_path = ["site"]  # index.html, which leads to docs/index.html
html_copy_source = False
html_show_sourcelink = False


def keep_sentence(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Put back the sentence of a property of which napoleon has taken the words before a colon for its type.

    What Python itself writes about the fields of a tuple is left out.
    """
    if what in ("property", "attribute", "data") and any(line.startswith(":type:") for line in lines):
        lines[:] = (getdoc(obj) or "").splitlines()
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()


class Break(nodes.Element):
    """A place where a long name may go on in the next line; a copy of the name does not hold it."""


def break_names(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Let long names in headings and tables break between their words, and no option after its first hyphen."""
    for text in list(doctree.findall(nodes.Text)):
        is_in_table = isinstance(text.parent, nodes.literal) and isinstance(text.parent.parent.parent, nodes.entry)
        if (is_in_table or isinstance(text.parent, nodes.title)) and re.fullmatch(r"\S{20,}", text):
            words = [nodes.Text(word) for word in re.split(r"(?<=[._/:])(?=\w)", text)]
            text.parent.replace(text, [node for word in words for node in (word, Break())][:-1])
    for literal in doctree.findall(nodes.literal):
        if re.fullmatch(r"--[\w-]{,20}", literal.astext()):
            literal["classes"].append("option")


def setup(app: Sphinx) -> None:
    """Read docstrings after napoleon does, whose priority is 500."""
    app.connect("autodoc-process-docstring", keep_sentence, priority=600)
    app.add_node(Break, html=(lambda translator, node: translator.body.append("<wbr>"), lambda translator, node: None))
    app.connect("doctree-resolved", break_names)
