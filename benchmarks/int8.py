"""The network in the package in 8 bits: its answers on images that it was not trained on, and its time."""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import cv2
import numpy as np
import onnx
from onnxscript.optimizer import optimize

from benchmarks.bare import composed
from benchmarks.processes import CORES, SCRATCH, MeasurementError, say
from benchmarks.report import spread, table
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.index import read_image
from bus_lightning.data.prepare import PreparedData, prepare_data
from bus_lightning.diagnosis.bundle import SHIPPED, Bundle, load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame
from bus_lightning.diagnosis.networks import Network, computed_precision
from bus_lightning.export.quantising import quantise, training_images
from bus_lightning.export.variants import choose_precision, compare_variants

EVERY, MIXED = "int8, every layer", "int8, sensitive layers in fp32"
_GOAL = 1.8  # times as fast as bf16
_SPLIT = ("experiment=best_joint", "data.split.folds=5", "data.split.fold=0")  # that the network was trained on
_SIDE, _FOLDER = 500, SCRATCH / "int8"
_WHOLE = 2**30  # bytes of a tensor that is computed once for all


def measure(quick: bool) -> dict[str, Any]:
    """Quantise the network with training images of BUSI, compare its answers, and time one diagnosis by turns."""
    if not os.environ.get("BUSI_ROOT"):
        raise MeasurementError("set BUSI_ROOT: the network in the package was trained on BUSI")
    config = composed(*_SPLIT)
    busi = prepare_data(config.data, needs_masks=True)
    config.data.classes, split = busi.classes, busi.split(config.data.split)
    data = BusDataModule(busi, split, config, full_masks=True, augments=False)
    bundles, layers = _quantised(load_bundle(SHIPPED), training_images(data, split.train))
    held_out = {"BUSI": (busi, [*split.val, *split.test])}
    if os.environ.get("BUS_BRA_ROOT"):
        other = prepare_data(composed("data=bus_bra", "data.classes=[benign,malignant]").data, needs_masks=True)
        held_out["BUS-BRA"] = (other, [*other.frame["id"]])
    compared = {name: _compare(bundles, *chosen, quick) for name, chosen in held_out.items()}
    exported = {"int8" if name == MIXED else name: scores for name, scores in compared["BUSI"].items() if name != EVERY}
    return {
        "layers": layers, "compared": compared, "default": choose_precision(exported),
        "ms": _time(bundles, 5 if quick else 60),
    }  # fmt: skip


def _quantised(shipped: Bundle, images: Sequence[Any]) -> tuple[dict[str, Bundle], dict[str, list[int]]]:
    """Make a bundle with all layers in 8 bits, and one as an export makes it; both have fp32 and bf16, too."""
    ((key, stage),) = shipped.networks.items()
    _FOLDER.mkdir(parents=True, exist_ok=True)
    fp32, bundles, layers = _FOLDER / "fp32.onnx", {}, {}
    # The package stores the weights in 16 bits, and converts them when it is loaded.
    onnx.save(optimize(onnx.load(stage.files["fp32"]), input_size_limit=_WHOLE, output_size_limit=_WHOLE), fp32)
    for number, (name, options) in enumerate({EVERY: {"least": 0.0}, MIXED: {}}.items()):
        int8 = _FOLDER / f"int8-{number}.onnx"
        layers[name] = [*quantise(fp32, int8, images, stage.outputs, **options)]
        say(f"{name}: {layers[name][0]} of {layers[name][1]} layers in 8 bits")
        files = {"fp32": fp32, "bf16": fp32, "int8": int8}
        bundles[name] = replace(shipped, networks={key: replace(stage, files=files)})
    return bundles, layers


def _compare(bundles: Mapping[str, Bundle], prepared: PreparedData, ids: Sequence[str], quick: bool) -> dict[str, Any]:
    """Answer images in each precision of this CPU."""
    variants: dict[str, Any] = {}
    for name, bundle in bundles.items():
        measured = compare_variants(bundle, prepared, ids[:: 10 if quick else 1])
        variants |= {name if precision == "int8" else precision: scores for precision, scores in measured.items()}
        say(f"{name}: {variants[name]}")
    return variants


def _time(bundles: Mapping[str, Bundle], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Time a diagnosis without heat map, from the pixels to the answer, and its network alone, by turns.

    Returns:
        `whole` and `network`, each name -> ms.
    """
    picture = read_image(SHIPPED / "samples" / "phantom-malignant-1.png")
    frame = Frame(cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC))
    plain = [name for name in ("fp32", "bf16") if computed_precision(name) == name]
    timed = {name: (bundles[MIXED], name) for name in plain} | {name: (each, "int8") for name, each in bundles.items()}
    (stage,) = bundles[MIXED].networks.values()
    batch = np.zeros((1 + stage.flips, stage.channels, stage.preprocessing.size, stage.preprocessing.size), np.float32)
    calls: dict[str, dict[str, Callable[[], object]]] = {"whole": {}, "network": {}}
    for name, (bundle, precision) in timed.items():
        (stage,) = bundle.networks.values()
        diagnose, network = Diagnoser(bundle, precision, CORES).diagnose, Network(stage, precision, CORES)
        calls["whole"][name] = partial(diagnose, [frame], heat_map=False)
        calls["network"][name] = partial(network, batch)
    return {part: _by_turns(named, rounds) for part, named in calls.items()}


def _by_turns(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Time calls one after another, in ms."""
    taken: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number:  # the first call of an engine takes longer
                taken[name].append(1000 * (time.perf_counter() - start))
    for name, ms in taken.items():
        say(f"{name}: {median(ms):.1f} ms")
    return dict(taken)


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the tables `int8_answers` and `int8_time`."""
    rows = []
    for data, variants in results["compared"].items():
        for name, scores in variants.items():
            cells = []
            for key in ("iou", "auc"):  # an AUC over classes that the images lack is undefined
                value, moved = scores[key], scores[f"{key}_difference"]
                cells += ["-", "-"] if value is None else [f"{value:.4f}", f"{moved:+.4f}"]
            for key in ("sensitivity_malignant", "specificity_malignant"):
                cells.append(f"{scores[key] - variants['fp32'][key]:+.3f}")
            rows.append([f"{data}, {scores['images']} images", name, *cells, scores["answers_changed"]])
    headings = ["images", "precision", "IoU", "difference", "macro AUC", "difference", "sensitivity, difference",
                "specificity, difference", "answers changed"]  # fmt: skip
    whole, network = results["ms"]["whole"], results["ms"]["network"]
    base = "bf16" if "bf16" in whole else "fp32"
    timed = []
    for name in whole:
        ratios = [
            [theirs / ours for theirs, ours in zip(part[base], part[name], strict=True)] for part in (whole, network)
        ]
        layers = " of ".join(map(str, results["layers"].get(name, ["-"])))
        timed.append([name, layers, spread(whole[name], 1), spread(ratios[0]), _GOAL if name == MIXED else "",
                      spread(network[name], 1), spread(ratios[1])])  # fmt: skip
    answers = table(headings, rows)
    headings = ["precision", "layers in 8 bits", "ms", f"times as fast as {base}", "goal", "its network alone, ms",
                f"times as fast as {base}"]  # fmt: skip
    default = f"An export on this CPU makes {results['default']} the default."
    return {
        "int8_answers": f"{answers}\n\n{default}",
        "int8_time": table(headings, timed),
    }
