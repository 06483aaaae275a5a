"""Put folders and other files before the commands that read them, one command each."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.attack.archives import hostile_zips
from benchmarks.attack.bundles import foreign_bundles
from benchmarks.attack.checkpoints import hostile_checkpoints
from benchmarks.attack.data_folders import damaged_caches, hostile_data_folders, hostile_splits
from benchmarks.attack.ground import Ground
from benchmarks.attack.outcomes import Outcome, Tally
from benchmarks.attack.runs import foreign_runs, set_in_config
from benchmarks.attack.tables import PATIENCE_S
from benchmarks.attack.watching import Watched, watch

_PROGRESS = re.compile(r"^(\[\d+\] .*|imported)\r?$", re.MULTILINE)
_IN_A_REPORT = 20  # runs
_REPORT_PATIENCE_S = 600.0
LIGHT = ("numpy", "cv2", "PIL.Image", "bus_lightning.diagnosis.bundle")
HEAVY = ("torch", "lightning.pytorch", "timm", "segmentation_models_pytorch", "albumentations", "matplotlib.pyplot",
         "hydra", "bus_lightning.launch.jobs", "bus_lightning.training.evaluate")  # fmt: skip
# Those that a user may name as model.weights.
_WEIGHTS = re.compile(r"^(pickled-code|torchscript|safetensors.*|pipe|endless|noise|folder|cut-0)$")


@dataclass(frozen=True)
class Case:
    """A command that reads something hostile.

    Attributes:
        kind: The row of the table.
        name: What it reads.
        command: `-m`, a module and its arguments, or a script and its arguments.
        members: Several runs that one command reads; `left_out` then says which of them it did not use.
        left_out: A table that the command writes, with a column `run`.
        patience: Seconds.
    """

    kind: str
    name: str
    command: tuple[str, ...]
    members: tuple[str, ...] = ()
    left_out: Path = Path()
    patience: float = PATIENCE_S


def light_cases(ground: Ground, folder: Path, markers: Path, image: Path, rng: Random) -> list[Case]:
    """Make what is read without training libraries: bundles by `predict`, zips by `data.download`."""
    cases = []
    for bundle in foreign_bundles(ground.bundle, folder / "bundles", markers, rng):
        command = ("-m", "bus_lightning.diagnosis.predict", str(bundle), str(image), "--threads", "1", "--out",
                   str(folder / "results" / bundle.name))  # fmt: skip
        cases.append(Case("bundles", bundle.name, command))
    for archive in hostile_zips(ground.images, folder / "zips", rng):
        command = ("-m", "bus_lightning.data.download", "--zip", str(archive), "--out",
                   str(folder / "unpacked" / archive.stem))  # fmt: skip
        cases.append(Case("zips", archive.stem, command))
    return cases


def run_cases(ground: Ground, folder: Path, markers: Path) -> list[Case]:
    """Make what is read with training libraries: the folders of runs."""
    cases = []
    for kind, runs in foreign_runs(ground.classifier, folder / "runs", markers).items():
        # The others are read by the report alone.
        cases += [Case(f"{kind}: evaluate", run.name, _evaluate(run)) for run in runs
                  if not run.name.startswith(("metrics.json", "history.csv", "cases.csv"))]  # fmt: skip
        cases += [Case(f"{kind}: export", run.name, _export(ground, run, folder))
                  for run in runs if run.name.startswith("target-model.net")]  # fmt: skip
        cases += _reports(ground, runs, f"{kind}: report", folder / "reported" / str(len(cases)))
    return cases


def other_cases(ground: Ground, folder: Path, markers: Path, rng: Random) -> list[Case]:
    """Make what else is read with training libraries: checkpoints, splits, caches and data folders."""
    cases = []
    checkpoints = hostile_checkpoints(ground.classifier / "checkpoints" / "best.ckpt", folder / "weights", markers, rng)
    for checkpoint in checkpoints:
        run = folder / "kept" / checkpoint.stem
        shutil.copytree(ground.classifier, run, ignore=shutil.ignore_patterns("figures", "checkpoints"))
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "best.ckpt").symlink_to(checkpoint)
        cases.append(Case("checkpoints: evaluate", checkpoint.stem, _evaluate(run)))
        if _WEIGHTS.search(checkpoint.stem):
            command = _train(ground, folder, f"weights-{checkpoint.stem}", f"model.weights={checkpoint}")
            cases.append(Case("checkpoints: train", checkpoint.stem, command))
    for split in hostile_splits(ground.classifier / "split.json", folder / "splits"):
        cases.append(Case("split files", split.stem, (*_evaluate(ground.classifier), f"split={split}")))
    for cache in damaged_caches(ground.cache, folder / "caches"):
        run = folder / "with-cache" / cache.name
        shutil.copytree(ground.classifier, run, ignore=shutil.ignore_patterns("figures"))
        set_in_config("data.cache", str(cache))(run)
        cases.append(Case("caches", cache.name, _evaluate(run)))
    for root in hostile_data_folders(ground.images, folder / "data"):
        command = ("-m", "bus_lightning.data.audit", str(root), "--out", str(folder / "audits" / root.name))
        cases.append(Case("data folders", root.name, command))
    return cases


def _reports(ground: Ground, runs: list[Path], kind: str, folder: Path) -> list[Case]:
    """Make reports of some runs at a time, each with an intact one."""
    cases = []
    for number in range(0, len(runs), _IN_A_REPORT):
        some, group = runs[number : number + _IN_A_REPORT], folder / str(number)
        group.mkdir(parents=True)
        for run in (ground.classifier, *some):
            (group / run.name).symlink_to(run)
        out = folder / f"report-{number}"
        command = ("-m", "bus_lightning.launch.report", str(group), "--out", str(out), "--no-wandb")
        members = tuple(run.name for run in some)
        cases.append(Case(kind, str(number), command, members, out / "tables" / "left_out.csv", _REPORT_PATIENCE_S))
    return cases


def give(
    cases: Iterable[Case], modules: Iterable[str], file: Path, most_mb: float, tally: Tally,
    done: Callable[[int], None], **environment: str,
) -> str:  # fmt: skip
    """Give the commands one after another, and add what became of each to the tally.

    Args:
        cases: The commands.
        modules: What they import, which is imported once.
        file: A JSON file for the process that gives them; other parallel calls need another one.
        most_mb: Memory at which that process is ended.
        tally: Where outcomes go.
        done: Called with the number of cases at the end.
        environment: More variables of the commands.

    Returns:
        What they printed.

    Raises:
        RuntimeError: If the process that gives them ends before the last.
    """
    cases = list(cases)
    task = {"modules": list(modules), "cases": [
        {"name": case.name, "command": case.command, "patience": case.patience} for case in cases
    ]}  # fmt: skip
    file.write_text(json.dumps(task))
    command = ["python", "-m", "benchmarks.attack.forks", str(file)]
    watched = watch([*command], _PROGRESS, 2 * _REPORT_PATIENCE_S, most_mb, **environment)
    results = file.with_suffix(".results.json")
    if watched.code or watched.code is None or not results.is_file():
        raise RuntimeError(f"the attack itself failed: {watched.output[-3000:]}")
    answers = json.loads(results.read_text())
    outcomes = [outcome for case, answer in zip(cases, answers, strict=True) for outcome in _outcomes(case, **answer)]
    tally.add(outcomes,
              Watched(0, False, max(answer["seconds"] for answer in answers), watched.together_mb, watched.alone_mb,
                      ""))  # fmt: skip
    done(len(cases))
    return "".join(answer["output"] for answer in answers)


def _outcomes(case: Case, code: int | None, seconds: float, output: str) -> list[Outcome]:
    if code is None:
        result = "hung"
    elif code < 0:
        result = "crashed"
    elif "Traceback (most recent call last)" in output:
        result = "traceback"
    elif code == 0:
        result = "answered"
    else:
        result = "refused" if output.strip() else "without a line"
    line = output[-3000:].strip()
    if case.members and result == "answered":
        with case.left_out.open(newline="", encoding="utf-8") as stream:
            reasons = {row["run"]: row["reason"] for row in csv.DictReader(stream)}
        return [Outcome(case.kind, name, "refused" if name in reasons else result, reasons.get(name, ""))
                for name in case.members]  # fmt: skip
    return [Outcome(case.kind, name, result, line) for name in case.members or (case.name,)]


def _evaluate(runs: Path) -> tuple[str, ...]:
    return ("evaluate.py", f"runs='{runs}'", "progress=false")


def _export(ground: Ground, run: Path, folder: Path) -> tuple[str, ...]:
    return ("-m", "bus_lightning.export", "--run", str(ground.segmenter), str(run), "--out",
            str(folder / "exported" / run.name))  # fmt: skip


def _train(ground: Ground, folder: Path, name: str, *options: str) -> tuple[str, ...]:
    """Make the command of a training of one epoch, into its own folder."""
    cache = () if any(option.startswith("data.cache=") for option in options) else (f"data.cache={ground.cache}",)
    return ("train.py", *ground.training, *ground.net("classifier"), f"runs_dir={folder / 'trained'}", "group=attack",
            f"name={name}", *cache, *options)  # fmt: skip
