"""The tables of the check."""

from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.gpu.check import PARTS
from benchmarks.gpu.parts import PAPER, recipe_epochs
from benchmarks.report import table
from bus_lightning.report.marked_page import markdown_table

SECTION = "gpu"  # its JSON in results/
BARE_GOAL, GRID_GOAL = 0.9, 10  # ours / bare; minutes
_TABLES = ("gpu", "gpu_checks")
_UNMEASURED = "**Not measured**: no GPU was at hand. `make gpu-check` measures it."
_HEADINGS = ("network", "images/s", "bare", "ours / bare", "goal, at least", "from the host", "device / host",
             "an epoch, s", "GPU busy", "peak MB")  # fmt: skip


def page_tables(folder: Path) -> dict[str, str]:
    """Make the tables from the results in a folder; without results they say so."""
    return dict.fromkeys(_TABLES, _UNMEASURED) | report.section_tables(folder, SECTION, tables)


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the tables `gpu` and `gpu_checks`."""
    parts = results["parts"]
    device, host = (parts.get(name, {}).get("networks", {}) for name in ("device", "host"))
    bare = parts.get("bare", {}).get("images_per_second", {})
    lines = []
    for model in PAPER:
        numbers = device.get(model, {})
        rate, rates = numbers.get("images_per_second"), (bare.get(model), host.get(model, {}).get("images_per_second"))
        ratios = [f"{rate / other:.2f}" if rate and other else "" for other in rates]
        shown = [f"{number:.0f}" if number else "not measured" for number in (rate, *rates)]
        seen, peak = numbers.get("seen"), numbers.get("peak_mb")
        lines.append([_label(model, numbers), *shown[:2], ratios[0], BARE_GOAL, shown[2], ratios[1],
                      f"{numbers['epoch']:.2f}" if numbers else "", f"{seen['utilisation']:.0f}%" if seen else "",
                      f"{peak:.0f}" if peak else ""])  # fmt: skip
    return {
        "gpu": f"On **{results['card']}**.\n\n{table(_HEADINGS, lines)}",
        "gpu_checks": markdown_table(["check", "result", "goal"], _checks(results), words=3),
    }


def _label(model: str, numbers: dict[str, Any]) -> str:
    if not numbers:
        return model
    batch, side = numbers["shape"][0], numbers["shape"][-1]
    return f"{model}, {batch} x {side}², {numbers['precision']}, {numbers['layout']}"


def _checks(results: dict[str, Any]) -> list[list[str]]:
    """List the results of the checks, and then what was not measured and why."""
    parts = results["parts"]
    rows = []
    if "device" in parts:
        rows.append(["the paper's grid", _grid(parts["device"]), f"under {GRID_GOAL} minutes"])
    if "resumed" in parts:
        differing = [name for name, same in parts["resumed"]["same"].items() if not same]
        result = f"other bits in {', '.join(differing)}" if differing else "the same bits as without a stop"
        rows.append(["a stopped and resumed run", result, "the same bits"])
    if "tests" in parts:
        numbers = parts["tests"]
        names = f" ({', '.join(numbers['failed'])})" if numbers["failed"] else ""
        failed = f"{len(numbers['failed'])} failed{names}"
        rows.append(
            ["the tests marked gpu", f"{numbers['passed']} passed, {failed}, {numbers['skipped']} skipped", "all pass"]
        )
    missing = {name: f"not measured: {why}" for name, why in results["missing"].items()}
    missing |= {name: f"in part: {part['stopped']}" for name, part in parts.items() if part.get("stopped")}
    return rows + [[(PARTS[name][0].__doc__ or "").partition(".")[0], why, ""] for name, why in missing.items()]


def _grid(part: dict[str, Any]) -> str:
    """Compute the minutes of the paper's grid from the epochs that were measured."""
    networks, epochs = part["networks"], recipe_epochs()
    if lacking := [model for model in PAPER if model not in networks]:
        return f"not known: {', '.join(lacking)} not measured"
    rest = sum(max(0.0, numbers["seconds"] - part["epochs"] * numbers["epoch"]) for numbers in networks.values())
    seconds = part["start"] + rest + epochs * sum(numbers["epoch"] for numbers in networks.values())
    return f"{seconds / 60:.1f} minutes for {len(networks)} networks of {epochs} epochs, computed from {part['epochs']}"
