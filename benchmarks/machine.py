"""How much of the machine's matrix product a training step reaches, and where the rest of the time goes."""

from typing import Any

from benchmarks.contestants import SETTINGS
from benchmarks.processes import probe, say
from benchmarks.report import table

ABOUT = {"data": "random numbers"}  # also with BUSI_ROOT
_KINDS = ("convolution forward", "convolution backward", "batch norm", "linear", "optimizer", "rest")


def measure(quick: bool) -> dict[str, Any]:
    """Measure every model in bfloat16, and the single layers."""
    models = []
    for setting in SETTINGS:
        if quick and setting.model != "alexnet":
            continue
        options = {"precision": "bf16", "batch": setting.batch, "size": setting.size, "steps": 2 if quick else 3}
        entry, _ = probe("efficiency", setting.model, *(f"--{key}={value}" for key, value in options.items()))
        say(f"{setting.model:15s} {entry['flops'] / entry['seconds'] / 1e9:.0f} of "
            f"{entry['matrix_product'] / 1e9:.0f} GFLOP/s")  # fmt: skip
        models.append({"model": setting.model, **options, **entry})
    layers: Any = probe("layers", f"--repeats={2 if quick else 9}")[0]
    say(f"{len(layers)} single layers")
    return {"models": models, "layers": layers}


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the tables `machine`, `profile` and `layers`."""
    reached, profiled = [], []
    for entry in results["models"]:
        label = f"{entry['model']}, {entry['precision']}"
        rate = entry["flops"] / entry["seconds"]
        reached.append([label, f"{entry['flops'] / entry['batch'] / 1e9:.1f}", f"{rate / 1e9:.0f}",
                        f"{entry['matrix_product'] / 1e9:.0f}", f"{rate / entry['matrix_product']:.2f}"])  # fmt: skip
        profiled.append([label, *(f"{entry['shares'].get(kind, 0):.0%}" for kind in _KINDS)])
    layers = [
        [entry["name"], *(f"{entry[key]:.1f}" for key in ("forward_ms", "backward_ms")),
         *(f"{entry[key]:.0f}" for key in ("forward_gflops", "backward_gflops"))]
        for entry in results["layers"]
    ]  # fmt: skip
    return {
        "machine": table(
            ["training step", "GFLOP per image", "GFLOP/s", "matrix product GFLOP/s", "share reached"], reached
        ),
        "profile": table(["share of a step", *_KINDS], profiled),
        "layers": table(
            ["layer, batch 16, bf16", "forward ms", "backward ms", "forward GFLOP/s", "backward GFLOP/s"], layers
        ),
    }
