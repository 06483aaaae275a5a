"""Real clusters, brought up for the tests and taken down again; where something is missing, the reason is told."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FILES = ("cases.csv", "metrics.json", "history.csv")


class Grids:
    """Start `train.py -m` on the phantom, in a process of its own; one folder of runs for each launcher and purpose."""

    THREE = ("seed=0,1,2", "name=seed${seed}", "trainer.max_epochs=2")
    LONG = ("name=long", "trainer.max_epochs=40")  # long enough to be interrupted in the middle
    ONE_BAD = ("model.weights=/no/file.pth,null", "seed=0,1", "trainer.max_epochs=1")

    def __init__(self, runs, fixed):
        self.runs, self.fixed, self.started = runs, fixed, []

    def start(self, where, *overrides, env=()):
        """Start a grid and return its process; what it prints goes to `<where>.log`."""
        command = [sys.executable, "train.py", "-m", "model=alexnet", *self.fixed, f"runs_dir={self.runs / where}",
                   "group=g", *overrides]  # fmt: skip
        with (self.runs / f"{where}.log").open("a") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=os.environ | dict(env), stdout=log, stderr=log)
        self.started.append(process)
        return process

    def run(self, where, *overrides, env=(), limit=400):
        """Run a grid to its end; its exit code and what it printed come back."""
        process = self.start(where, *overrides, env=env)
        return self.ended(process, where, limit), self.printed(where)

    def ended(self, process, where, limit=400):
        """Wait for a grid and return its exit code."""
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running after {limit} s:\n{self.printed(where)[-3000:]}")

    def printed(self, where):
        return (self.runs / f"{where}.log").read_text()

    def folder(self, where, name):
        return self.runs / where / "g" / name

    def wait_for_epoch(self, where, name, epochs, limit=200):
        """Wait until so many epochs of a run are in its history."""
        history, end = self.folder(where, name) / "history.csv", time.monotonic() + limit
        while time.monotonic() < end:
            if history.is_file() and len(history.read_text().splitlines()) > epochs:
                return
            time.sleep(0.2)
        pytest.fail(f"{where}/{name} has not come to epoch {epochs}:\n{self.printed(where)[-3000:]}")

    def state(self, where, name):
        return json.loads((self.folder(where, name) / "status.json").read_text())["state"]

    def owner(self, where, name):
        """Tell the process that trains a run, by its lock."""
        return json.loads((self.runs / where / "g" / f".{name}.lock").read_text())["pid"]

    def differing(self, where, undisturbed="basic"):
        """Name the files of complete runs whose bits are not those of the undisturbed grid."""
        names = [folder.name for folder in (self.runs / where / "g").iterdir() if folder.is_dir()]
        assert names
        return [f"{name}/{file}" for name in names for file in FILES
                if (self.folder(where, name) / file).read_bytes()
                != (self.folder(undisturbed, name) / file).read_bytes()]  # fmt: skip


@pytest.fixture(scope="session")
def grids(phantom, audit_cache, tmp_path_factory):
    """Grids on the phantom; the ones of the basic launcher, which the others are compared with, are there."""
    fixed = [f"data.root={phantom}", f"data.cache={audit_cache}", "data.size=64", "debug_size=true", "logger=none",
             "callbacks.progress=null", "trainer.enable_progress_bar=false"]  # fmt: skip
    made = Grids(tmp_path_factory.mktemp("grids"), fixed)
    for overrides in (made.THREE, made.LONG):
        code, printed = made.run("basic", *overrides)
        assert code == 0, printed
    yield made
    for process in made.started:  # of tests that failed
        process.kill()
        process.wait()


@pytest.fixture
def check_three_jobs(grids):
    """Check that a launcher gives the bits of the basic one, and skips what is complete."""

    def check(where, *launcher, env=()):
        code, printed = grids.run(where, *grids.THREE, *launcher, env=env)
        assert code == 0, printed
        assert not grids.differing(where)
        assert all(f"seed{k}" in printed for k in range(3))
        assert "macro F1" in printed
        again, printed = grids.run(where, *grids.THREE, *launcher, env=env)
        assert again == 0, printed
        assert not grids.differing(where)
        return printed

    return check


@pytest.fixture
def check_one_failure(grids):
    """Check that a job that fails leaves the others alone, and that the table at the end has all."""

    def check(where, *launcher, env=()):
        code, printed = grids.run(where, *grids.ONE_BAD, *launcher, env=env)
        assert code == 1, printed
        states = [json.loads(file.read_text())["state"] for file in (grids.runs / where / "g").glob("*/status.json")]
        assert sorted(states) == ["complete", "complete", "failed", "failed"]
        table = printed[printed.index("Test results") :]
        assert table.count("(failed)") == 2
        assert table.count("alexnet") >= 4
        assert "/no/file.pth" in table
        assert "Traceback" not in table

    return check


@contextmanager
def _cluster(script, place, programs=(), modules=()):
    """Bring a cluster up by its script; what it says has to be in the environment comes back."""
    for program in programs:
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
            pytest.skip(f"{program} is not installed: `make test-cluster` prints the command that brings it")
    for module in modules:
        if not find_spec(module):
            pytest.skip(f"{module} is not installed: see the extras of pyproject.toml")
    env = os.environ | place
    try:
        up = subprocess.run([HERE / script, "up"], capture_output=True, text=True, env=env, timeout=120)
        assert up.returncode == 0, up.stderr
        pairs = (pair.split("=", 1) for pair in up.stdout.removeprefix("export ").split())
        yield {name: value.replace("$PATH", os.environ["PATH"]) for name, value in pairs}
    finally:
        subprocess.run([HERE / script, "down"], env=env, check=True, timeout=120)


def _free_port():
    """Find a port whose two next neighbours are free, too."""
    while True:
        with socket.socket() as first, socket.socket() as second, socket.socket() as third:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with suppress(OSError):
                second.bind(("127.0.0.1", port + 1))
                third.bind(("127.0.0.1", port + 2))
                return str(port)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A Slurm of two nodes; the environment that its programs need."""
    if os.geteuid():
        pytest.skip("munge and slurmd are started as root")
    place = {"SLURM_FOLDER": str(tmp_path_factory.mktemp("slurm")), "SLURM_PORT": _free_port()}
    programs = ("munged", "slurmctld", "slurmd", "sbatch")
    with _cluster("slurm.sh", place, programs, ["hydra_plugins.hydra_submitit_launcher"]) as env:
        yield env


@pytest.fixture(scope="session")
def ray_cluster():
    """A Ray cluster that was started elsewhere; the environment that names it."""
    # Ray's sockets lie in it, and their names have room for 107 characters.
    place = {"RAY_FOLDER": f"/tmp/bus_lightning_ray_{os.getpid()}", "RAY_PORT": _free_port(), "PYTHON": sys.executable}
    with _cluster("ray.sh", place, modules=["ray", "hydra_plugins.hydra_ray_launcher"]) as env:
        yield env
