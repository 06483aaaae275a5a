"""What each network costs: parameters, arithmetic, bytes, seconds; and whether the paper's claim about cost holds."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from bus_lightning.config.build import build_net
from bus_lightning.paper.numbers import NAMES
from bus_lightning.paper.tables import estimate, metric_row
from bus_lightning.report.sections import Note, TableItem

if TYPE_CHECKING:  # the tables of a report need no run folder
    from bus_lightning.runs.folder import RunDir
    from bus_lightning.statistics.conditions import Condition

log = logging.getLogger(__name__)

REFERENCE = "resnet101"
# conf/model/resnet101.yaml's network, for a report has no config groups at hand.
_REFERENCE_NET = {"_target_": "bus_lightning.models.classifiers.resnet", "block": "bottleneck", "layers": [3, 4, 23, 3]}
_NAMES = NAMES | {REFERENCE: "ResNet-101"}
_MEASURED = ("images_per_second", "latency_ms")
_HARDWARE = ("device", "precision")
_SAME = 0.10  # what differs by less than this share is called the same


def costs_of(cfg: DictConfig) -> dict[str, int | None]:
    """Count what a run's network costs, without making its weights.

    Args:
        cfg: The run's config, with the number of classes known.

    Returns:
        `parameters`; `macs`: multiply-accumulates of the convolutions and matrix products for one image of
        `data.size`; `weight_bytes` of the state dict, in float32. None where it cannot be counted.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counted: dict[str, int | None] = {"parameters": None, "macs": None, "weight_bytes": None}
    try:
        # On the meta device tensors have a shape and no values: nothing is computed, no random number drawn.
        with torch.device("meta"):
            net = build_net(cfg.model, cfg.debug_size).eval()
            image = torch.empty(1, cfg.data.channels, cfg.data.size, cfg.data.size)
        counted["parameters"] = sum(parameter.numel() for parameter in net.parameters())
        counted["weight_bytes"] = sum(tensor.numel() * tensor.element_size() for tensor in net.state_dict().values())
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(image)
        counted["macs"] = counter.get_total_flops() // 2  # a multiply-accumulate is counted as two
    except Exception as error:  # a network of any kind may do what the meta device cannot
        log.warning("%s: its cost cannot be counted in full: %s", cfg.model.name, error)
    return counted


def cost_frame(conditions: Sequence[Condition]) -> pd.DataFrame:
    """Collect the costs of the models of a report.

    Args:
        conditions: Conditions; those of one model at one input size are taken together.

    Returns:
        A row per model and input size: `model`, `task`, `size` (pixels), `debug_size`, `runs`, `parameters`, `macs`,
        `weight_bytes`, `checkpoint_bytes` (best.ckpt), `seconds_per_epoch` (the whole run's seconds over its epochs),
        `images_per_second` (training), `latency_ms` (batch of one), `device`, `precision`. Of several runs the median;
        None where unknown. ResNet-101 is added where there are classifiers in full size, with what can be counted
        without training.
    """
    together: dict[tuple[Any, ...], list[Condition]] = {}
    for condition in conditions:
        cfg = condition.config
        key = (condition.model, condition.task, int(cfg.data.size), bool(cfg.debug_size))
        together.setdefault(key, []).append(condition)
    rows = [_row(key, members) for key, members in together.items()]
    classifiers = [
        members[0].config
        for (_, task, _, debug_size), members in together.items()
        if task == "classification" and not debug_size
    ]
    if classifiers and not any(row["model"] == REFERENCE for row in rows):
        rows.append(_reference_row(classifiers[0]))
    return pd.DataFrame(rows).astype(object).where(lambda frame: frame.notna(), None)


def cost_table(costs: pd.DataFrame) -> TableItem:
    """Write the costs as a table to read.

    Args:
        costs: From `cost_frame`.
    """
    rows = [
        {
            "model": _NAMES.get(row["model"], row["model"]) + (" (small, for debugging)" if row["debug_size"] else ""),
            "input, pixels": f"{row['size']} x {row['size']}",
            "parameters": _written(row["parameters"], ",d"),
            "MACs, 10^9": _written(row["macs"], ".2f", 1e9),
            "weights, MB": _written(row["weight_bytes"], ".1f", 1e6),
            "best.ckpt, MB": _written(row["checkpoint_bytes"], ".1f", 1e6, "-"),
            "s per epoch": _written(row["seconds_per_epoch"], ".1f", missing="-"),
            "training, images/s": _written(row["images_per_second"], ".1f", missing="-"),
            "latency, ms per image": _written(row["latency_ms"], ".1f", missing="-"),
            "device": row["device"] or "-",
            "precision": row["precision"] or "-",
            "runs": str(row["runs"]) if row["runs"] else "not trained",
        }
        for row in costs.to_dict("records")
    ]
    caption = (
        "What each network costs. MACs: multiply-accumulates of the convolutions and matrix products for one image; "
        "weights: the state dict in float32, 1 MB = 10^6 bytes; s per epoch: the whole run, with its start and its "
        "test, over its epochs; latency: a batch of one on the device of the run. Of several runs the median. Times "
        "compare only on the same device and precision."
    )
    return TableItem("costs", caption, pd.DataFrame(rows))


