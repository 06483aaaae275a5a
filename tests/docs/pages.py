"""The pages of the project, their headings and their links, as a forge reads them."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MARKDOWN = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "benchmarks/README.md",
                   ROOT / "benchmarks/mutants/survivors.md", ROOT / ".github/pull_request_template.md",
                   ROOT / "bus_lightning/diagnosis/shipped/MODEL_CARD.md"])  # fmt: skip
NOTEBOOKS = sorted(ROOT.glob("docs/tutorials/*.ipynb"))
RESTRUCTURED = sorted(ROOT.glob("docs/**/*.rst"))
_FENCE = re.compile(r"^([ \t]*)(`{3,}|~{3,})[^\n]*\n.*?^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)


def prose_of(page):
    """Return the Markdown of a page or notebook without its code."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    return _FENCE.sub("", text)


def links_of(page):
    """List the targets of the links and pictures of a page."""
    prose = re.sub(r"`[^`]*`", lambda code: "`" * len(code[0]), prose_of(page))  # a link may have code as its text
    return re.findall(r"\]\(\s*<?([^)\s>]+)", prose)


def slug(heading):
    """Return the anchor that a forge makes of a heading."""
    plain = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors_of(page):
    """Return the anchors of a page's headings; a repeated one gets a number."""
    anchors, times = set(), {}
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", prose_of(page), re.MULTILINE):
        name = slug(heading)
        anchors.add(f"{name}-{times[name]}" if name in times else name)
        times[name] = times.get(name, 0) + 1
    return anchors
