"""The wheel trains in an empty folder, its commands have their own names, and the user's configs and networks count."""

import json
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from hatchling.build import build_sdist, build_wheel

from bus_lightning.config.user_configs import check_user_configs
from bus_lightning.core.commands import name_command, name_program
from bus_lightning.core.errors import UserError
from bus_lightning.launch import console

ROOT = Path(__file__).parents[2]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
NETWORK = """
from torch import nn


class Tiny(nn.Sequential):
    def __init__(self, classes: int, channels: int) -> None:
        super().__init__(nn.Conv2d(channels, 4, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))
"""
MODEL = """
defaults: [override /task@_global_.task: classification]
name: tiny
net: {_target_: hospital_networks.Tiny, classes: "${data.num_classes}", channels: "${data.channels}"}
debug_size: {}
weights: null
imagenet: null
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel, unpacked as pip does it, within the checkout of another project."""
    project = tmp_path_factory.mktemp("project")
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    git = ["git", "-C", str(project), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "Another project"], check=True)
    with working_in(ROOT):  # where the build reads pyproject.toml
        wheel = project / build_wheel(str(project))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(project / "site")
    return project


@contextmanager
def working_in(folder):
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def sizes_of(wheel):
    """Return the size of each file in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {file.filename: file.file_size for file in archive.infolist()}


def run(installed, command, *arguments):
    """Run a command through a script as pip writes it."""
    module, _, function = SCRIPTS[command].partition(":")
    script = installed / "bin" / command
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n")
    environment = {**os.environ, "PYTHONPATH": str(installed / "site"), "WANDB_MODE": "offline"}
    return subprocess.run(
        [sys.executable, str(script), *arguments], cwd=installed, env=environment, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip


def test_the_wheel_holds_every_config_and_each_file_that_the_package_reads(installed):
    packed = {path.relative_to(installed / "site").as_posix() for path in (installed / "site").rglob("*")}
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "conf", "bus_lightning"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    expected = {f"bus_lightning/{path}" if path.startswith("conf/") else path for path in tracked}
    assert len(expected) > 400
    assert not expected - packed
    assert "bus_lightning/py.typed" in packed


def test_the_wheel_is_small_and_holds_only_the_package(installed):
    (wheel,) = installed.glob("*.whl")
    assert wheel.stat().st_size < 20e6
    assert {Path(name).parts[0].partition("-")[0] for name in sizes_of(wheel)} == {"bus_lightning"}
    assert not [name for name in sizes_of(wheel) if {"tests", "docs", "benchmarks"} & set(Path(name).parts)]


def test_the_sdist_is_small_and_gives_the_same_wheel(installed, tmp_path):
    (wheel,) = installed.glob("*.whl")
    with working_in(ROOT):
        sdist = tmp_path / build_sdist(str(tmp_path))
    assert sdist.stat().st_size < 20e6
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    with working_in(tmp_path / sdist.name.removesuffix(".tar.gz")):
        again = tmp_path / build_wheel(str(tmp_path))
    assert sizes_of(again) == sizes_of(wheel)


@pytest.mark.slow
def test_the_wheel_trains_a_network_of_the_users_own_file_and_names_no_commit_of_another_project(installed):
    (installed / "hospital_networks.py").write_text(NETWORK)
    (installed / "configs" / "model").mkdir(parents=True)
    (installed / "configs" / "model" / "tiny.yaml").write_text(MODEL)
    options = ("model=tiny", "data=phantom", "debug=fast", "logger=none", "callbacks.progress=null")
    done = run(installed, "bus-train", "--config-dir", "configs", *options)
    assert done.returncode == 0, done.stderr
    (status,) = (installed / "runs" / "debug").glob("tiny*/status.json")
    content = json.loads(status.read_text())
    assert (content["state"], content["commit"], content["dirty"]) == ("complete", None, None)
    shown = run(installed, "bus-train", "--config-dir", "configs", "-m", "model=tiny,alexnet", "--cfg", "job")
    assert "hospital_networks.Tiny" in shown.stdout


def test_the_commands_of_the_package_are_named_in_its_help_and_its_errors(installed):
    assert "  bus-train -m model=resnet50" in run(installed, "bus-train", "--help").stdout
    assert run(installed, "bus-report", "--help").stdout.startswith("usage: bus-report ")
    refused = run(installed, "bus-train", "model=resnet50,alexnet")
    assert refused.stderr.endswith("which needs -m: bus-train -m model=resnet50,alexnet\n")
    assert refused.returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "arguments", "named"),
    [
        ("bus-train", ("model=alexnet", "data.root=data/gone"), "data/gone"),
        ("bus-train", ("--config-dir", "configs/gone"), "configs/gone"),
        ("bus-train", ("--config-dir", ""), "--config-dir is empty"),
        ("bus-evaluate", ("runs=runs/gone",), "runs/gone"),
        ("bus-report", ("runs/gone",), "runs/gone"),
        ("bus-audit", ("data/gone",), "data/gone"),
        ("bus-app", ("bundles/gone",), "bundles/gone"),
    ],
)  # fmt: skip
def test_a_relative_path_that_is_missing_outside_a_checkout_is_named_in_one_line(installed, command, arguments, named):
    done = run(installed, command, *arguments)
    lines = [sum(named in line for line in text.splitlines()) for text in (done.stdout, done.stderr)]
    assert done.returncode in (1, 2)
    assert max(lines) == 1  # a run's error is in the log and in the table
    assert "Traceback" not in done.stderr


def test_a_checkout_names_its_scripts(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/project/train.py"])
    assert (name_command("report"), name_program()) == (
        "python -m bus_lightning.launch.report", "python /project/train.py"
    )  # fmt: skip
    monkeypatch.setattr(sys, "argv", [r"/bin/bus-train.exe"])
    assert (name_command("report"), name_program()) == ("bus-report", "bus-train")


@pytest.mark.parametrize("command", SCRIPTS)
def test_each_command_has_its_function(command):
    module, _, function = SCRIPTS[command].partition(":")
    assert module == console.__name__
    assert callable(getattr(console, function))
    assert name_command(function)


def test_a_library_that_is_not_installed_is_named_with_the_extra_that_brings_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pandas", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "bus_lightning.data.audit_command", raising=False)
    assert console.audit() == 1
    assert capsys.readouterr().err == (
        "Error: this command needs pandas, which is not installed: pip install 'bus_lightning[train]'\n"
    )


def test_a_folder_of_configs_that_hides_one_of_ours_or_holds_none_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"--config-dir .*gone: there is no such folder"):
        check_user_configs(tmp_path / "gone")
    with pytest.raises(UserError, match=r"has no YAML file: write one"):
        check_user_configs(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tiny.yaml").write_text(MODEL)
    check_user_configs(tmp_path)
    (tmp_path / "model" / "resnet50.yaml").write_text(MODEL)
    with pytest.raises(UserError, match=r"model/resnet50.yaml has the name of a file of bus_lightning"):
        check_user_configs(tmp_path)


def test_output_that_nobody_reads_to_its_end_is_no_error():
    reader = subprocess.Popen(
        f"{sys.executable} train.py --help | head -n 1", shell=True, cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    out, err = reader.communicate(timeout=120)
    assert out.startswith("Train breast-ultrasound networks")
    assert err == ""
