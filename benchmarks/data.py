"""The data pipeline alone, images/s on one thread: from files or cache to augmented, normalised batches."""

from statistics import median
from typing import Any

from benchmarks.processes import probe, say
from benchmarks.report import spread, table

_EPOCHS = ("first", "later")
_PLAIN = "plain: decode, resize, augment"


def measure(quick: bool) -> dict[str, Any]:
    """Measure every way at 224 pixels, in a fresh process each round."""
    ways: dict[str, dict[str, list[float]]] = {}
    for _ in range(1 if quick else 5):
        rates, _finished = probe("pipelines", *(["--batches=8"] if quick else []), threads=1)
        for name, by_epoch in rates.items():
            say(f"{name:42s} {', '.join(f'{epoch} epoch {rate:.0f}' for epoch, rate in by_epoch.items())} images/s")
            for epoch, rate in by_epoch.items():
                ways.setdefault(name, {epoch: [] for epoch in _EPOCHS})[epoch].append(rate)
    return {"ways": ways}


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the table `data`."""
    base = median(results["ways"][_PLAIN]["later"])
    rows = []
    for name, by_epoch in results["ways"].items():
        rates = by_epoch["later"] or by_epoch["first"]
        each = [spread(by_epoch[epoch], 0) if by_epoch[epoch] else "" for epoch in _EPOCHS]
        rows.append([name, *each, f"{median(rates) / base:.1f}"])
    return {"data": table(["images/s", "first epoch", "later epochs", "times plain"], rows)}
