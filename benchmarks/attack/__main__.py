"""Give hostile and damaged files of every kind to the real commands, and count the outcomes."""

import argparse
import secrets
import shlex
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
from rich.progress import Progress

from benchmarks import report
from benchmarks.attack.announced import announced
from benchmarks.attack.cases import HEAVY, LIGHT, Case, give, light_cases, other_cases, run_cases
from benchmarks.attack.diagnosing import File, diagnose
from benchmarks.attack.ground import Ground
from benchmarks.attack.mutations import MUTATIONS
from benchmarks.attack.originals import originals
from benchmarks.attack.outcomes import Tally
from benchmarks.attack.places import make_places, wrong_files
from benchmarks.attack.routes import walk
from benchmarks.attack.runs import SECRET
from benchmarks.attack.tables import INTACT, is_well, load_tables, tables
from benchmarks.processes import SCRATCH, say
from benchmarks.provenance import provenance

_OUT = SCRATCH / "attack"
_SIDES = (160, 200)  # rows and columns of the pictures
_PER_ORIGINAL, _QUICK = 75, 6  # damaged copies of each intact picture
_QUICK_STEP = 12  # the quick attack takes every twelfth of the others
_PARALLEL = 4  # commands
_MOST_MB = 6000.0  # memory at which a command is ended, to protect this machine


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.attack",
        description=f"{__doc__} All of it is made here from synthetic images: random bytes, and headers that announce "
        "large or odd numbers.",
        epilog="Writes benchmarks/results/attack.json and the tables of docs/security.md. The exit code is 1 after a "
        "crash, a traceback or a hang, if foreign code ran, or if the memory exceeds its limit.",
    )
    options.add_argument("--seed", type=int, default=0, help="seed of the damage (default: 0)")
    options.add_argument(
        "--quick", action="store_true", help="a small part; the tables are printed and nothing is kept"
    )
    options.add_argument("--out", type=Path, default=_OUT, metavar="FOLDER",
                         help="where the files go: a new folder, or one of an earlier attack, which is emptied first "
                         "(default: benchmarks/scratch/attack)")  # fmt: skip
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns:
        Exit code: 0, or 1 when something happened that must not.
    """
    options = parser().parse_args(arguments)
    folder = options.out.absolute()
    ground = Ground(folder / "ground")
    if folder.exists() and folder != _OUT and not ground.folder.is_dir():
        parser().error(f"{options.out} is not of an earlier attack, and would be emptied: name a new folder")
    about = provenance() | {
        "command": shlex.join(["python", "-m", "benchmarks.attack", *sys.argv[1:]]),
        "data": "phantom",
    }
    if not (options.quick and ground.bundle.is_dir()):  # the quick attack uses it again
        shutil.rmtree(folder, ignore_errors=True)
        ground.make()
    result = _attack(ground, folder / "files", options.seed, options.quick)
    say("\n\n".join(tables(result).values()))
    if not options.quick:
        report.save(report.RESULTS, "attack", about, result)
        made = report.section_tables(report.RESULTS, "attack", tables)
        made |= report.section_tables(report.RESULTS, "page_load", load_tables)  # measured by another command
        report.render(made, report.SECURITY)
    return 0 if is_well(result) else 1


def _attack(ground: Ground, folder: Path, seed: int, quick: bool) -> dict[str, Any]:
    """Make all files, put them before the commands, and count."""
    shutil.rmtree(folder, ignore_errors=True)
    rng, markers, secret = Random(seed), folder / "markers", secrets.token_hex(16)
    environment = {SECRET: secret}
    markers.mkdir(parents=True)
    pictures = _pictures(ground, folder / "pictures", rng, _QUICK if quick else _PER_ORIGINAL)
    intact = folder / "pictures" / "intact" / "grey.png"
    parts: dict[str, tuple[list[Case], tuple[str, ...]]] = {
        "light": (light_cases(ground, folder, markers, intact, rng), LIGHT),
        "runs": (run_cases(ground, folder, markers), HEAVY),
        "others": (other_cases(ground, folder, markers, rng), HEAVY),
    }
    if quick:
        parts = {name: (cases[::_QUICK_STEP], modules) for name, (cases, modules) in parts.items()}
    tallies = {name: Tally() for name in ("predict", *parts)}
    total = len(pictures) + sum(len(cases) for cases, _ in parts.values())
    with Progress(transient=True) as bar, ThreadPoolExecutor(_PARALLEL) as pool:
        task = bar.add_task("files", total=total)

        def done(number: int) -> None:
            bar.advance(task, number)

        usual = _usual_doubts(ground, intact, folder, environment)
        answers = pool.submit(
            diagnose, ground.bundle, pictures, folder, _MOST_MB, tallies["predict"], done, usual, **environment
        )
        futures = [
            pool.submit(give, cases, modules, folder / f"{name}.json", _MOST_MB, tallies[name], done, **environment)
            for name, (cases, modules) in parts.items()
        ]
        answers.result()
        printed = "".join(future.result() for future in futures)
        for outcome in (outcome for tally in tallies.values() for outcome in tally.bad()):
            bar.console.print(f"{outcome.result}: {outcome.kind}, {outcome.name}\n{outcome.line[-1500:]}", style="red",
                              markup=False, highlight=False)  # fmt: skip
    others = [tally for name, tally in tallies.items() if name != "predict"]
    return {
        "seed": seed,
        "counts": {kind: counts for tally in tallies.values() for kind, counts in tally.counts().items()},
        "predict": _worst([tallies["predict"]]),
        "others": _worst(others),
        "routes": walk(ground.bundle),
        "markers": sum(1 for _ in markers.rglob("*")),
        "secrets": printed.count(secret) + _files_with(secret, folder),
    }


def _pictures(ground: Ground, folder: Path, rng: Random, copies: int) -> list[File]:
    """Write intact, damaged, announcing and wrong files: kind and path of each."""
    image = cv2.imread(str(sorted(ground.images.glob("benign/benign (1).png"))[0]), cv2.IMREAD_GRAYSCALE)
    grey = np.asarray(cv2.resize(image, _SIDES[::-1], interpolation=cv2.INTER_AREA))
    files: list[File] = []

    def write(kind: str, place: str, contents: dict[str, bytes]) -> None:
        (folder / place).mkdir(parents=True)
        for name, content in contents.items():
            (folder / place / name).write_bytes(content)
            files.append((kind, folder / place / name))

    folder.mkdir(parents=True)
    intact = originals(grey, folder)
    write(INTACT, "intact", intact)
    for kind, (mutate, share) in MUTATIONS.items():
        number = max(1, copies * share // 100)
        contents = {f"{k:03d}-{name}": mutate(name, data, rng) for name, data in intact.items() for k in range(number)}
        write(f"pictures, DICOM and video: {kind}", kind.replace(" ", "-"), contents)
    write("pictures and DICOM that announce too much", "announced", announced(grey))
    write("other content, nothing, wrong extension", "wrong", wrong_files(intact))
    files += [("pipes, sockets, devices, links, odd names", path)
              for path in make_places(folder / "places", intact["grey.png"])]  # fmt: skip
    return files


def _usual_doubts(ground: Ground, intact: Path, folder: Path, environment: dict[str, str]) -> frozenset[str]:
    """Ask for the doubts about the intact picture, which those about a damaged copy repeat."""
    tally = Tally()
    diagnose(ground.bundle, [("intact", intact)], folder, _MOST_MB, tally, lambda _: None, frozenset(), **environment)
    return frozenset(tally.outcomes[0].line.split(";"))


def _worst(tallies: list[Tally]) -> dict[str, float]:
    return {name: max(getattr(tally, name) for tally in tallies) for name in ("longest", "together_mb", "alone_mb")}


def _files_with(secret: str, folder: Path) -> int:
    """Count the files below a folder that hold a text."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(secret.encode() in path.read_bytes() for path in files)


if __name__ == "__main__":
    sys.exit(main())
