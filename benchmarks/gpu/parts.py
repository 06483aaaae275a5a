"""The parts of the check. Each is given its seconds, and returns what it has measured until then."""

import json
import shutil
import time
import xml.etree.ElementTree as ElementTree
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from omegaconf import OmegaConf

from benchmarks.contestants import data_options
from benchmarks.gpu.watch import Samples, watched
from benchmarks.processes import CORES, PROJECT, SCRATCH, Finished, MeasurementError, run, say

PAPER = ("resnet34_pretrained", "resnet34", "resnet50", "alexnet", "deepcardinal50", "u2net_lite")  # sweep=paper
_SAME = ("cases.csv", "metrics.json", "history.csv")  # of a resumed run and an undisturbed one
_CALLBACK = "+callbacks.{name}._target_=benchmarks.gpu.callbacks.{kind}"


@dataclass(frozen=True)
class Settings:
    """What is measured, and for how long.

    Attributes:
        device: cuda, or cpu, which hides the GPU: to try the check itself.
        models: The networks.
        options: More options of train.py.
        epochs: Epochs of each network, the first of which does not count; at least 3.
        bare_steps: Steps of the bare loop.
        debug_size: Whether the networks are small ones, as for tests.
        resumed: The network that is stopped and resumed; it needs deterministic operations.
        tests: Files of tests; none takes those that have tests marked `gpu`, and of them only these tests.
        seconds: Time for everything.
        folder: Where the runs go.
    """

    device: str = "cuda"
    models: tuple[str, ...] = PAPER
    options: tuple[str, ...] = ()
    epochs: int = 4
    bare_steps: int = 60
    debug_size: bool = False
    resumed: str = "resnet34"
    tests: tuple[str, ...] = ()
    seconds: float = 460
    folder: Path = SCRATCH / "gpu"

    def run(self, command: list[str | Path], limit: float) -> Finished:
        """Run a command on the chosen device.

        Raises:
            MeasurementError: If it fails, or takes longer than `limit` seconds.
        """
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if self.device == "cpu" else {}
        return run(command, threads=CORES, timeout=limit, **hidden)


def train_on_device(settings: Settings, limit: float, _: dict[str, Any]) -> dict[str, Any]:
    """Train all networks with their images in the device's memory."""
    return _train_all(settings, limit, on_device=True)


def train_from_host(settings: Settings, limit: float, _: dict[str, Any]) -> dict[str, Any]:
    """Train all networks with their images in the host's memory."""
    return _train_all(settings, limit, on_device=False)


def _train_all(settings: Settings, limit: float, on_device: bool) -> dict[str, Any]:
    """Train the networks as a grid.

    Returns:
        Of each network that came to its end: `images_per_second`, seconds of an `epoch`, `seconds` of the run, `shape`
        of a batch, what the framework chose, `peak_mb` of its tensors, and what nvidia-smi has seen. `start` is the
        time that belongs to no run. `stopped` says why networks are missing.
    """
    folder = _empty(settings.folder / ("device" if on_device else "host"))
    clock = [_CALLBACK.format(name="epochs", kind="Epochs"), f"+callbacks.epochs.path={folder}/${{model.name}}.json"]
    command = [
        "python", "train.py", *(["-m"] if len(settings.models) > 1 else []), f"model={','.join(settings.models)}",
        *_common(settings, folder, settings.epochs), f"data.on_device={str(on_device).lower()}", *clock,
    ]  # fmt: skip
    stopped, begin = "", time.monotonic()
    with watched() if settings.device == "cuda" else nullcontext(Samples()) as samples:
        try:
            settings.run(command, limit)
        except MeasurementError as error:
            stopped = reason(error, time.monotonic() - begin, limit)
            if not list(folder.glob("*.json")):
                raise
    wall = time.monotonic() - begin
    networks: dict[str, dict[str, Any]] = {}
    for model in settings.models:
        clock_file, status = folder / f"{model}.json", _status(folder, model)
        if not clock_file.is_file() or status.get("state") != "complete":
            continue
        measured = json.loads(clock_file.read_text())
        starts = measured["epochs"]
        spans = measured["spans"][1:]  # the first epoch chooses kernels
        networks[model] = {
            "images_per_second": sum(images for images, _ in spans) / sum(seconds for _, seconds in spans),
            "epoch": median(after - before for before, after in pairwise(starts[1:])),
            "seconds": status["seconds"],
            "shape": measured["shape"],
            "precision": "bf16" if status["precision"].startswith("bf16") else "fp32",
            "layout": "channels_last" if status["channels_last"] else "contiguous",
            "on_device": status["on_device"],
            "peak_mb": measured["peak_mb"],
            "seen": samples.between(starts[1], starts[-1]),
        }
    start = max(0.0, wall - sum(network["seconds"] for network in networks.values()))
    return {"networks": networks, "start": start, "epochs": settings.epochs, "stopped": stopped}


