"""The public workflows run the project's own commands, with actions that cannot change, and only read."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def jobs_of(file):
    return yaml.safe_load(file.read_text())["jobs"]


def steps_of(file):
    return [step for job in jobs_of(file).values() for step in job["steps"]]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_workflow_uses_actions_that_cannot_change_and_only_reads(file):
    used = [step["uses"] for step in steps_of(file) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in used)
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    assert "secrets" not in file.read_text()
    assert all("timeout-minutes" in job and "permissions" not in job for job in workflow["jobs"].values())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_workflow_runs_targets_of_make_that_exist(file):
    runs = [step["run"] for step in steps_of(file) if "run" in step]
    made = [re.match(r"make ([a-z-]+)", run) for run in runs]
    assert any(made)
    assert {match[1] for match in made if match} <= TARGETS
    others = [run for run, match in zip(runs, made, strict=True) if not match]
    assert all(run.startswith("sudo apt-get") for run in others)  # a step of CI alone would not be run by anybody else


def test_a_change_passes_the_same_targets_here_and_in_public():
    local = set(re.findall(r"^ *make ([a-z-]+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE))
    public = {run.split()[1] for run in (step.get("run", "") for step in steps_of(ROOT / ".github/workflows/ci.yml"))
              if run.startswith("make ")}  # fmt: skip
    assert {"lint", "test", "docs"} <= local & public
    assert local - {"test-browser"} <= public  # the pages are opened where Chromium is installed


def test_the_package_and_the_oldest_versions_are_tried_in_public_and_the_addresses_every_night():
    ci, nightly = ({step.get("run") for step in steps_of(ROOT / ".github/workflows" / name)}
                   for name in ("ci.yml", "nightly.yml"))  # fmt: skip
    assert {"make try-package TORCH=cpu", "make test-lowest TORCH=cpu"} <= ci
    assert {"make bench-quick", "make check-links"} <= nightly


def test_three_pythons_are_tested_and_the_oldest_is_the_one_that_is_required():
    (required,) = re.findall(r'^requires-python = ">=(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    pythons = jobs_of(ROOT / ".github/workflows/ci.yml")["test"]["strategy"]["matrix"]["python"]
    assert len(pythons) == 3
    assert pythons[0] == required
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    assert [name.rpartition(" ")[2] for name in classifiers if re.search(r":: 3\.\d+$", name)] == pythons


@pytest.mark.parametrize("form", [form for form in FORMS if form.stem != "config"], ids=lambda form: form.stem)
def test_a_form_has_what_a_forge_needs_and_unique_questions(form):
    content = yaml.safe_load(form.read_text())
    assert content["name"]
    assert content["description"]
    questions = [field for field in content["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in questions}) == len(questions)
    assert any(field.get("validations", {}).get("required") for field in questions)
    assert all(field["attributes"]["label"] for field in questions)
