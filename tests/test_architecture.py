"""The folders of the package import downwards only."""

import ast
from pathlib import Path

import pytest

from bus_lightning.launch.report import PAPERS

PACKAGE = Path(__file__).parent.parent / "bus_lightning"
CORE = {"core"}
DATA = CORE | {"config", "data"}
RUNS = DATA | {"models", "metrics", "runs"}
REPORT = RUNS | {"tasks", "statistics", "explain", "report"}
MAY_IMPORT = {
    "core": set(),
    "config": CORE,
    "data": CORE | {"config"},
    "models": CORE,
    "metrics": CORE,
    "tasks": CORE | {"data", "models", "metrics"},
    "runs": DATA | {"models", "metrics"},
    "statistics": DATA | {"metrics", "runs"},
    "explain": RUNS | {"tasks", "statistics"},
    "training": RUNS | {"tasks", "statistics", "explain"},
    "report": RUNS | {"statistics", "explain"},
    **{paper.removeprefix("bus_lightning."): REPORT for paper in PAPERS if paper.startswith("bus_lightning.")},
    "tracking": RUNS | {"tasks", "statistics", "training"},
    "diagnosis": CORE | {"data"},
    "export": RUNS | {"tasks", "statistics", "diagnosis"},
    "launch": None,
}


def imports_of(file: Path) -> set[str]:
    """Return the modules of the package that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    folders = {f"bus_lightning.{folder}" for folder in MAY_IMPORT}  # the version is for all
    return {name for name in names if ".".join(name.split(".")[:2]) in folders}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_what_lies_below_it(folder):
    allowed = MAY_IMPORT[folder]
    wrong = [
        f"{file.relative_to(PACKAGE)} imports {name}"
        for file in sorted((PACKAGE / folder).rglob("*.py"))
        for name in sorted(imports_of(file))
        if allowed is not None and name.split(".")[1] not in allowed | {folder}
    ]
    assert not wrong


def test_each_folder_has_its_rule():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(MAY_IMPORT)
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py"}