def run_bare_loops(settings: Settings, limit: float, parts: dict[str, Any]) -> dict[str, Any]:
    """Time the bare loop of each network that was trained, with the same batch, precision and memory layout."""
    trained = parts.get("device", {}).get("networks", {})
    if not trained:
        raise MeasurementError("no network was trained to compare it with")
    out = _empty(settings.folder / "bare") / "rates.json"
    networks = [
        f"{model}:{numbers['precision']}:{numbers['layout']}:{numbers['shape'][0]}:{numbers['shape'][-1]}"
        for model, numbers in trained.items()
    ]
    command = ["python", "-m", "benchmarks.probes.bare_epochs", *networks, "--steps", str(settings.bare_steps),
               "--out", out, *(["--debug-size"] if settings.debug_size else [])]  # fmt: skip
    stopped, begin = "", time.monotonic()
    try:
        settings.run(command, limit)
    except MeasurementError as error:
        stopped = reason(error, time.monotonic() - begin, limit)
        if not out.is_file():
            raise
    return {"images_per_second": json.loads(out.read_text()), "stopped": stopped}


def resume_run(settings: Settings, limit: float, _: dict[str, Any]) -> dict[str, Any]:
    """Stop a run in its second epoch, resume it, and compare its files with those of an undisturbed one."""
    folder, deadline = _empty(settings.folder / "resumed"), time.monotonic() + limit
    flags = {"undisturbed": folder / "undisturbed.flag", "resumed": folder / "resumed.flag"}
    flags["undisturbed"].touch()

    def train(name: str) -> None:
        stop = [_CALLBACK.format(name="stop", kind="StopOnce"), f"+callbacks.stop.flag={flags[name]}"]
        settings.run(["python", "train.py", f"model={settings.resumed}", *_common(settings, folder, 3), *stop,
                      "trainer.deterministic=true", f"name={name}"], deadline - time.monotonic())  # fmt: skip

    train("undisturbed")
    try:
        train("resumed")
    except MeasurementError:
        if _status(folder, "resumed").get("state") != "interrupted":
            raise
    else:
        raise MeasurementError("the run was not stopped")
    train("resumed")
    first, second = (folder / "gpu" / name for name in flags)
    return {"same": {file: (first / file).read_bytes() == (second / file).read_bytes() for file in _SAME}}


def run_tests(settings: Settings, limit: float, _: dict[str, Any]) -> dict[str, Any]:
    """Run the tests that need a GPU.

    Returns:
        How many `passed`, `failed` and were `skipped`, and the names of those that failed.
    """
    file = _empty(settings.folder / "tests") / "tests.xml"
    marked = [str(test) for test in (PROJECT / "tests").rglob("test_*.py") if "mark.gpu" in test.read_text()]
    tests = settings.tests or ["-m", "gpu", *sorted(marked)]
    try:
        settings.run(["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={file}", *tests],
                     limit)  # fmt: skip
    except MeasurementError as error:
        if not file.is_file():
            raise
        say(str(error))
    cases = [*ElementTree.parse(file).getroot().iter("testcase")]
    bad = [case.get("name", "") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return {"passed": len(cases) - len(bad) - skipped, "failed": bad, "skipped": skipped}


def recipe_epochs() -> int:
    """Read how many epochs the paper's recipe trains."""
    return int(OmegaConf.load(PROJECT / "conf" / "trainer" / "default.yaml").max_epochs)


def _common(settings: Settings, folder: Path, epochs: int) -> list[str]:
    """Give the options that all runs share; weights from the internet are replaced by random ones."""
    return [f"runs_dir={folder}", "group=gpu", "logger=none", "model.weights=null", f"trainer.max_epochs={epochs}",
            f"debug_size={str(settings.debug_size).lower()}", f"data.cache={settings.folder / 'cache'}",
            *data_options(), *settings.options]  # fmt: skip


def _status(folder: Path, name: str) -> dict[str, Any]:
    """Read how a run went, whose name may go on after the model; empty if it did not begin."""
    files = [*folder.glob(f"gpu/{name}/status.json"), *folder.glob(f"gpu/{name}__*/status.json")]
    return json.loads(files[0].read_text()) if files else {}


def reason(error: MeasurementError, took: float, limit: float) -> str:
    """Say in a few words why something was not measured."""
    return f"did not fit into {limit:.0f} s" if took >= limit else str(error).partition(" after ")[0].partition("\n")[0]


def _empty(folder: Path) -> Path:
    """Give a folder with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
