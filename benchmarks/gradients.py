"""A training step with the framework's own gradients of convolutions, against the same step with those of PyTorch."""

from typing import Any

from benchmarks.bare import composed
from benchmarks.contestants import SETTINGS, Setting
from benchmarks.processes import probe, say
from benchmarks.report import spread, table
from bus_lightning.training.hardware import choose_hardware

ABOUT = {"data": "random numbers"}  # also with BUSI_ROOT
_MODELS = (*SETTINGS, Setting("unet", batch=8, size=256), Setting("efficientnet_lite0"))


def measure(quick: bool) -> dict[str, Any]:
    """Measure every model in the precision that a run chooses on this machine."""
    precision = "bf16" if "bf16" in choose_hardware(composed(), {}).precision else "fp32"
    models = []
    for setting in _MODELS:
        if quick and setting.model != "alexnet":
            continue
        options = {"precision": precision, "batch": setting.batch, "size": setting.size}
        entry, _ = probe(
            "gradients", setting.model, *(f"--{key}={value}" for key, value in options.items()),
            f"--repeats={2 if quick else 5}",
        )  # fmt: skip
        models.append({"model": setting.model, **options, **entry})
        say(f"{setting.model:15s} {spread(_ratios(models[-1]))}")
    return {"models": models}


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the table `gradients`."""
    rows = []
    for entry in results["models"]:
        label = f"{entry['model']}, {entry['batch']} x {entry['size']}², {entry['precision']}"
        theirs, ours = zip(*entry["pairs"], strict=True)
        rows.append([label, spread(theirs), spread(ours), spread(_ratios(entry))])
    return {"gradients": table(["seconds of a training step", "PyTorch", "ours", "ours / PyTorch"], rows)}


def _ratios(entry: dict[str, Any]) -> list[float]:
    return [ours / theirs for theirs, ours in entry["pairs"]]
