"""The version stands in one place, and whatever repeats it agrees."""

import re
import subprocess
import tomllib
from pathlib import Path

import yaml

import bus_lightning
from bus_lightning.runs.code import present_code

ROOT = Path(__file__).parents[1]
SECTIONS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def test_the_package_is_the_one_place_of_the_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"] == {"path": "bus_lightning/__init__.py"}
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == bus_lightning.__version__


def test_runs_reports_and_pages_take_the_version_from_the_package():
    assert present_code()["versions"]["bus_lightning"] == bus_lightning.__version__
    (line,) = re.findall(r"^\(release,\) = .*$", (ROOT / "docs" / "conf.py").read_text(), re.MULTILINE)
    settings = {"re": re, "ROOT": ROOT}
    exec(line, settings)
    assert settings["release"] == bus_lightning.__version__


def test_no_other_file_of_the_project_states_the_version_by_hand():
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    stated = re.compile(rf"(?<![\d.]){re.escape(bus_lightning.__version__)}(?![\d.])")
    texts = [
        name for name in files.split("\0") if Path(name).suffix in {".py", ".md", ".toml", ".cff", ".yaml", ".rst"}
    ]
    named = {name for name in texts if (ROOT / name).is_file() and stated.search((ROOT / name).read_text("utf-8"))}
    assert named == {"bus_lightning/__init__.py", "CITATION.cff", "CHANGELOG.md"}


def test_the_changelog_ends_unreleased_changes_with_the_version_and_has_the_known_sections():
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert versions[:2] == ["Unreleased", bus_lightning.__version__]
    for version in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        sections = re.findall(r"^### (.+)$", version, re.MULTILINE)
        assert sections == [name for name in SECTIONS if name in sections]
        assert sections or version.startswith("[Unreleased]")
