"""The version stands in one place, and whatever repeats it agrees."""

import re
import tomllib
from pathlib import Path

import yaml

import bus_lightning

ROOT = Path(__file__).parents[1]
SECTIONS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def test_the_package_is_the_one_place_of_the_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"] == {"path": "bus_lightning/__init__.py"}
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == bus_lightning.__version__


def test_the_changelog_ends_unreleased_changes_with_the_version_and_has_the_known_sections():
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert versions[:2] == ["Unreleased", bus_lightning.__version__]
    for version in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        sections = re.findall(r"^### (.+)$", version, re.MULTILINE)
        assert sections == [name for name in SECTIONS if name in sections]
        assert sections
