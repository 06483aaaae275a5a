"""What each network costs: parameters, arithmetic, bytes and seconds."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import pandas as pd
from omegaconf import DictConfig

from bus_lightning.config.build import build_net
from bus_lightning.core.errors import UserError
from bus_lightning.report.sections import TableItem
from bus_lightning.runs.ensembles import read_ensemble
from bus_lightning.runs.finished import open_run
from bus_lightning.runs.network import read_network

if TYPE_CHECKING:  # the table itself needs no run folder
    from bus_lightning.config.trusted import Origin
    from bus_lightning.runs.folder import RunDir
    from bus_lightning.statistics.conditions import Condition

log = logging.getLogger(__name__)

_KEY = ("model", "task", "size", "debug_size")
_COUNTED = ("parameters", "macs", "weight_bytes")
_MEASURED = ("images_per_second", "latency_ms")
_HARDWARE = ("device", "precision")


def count_network(cfg: DictConfig, origin: Origin | None = None) -> dict[str, Any]:
    """Count what a run's network costs and is made of, without making its weights.

    Args:
        cfg: The run's config, with the number of classes known.
        origin: The run that it was read from; None for a config of our own.

    Returns:
        `parameters`, `weight_bytes`, `macs` (for one image of `data.size`) and `layers`, as `models.anatomy` counts
        them; a key that cannot be counted is missing, and the log says why.
    """
    import torch  # takes seconds, and only runs of earlier versions need it: later ones have counted themselves

    from bus_lightning.models.anatomy import count_weights, trace_layers

    counted: dict[str, Any] = {}
    try:
        # On the meta device tensors have a shape and no values: nothing is computed, no random number drawn.
        with torch.device("meta"):
            net = build_net(cfg.model, cfg.debug_size, origin).eval()
        counted |= count_weights(net)
        counted |= trace_layers(net, cfg.data.channels, cfg.data.size)
    except Exception as error:  # a network may do what the meta device cannot
        log.warning("%s: its cost cannot be counted in full: %s", cfg.model.name, error)
    return counted


def known_network(run: RunDir, cfg: DictConfig, origin: Origin) -> dict[str, Any]:
    """Return what `models.anatomy` counts on the network of a run: from its `network.json`, or counted now."""
    return read_network(run) or count_network(cfg, origin)


def cost_frame(conditions: Sequence[Condition], more: Sequence[Mapping[str, Any]] = ()) -> pd.DataFrame:
    """Collect the costs of the models of a report.

    Args:
        conditions: Conditions; those of one model at one input size share a row.
        more: Rows of networks that were not trained; those of models that the conditions have are dropped.

    Returns:
        A row per model and input size: `model`, `task`, `size` (pixels), `debug_size`, `runs`, `parameters`, `macs`,
        `weight_bytes`, `checkpoint_bytes` (best.ckpt), `seconds_per_epoch` (the seconds of the whole run divided by its
        epochs), `images_per_second` (training), `latency_ms` (batch of one), `device`, `precision`. The median of
        several runs; None if unknown.
    """
    members: dict[tuple[Any, ...], list[Condition]] = {}
    for condition in conditions:
        cfg = condition.config
        key = (condition.model, condition.task, int(cfg.data.size), bool(cfg.debug_size))
        members.setdefault(key, []).append(condition)
    models = {key[0] for key in members}
    rows = [_row(key, conditions) for key, conditions in members.items()]
    rows += [dict(row) for row in more if row["model"] not in models]
    return pd.DataFrame(rows).astype(object).where(lambda frame: frame.notna(), None)


def cost_table(costs: pd.DataFrame, titles: Mapping[str, str]) -> TableItem:
    """Format the costs as a table.

    Args:
        costs: From `cost_frame`.
        titles: Model -> its title; others keep their name.
    """
    rows = [
        {
            "model": titles.get(row["model"], row["model"]) + (" (small, for debugging)" if row["debug_size"] else ""),
            "input, pixels": "several" if pd.isna(row["size"]) else f"{row['size']:.0f} x {row['size']:.0f}",
            "parameters": number(row["parameters"], ",.0f"),
            "MACs, 10^9": number(row["macs"], ".2f", 1e9),
            "weights, MB": number(row["weight_bytes"], ".1f", 1e6),
            "best.ckpt, MB": number(row["checkpoint_bytes"], ".1f", 1e6, "-"),
            "s per epoch": number(row["seconds_per_epoch"], ".1f", missing="-"),
            "training, images/s": number(row["images_per_second"], ".1f", missing="-"),
            "latency, ms per image": number(row["latency_ms"], ".1f", missing="-"),
            "device": row["device"] or "-",
            "precision": row["precision"] or "-",
            "runs": str(row["runs"]) if row["runs"] else "not trained",
        }
        for row in costs.to_dict("records")
    ]
    caption = (
        "What each network costs. MACs: multiply-accumulates of the convolutions and matrix products for one image. "
        "Weights: the state dict in float32, 1 MB = 10^6 bytes. Seconds per epoch: the whole run, with its start and "
        "its test, divided by its epochs. Latency: a batch of one on the device of the run. The median of several "
        "runs; of an ensemble, the sum over the networks that see an image. Compare times only on the same device and "
        "with the same precision."
    )
    return TableItem("costs", caption, pd.DataFrame(rows))


def number(value: float | None, form: str, scale: float = 1, missing: str = "unknown") -> str:
    """Format a number divided by a scale."""
    return missing if value is None or math.isnan(value) else f"{value / scale:{form}}"


def _row(key: tuple[Any, ...], conditions: list[Condition]) -> dict[str, Any]:
    if ensemble := next((condition for condition in conditions if condition.is_ensemble), None):
        return _row_of_ensemble(key, ensemble)
    runs = [run for condition in conditions for run in condition.runs]
    statuses = [run.status for run in runs]
    counted = _costs_in(known_network(runs[0], conditions[0].config, conditions[0].origin))
    if counted["parameters"] is None:  # the run could count them
        counted["parameters"] = next((status["parameters"] for status in statuses if status.get("parameters")), None)
    timed = [status for status in statuses if status.get("epochs") and status.get("seconds") is not None]
    return {
        **dict(zip(_KEY, key, strict=True)),
        "runs": len(runs),
        **counted,
        "checkpoint_bytes": _median([run.best.stat().st_size for run in runs if run.best.is_file()]),
        "seconds_per_epoch": _median([status["seconds"] / status["epochs"] for status in timed]),
        **{name: _median([status.get(name) for status in statuses]) for name in _MEASURED},
        **{name: " / ".join(dict.fromkeys(str(s[name]) for s in statuses if s.get(name))) for name in _HARDWARE},
    }


def _row_of_ensemble(key: tuple[Any, ...], ensemble: Condition) -> dict[str, Any]:
    """Add up what the networks cost that see an image; the networks of another fold see other images."""
    folder = ensemble.runs[0]
    averaged = read_ensemble(folder)
    members = [member.folder(folder) for member in averaged.members] if averaged else []
    rows = []
    for run in members:
        try:
            opened = open_run(run.path, complete=False, trusted=ensemble.trusted)
            counted = _costs_in(known_network(run, opened.config, opened.origin))
            size = run.best.stat().st_size if run.best.is_file() else None
            rows.append(counted | {"checkpoint_bytes": size, "size": int(opened.config.data.size)})
        except UserError as error:  # the checks of the report name it, too
            log.warning("%s: its costs are not known: %s", folder.path, error)
            rows.append({})
    sums = {name: _sum([row.get(name) for row in rows]) for name in (*_COUNTED, "checkpoint_bytes")}
    status, sizes = folder.status, list({row["size"] for row in rows if "size" in row})
    return {
        **dict(zip(_KEY, key, strict=True)), "size": sizes[0] if len(sizes) == 1 else None,
        "runs": ensemble.trainings, **sums, "parameters": sums["parameters"] or status.get("parameters"),
        "seconds_per_epoch": None, "images_per_second": None, "latency_ms": status.get("latency_ms"),
        **{name: status.get(name) or "" for name in _HARDWARE},
    }  # fmt: skip


def _costs_in(network: Mapping[str, Any]) -> dict[str, int | None]:
    """Select the costs among what was counted on a network; None for what is missing."""
    return {key: network.get(key) for key in _COUNTED}


def _sum(values: Sequence[float | None]) -> float | None:
    """Add up; None if a value is not known, or there is none."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
