"""Run folders that come from elsewhere: each file damaged, and configs that would run code or read a secret."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from benchmarks.attack.broken import Damage, everywhere, of_csv, of_json, of_yaml

SECRET = "ATTACK_SECRET"  # a variable whose value must appear nowhere
_FILES = {"config.yaml": of_yaml, "status.json": of_json, "split.json": of_json, "metrics.json": of_json,
          "history.csv": of_csv, "cases.csv": of_csv}  # fmt: skip
_PLACES = ("model.net", "model.imagenet", "task", "task.loss", "optimizer", "scheduler", "trainer",
           "callbacks.progress", "logger.csv", "augment.more")  # fmt: skip
_INTERPOLATIONS = {
    "name": "${oc.env:" + SECRET + "}",
    "group": "${oc.decode:${oc.env:" + SECRET + "}}",
    "model.name": "${oc.env:" + SECRET + "}",
    "data.root": "/${oc.env:" + SECRET + "}",
    "data.classes": "${oc.env:" + SECRET + "}",
    "task.name": "${oc.env:" + SECRET + "}",
    "model.net.model_name": "${oc.env:" + SECRET + "}",
    "optimizer.lr": "${oc.env:" + SECRET + "}",
    "preprocess.denoise": "${data.root}",
    "seed": "${seed}",
    "runs_dir": "${nothing.there}",
}


def targets(marker: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name what a config may build that leaves a marker file: of Python, of libraries, and of this project."""
    yield "mkdir", {"_target_": "os.mkdir", "path": marker}
    yield "open", {"_target_": "builtins.open", "file": marker, "mode": "w"}
    yield "run", {"_target_": "subprocess.run", "args": ["touch", marker]}
    yield "eval", {"_target_": "builtins.eval", "_args_": [f"open({marker!r}, 'w')"]}
    yield "torch-save", {"_target_": "torch.save", "obj": [1], "f": marker}
    yield "numpy", {"_target_": "numpy.savetxt", "fname": marker, "X": [1]}
    yield "ours", {"_target_": "bus_lightning.core.files.write_aside",
                   "path": {"_target_": "pathlib.Path", "_args_": [marker]}, "text": ""}  # fmt: skip
    yield "nested", {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "os.mkdir", "path": marker}]}
    yield "partial", {"_target_": "os.mkdir", "_partial_": True, "path": marker}
    yield "through", {"_target_": "torch.os.mkdir", "path": marker}
    yield "getattr", {"_target_": "hydra.utils.call", "config": {"_target_": "os.mkdir", "path": marker}}


def foreign_runs(intact: Path, folder: Path, markers: Path) -> dict[str, list[Path]]:
    """Copy a run many times and make each copy hostile.

    Args:
        intact: A finished run.
        folder: New folder of the copies.
        markers: Folder in which no file may appear.

    Returns:
        Kind -> run folders.
    """
    made: dict[str, list[Path]] = {}

    def copy(kind: str, name: str, harm: Callable[[Path], None]) -> None:
        run = folder / name
        shutil.copytree(intact, run, ignore=shutil.ignore_patterns("figures", "masks"))
        harm(run)
        made.setdefault(kind, []).append(run)

    for file, further in _FILES.items():
        for name, damage in (everywhere() | further()).items():
            copy("run folders, a file damaged", f"{file}-{name}", _at(file, damage))
    for number, place in enumerate(_PLACES):
        # Each place gets some of the targets; the network, which every command builds, gets all.
        for k, (name, target) in enumerate(targets(str(markers / f"run-{place}"))):
            if number == 0 or k % len(_PLACES) in (number, (number + 3) % len(_PLACES)):
                copy("run folders, foreign targets", f"target-{place}-{name}", set_in_config(place, target))
    for key, value in _INTERPOLATIONS.items():
        copy("run folders, interpolations", f"interpolation-{key}", set_in_config(key, value))
    return made


def _at(file: str, damage: Damage) -> Callable[[Path], None]:
    return lambda run: damage(run / file)


def set_in_config(key: str, value: Any) -> Callable[[Path], None]:
    """Make a function that sets a key in the config of a run, as written, without resolving anything."""

    def harm(run: Path) -> None:
        config = OmegaConf.load(run / "config.yaml")
        OmegaConf.update(config, key, value, force_add=True, merge=False)
        (run / "config.yaml").write_text(OmegaConf.to_yaml(config))

    return harm