def size_claim(costs: pd.DataFrame, test: Mapping[str, pd.DataFrame] | None = None) -> Note:
    """Judge the paper's claim that DeepCardinal-50 has ResNet-50's size and cost, and ResNet-101's quality.

    Args:
        costs: From `cost_frame`.
        test: Model -> summary of the test images, for the quality.
    """
    claim = "The paper says that DeepCardinal-50 has ResNet-50's size, low cost and latency, and ResNet-101's quality."
    rows = {row["model"]: row for row in costs.to_dict("records") if not row["debug_size"]}
    ours, same, large = (rows.get(name) for name in ("deepcardinal50", "resnet50", REFERENCE))
    if ours is None or same is None:
        return Note(f"{claim} Not judged here: that needs runs of both DeepCardinal-50 and ResNet-50 in full size.")
    sentences, fits = [claim], []
    for title, key, form, scale in (("Parameters", "parameters", ",d", 1), ("MACs", "macs", ",.2f", 1e9)):
        if ours[key] and same[key] and (key == "parameters" or ours["size"] == same["size"]):
            ratio = ours[key] / same[key]
            fits.append(abs(ratio - 1) <= _SAME)
            unit = " x 10^9" if scale != 1 else ""
            sentences.append(
                f"{title}: {_written(ours[key], form, scale)}{unit} against {_written(same[key], form, scale)}{unit}, "
                f"{ratio:.2f} times as many; {'the claim holds' if fits[-1] else 'the claim does not hold'}."
            )
            if large and large[key] and large["size"] == ours["size"]:
                sentences.append(f"ResNet-101 has {_written(large[key], form, scale)}{unit}.")
    counted = len(fits)
    sentences += _speed(ours, same, fits)
    sentences.append(_quality(test or {}))
    sentences.append(f"Here two costs are called the same where they differ by at most {_SAME:.0%}.")
    if not all(fits):
        return Note(" ".join(sentences), "warning")
    return Note(" ".join(sentences), "good" if len(fits) > counted else "plain")  # good only with a measured speed


def _speed(ours: dict[str, Any], same: dict[str, Any], fits: list[bool]) -> list[str]:
    """Compare measured speeds, where device and precision are the same, and note whether the claim holds."""
    if any(ours[key] != same[key] or not ours[key] for key in ("device", "precision", "size")):
        return ["Speed: not measured for both on one device, at one precision and input size."]
    sentences = []
    for key, title, unit, slower in (
        ("images_per_second", "Training", "images/s", False),
        ("latency_ms", "Latency", "ms per image", True),
    ):
        if ours[key] and same[key]:
            ratio = ours[key] / same[key]
            fits.append(ratio <= 1 + _SAME if slower else ratio >= 1 - _SAME)
            sentences.append(
                f"{title}: {ours[key]:.1f} against {same[key]:.1f} {unit} ({ratio:.2f} times; {ours['device']}, "
                f"{ours['precision']}); {'the claim holds' if fits[-1] else 'the claim does not hold'}."
            )
    return sentences or ["Speed: not measured for both."]


def _quality(test: Mapping[str, pd.DataFrame]) -> str:
    found = {name: metric_row(test.get(name), "accuracy") for name in ("deepcardinal50", REFERENCE)}
    if not (found["deepcardinal50"] and found[REFERENCE]):
        return "Quality: the paper gives no number for ResNet-101, and it was not trained here."
    written = [estimate(row["value"], row["low"], row["high"]) for row in found.values() if row]
    return f"Quality: test accuracy {written[0]} against ResNet-101's {written[1]}; the paper gives no number for it."


def _row(key: tuple[Any, ...], members: list[Condition]) -> dict[str, Any]:
    runs = [run for condition in members for run in condition.runs]
    statuses = [run.status for run in runs]
    counted = costs_of(members[0].config)
    if counted["parameters"] is None:  # the run had the network itself
        counted["parameters"] = next((status["parameters"] for status in statuses if status.get("parameters")), None)
    per_epoch = [{"s": status["seconds"] / status["epochs"]} for status in statuses if _has_epochs(status)]
    return {
        **dict(zip(("model", "task", "size", "debug_size"), key, strict=True)),
        "runs": len(runs),
        **counted,
        "checkpoint_bytes": _median([{"bytes": _size(run)} for run in runs], "bytes"),
        "seconds_per_epoch": _median(per_epoch, "s"),
        **{name: _median(statuses, name) for name in _MEASURED},
        **{name: " / ".join(dict.fromkeys(str(s[name]) for s in statuses if s.get(name))) for name in _HARDWARE},
    }


def _reference_row(like: DictConfig) -> dict[str, Any]:
    """Count ResNet-101 at the input of a trained classifier."""
    net = _REFERENCE_NET | {"num_classes": len(like.data.classes), "in_channels": like.data.channels}
    data = {"size": like.data.size, "channels": like.data.channels}
    model = {"name": REFERENCE, "net": net, "debug_size": {}}
    counted = costs_of(OmegaConf.create({"model": model, "debug_size": False, "data": data}))
    unknown = dict.fromkeys(("checkpoint_bytes", "seconds_per_epoch", *_MEASURED, *_HARDWARE))
    known = {"model": REFERENCE, "task": "classification", "size": int(like.data.size), "debug_size": False, "runs": 0}
    return known | counted | unknown


def _has_epochs(status: dict[str, Any]) -> bool:
    return bool(status.get("epochs")) and status.get("seconds") is not None


def _size(run: RunDir) -> int | None:
    return run.best.stat().st_size if run.best.is_file() else None


def _median(rows: list[dict[str, Any]], name: str) -> float | None:
    known = [row[name] for row in rows if row.get(name) is not None]
    return median(known) if known else None


def _written(value: float | None, form: str, scale: float = 1, missing: str = "unknown") -> str:
    if value is None or math.isnan(value):
        return missing
    return f"{int(value) if form == ',d' else value / scale:{form}}"
