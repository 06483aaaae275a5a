"""Make a bundle from two runs: export, quantise, calibrate, measure, describe."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import bus_lightning
from bus_lightning.core.errors import UserError
from bus_lightning.core.files import folder_aside, list_checksums, refuse_foreign
from bus_lightning.core.randomness import shuffled
from bus_lightning.core.reading import read_json
from bus_lightning.data.index import read_image
from bus_lightning.data.phantom import KINDS, burn_in, draw_frame, generator, plan_case, save_png
from bus_lightning.diagnosis.bundle import (
    CARD,
    CHECKSUMS,
    FORMAT,
    HEAD,
    MANIFEST,
    SAMPLES,
    VERSION,
    Bundle,
    Stage,
    files_of,
    load_bundle,
)
from bus_lightning.diagnosis.doubt import fit_reference
from bus_lightning.diagnosis.trained_on import check_name
from bus_lightning.export import card, runs
from bus_lightning.export.calibration import calibrate
from bus_lightning.export.heads import Head, find_head
from bus_lightning.export.runs import RebuiltRun
from bus_lightning.export.to_onnx import export_onnx, quantise
from bus_lightning.export.variants import check_agreement, choose_precision, compare_variants
from bus_lightning.runs.code import codes_of
from bus_lightning.runs.finished import FinishedRun

_NAMES = ("segmenter", "classifier")
_SAMPLE_SEED = 1
_RANGE_IMAGES = 64  # training images that the ranges of the 8-bit networks are found with


def make_bundle(
    segmenter: Path,
    classifier: Path,
    out: Path,
    out_of_fold: str | None = None,
    sensitivity: float = 0.95,
    samples: int = 0,
    data_name: str | None = None,
    trusted: Sequence[str] = (),
    report: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """Make a bundle from the folders of two finished runs; an older bundle at `out` is replaced at the end.

    The classifiers that match the pattern `out_of_fold` predicted the training images; without them the bundle is not
    calibrated. The threshold for malignant has at least the `sensitivity`, in (0, 1], on those predictions. A number of
    synthetic `samples` is added. Without a `data_name`, the training data set is named only if it is BUSI. Networks
    may come from the `trusted` packages, too. `report` takes a line for each step.

    Raises:
        UserError: When the runs do not make a bundle.
    """
    if not 0 < sensitivity <= 1:
        raise UserError(f"--sensitivity {sensitivity}: give a number above 0 and up to 1, such as 0.95.")
    name = None if data_name is None else check_name(data_name)
    _refuse_other(out)
    pair = runs.open_for(segmenter, "segmentation", trusted), runs.open_for(classifier, "classification", trusted)
    runs.refuse_strangers(*pair)
    for kind, run in zip(_NAMES, pair, strict=True):
        if options := runs.left_out_of_bundles(run):
            report(f"{kind}: was tested with {options}, which a bundle does not have: its answers differ")
    calibration = None
    if out_of_fold:
        calibration = calibrate(runs.read_folds(out_of_fold, pair[1]), pair[1], sensitivity)
        report(f"calibrated on {calibration.n} images of {calibration.runs} runs")
    opened = runs.rebuild(pair[0]), runs.rebuild(pair[1])
    runs.refuse_other_masks(pair[0], opened[1])
    with new_bundle(out) as folder:
        report("describing the training images")
        reference = fit_reference(_read_images(opened[1], "train"), _read_images(opened[1], "val"))
        (first, _), (second, head) = (_export(*named, folder, report) for named in zip(_NAMES, opened, strict=True))
        if head:
            np.save(folder / HEAD, head.weights)
        bundle = Bundle(
            path=folder, segmenter=first, classifier=second, classes=pair[1].classes,
            temperature=calibration.temperature if calibration else None,
            thresholds=calibration.thresholds if calibration else None,
            reference=reference, head=head.weights if head else None, card="", default_precision="fp32", variants={},
            id="", scale=opened[1].prepared.scale,
            trained_on={kind: runs.training_data(run, name) for kind, run in zip(_NAMES, opened, strict=True)},
        )  # fmt: skip
        report("comparing the precisions on held-out images")
        variants = compare_variants(bundle, *opened)
        bundle = replace(bundle, variants=variants, default_precision=choose_precision(variants))
        report(f"{bundle.default_precision} is the default")
        numbers = {kind: _numbers(run) for kind, run in zip(_NAMES, pair, strict=True)}
        text = card.write_card(*pair, opened[1].prepared, numbers, calibration, bundle)
        (folder / CARD).write_text(text, encoding="utf-8")
        manifest = _manifest(bundle) | {
            "calibration": asdict(calibration) if calibration else card.NOT_CALIBRATED,
            "numbers": numbers,
            "trained_on": {kind: asdict(data) for kind, data in bundle.trained_on.items()},
            "made_from": {kind: _origin(run) for kind, run in zip(_NAMES, pair, strict=True)},
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        _draw_samples(folder / SAMPLES, samples)
    return load_bundle(out)


@contextmanager
def new_bundle(out: Path) -> Iterator[Path]:
    """Give an empty folder next to `out`; when the block succeeds, add checksums, check it and move it to `out`.

    Raises:
        UserError: When `out` is something else than a bundle.
    """
    _refuse_other(out)
    with folder_aside(out) as fresh:
        yield fresh
        (fresh / CHECKSUMS).write_text(list_checksums(fresh, files_of(fresh)), encoding="utf-8")
        load_bundle(fresh)


def _refuse_other(out: Path) -> None:
    """Raise UserError for a folder that must not be replaced: neither empty nor a bundle, which may be damaged."""
    refuse_foreign(out, _is_bundle, f"--out {out} exists and is not a bundle: choose another folder.")


def _is_bundle(out: Path) -> bool:
    with suppress(OSError, UserError):
        return bool(read_json(out / MANIFEST).get("format") == FORMAT)
    return False


def _export(kind: str, opened: RebuiltRun, folder: Path, report: Callable[[str], None]) -> tuple[Stage, Head | None]:
    """Write the ONNX files of a run, and compare them with PyTorch."""
    run = opened.run
    data = run.config.data
    report(f"{kind}: exporting {run.config.model.name} to ONNX")
    head = None
    if kind == "classifier":
        noise = torch.from_numpy(np.random.default_rng(0).normal(size=(2, data.channels, data.size, data.size)))
        head = find_head(opened.net, noise.float())
    fp32, int8 = folder / f"{kind}.onnx", folder / f"{kind}.int8.onnx"
    export_onnx(opened.net, head, data.channels, data.size, fp32)
    stage = Stage(
        name=run.config.model.name, preprocessing=run.preprocessing, mean=tuple(data.mean), std=tuple(data.std),
        channels=data.channels, files={"fp32": fp32, "bf16": fp32, "int8": int8}, overlay=run.overlay,
    )  # fmt: skip
    report(f"{kind}: differs from PyTorch by at most {check_agreement(opened, stage):.1e}; quantising to 8 bits")
    quantise(fp32, int8, _range_images(opened))
    return stage, head


def _range_images(opened: RebuiltRun) -> list[np.ndarray]:
    """Choose training images without augmentation, (1, C, S, S) float32, as the network takes them."""
    dataset = opened.data.parts["train"]
    positions = {id_: position for position, id_ in enumerate(opened.run.split.train)}
    chosen = shuffled(positions, "ranges")[:_RANGE_IMAGES]
    return [opened.data.collate([dataset[positions[id_]]])["image"].numpy() for id_ in chosen]


def _read_images(opened: RebuiltRun, part: str) -> Iterator[np.ndarray]:
    """Read the original images of a part, near-duplicates one after another."""
    split, frame = opened.run.split, opened.prepared.frame
    files = dict(zip(frame["id"], frame["image"], strict=True))
    for id_ in sorted(split.part(part), key=lambda id_: (split.groups[id_], id_)):
        yield read_image(opened.prepared.root / files[id_], opened.prepared.scale)


def _numbers(run: FinishedRun) -> list[dict[str, Any]]:
    """Compute the test metrics of a run for the model card."""
    cases = run.cases
    names = card.OUTLINES if run.config.task.name == "segmentation" else card.CLASSES
    return card.interval_rows(cases[cases["split"] == "test"], names)


def _manifest(bundle: Bundle) -> dict[str, Any]:
    """List what `load_bundle` reads."""

    def describe(stage: Stage) -> dict[str, Any]:
        return asdict(replace(stage, files={})) | {"files": {kind: file.name for kind, file in stage.files.items()}}

    plain = ("temperature", "thresholds", "default_precision", "variants", "reference")
    return {
        "format": FORMAT,
        "version": VERSION,
        "bus_lightning": bus_lightning.__version__,
        "classes": bundle.classes,
        "scale": asdict(bundle.scale),
        "segmenter": describe(bundle.segmenter),
        "classifier": describe(bundle.classifier),
        "head": None if bundle.head is None else HEAD,
        "heat_map": "no heat map" if bundle.head is None else "class activation map",
    } | {key: getattr(bundle, key) for key in plain}


def _origin(run: FinishedRun) -> dict[str, Any]:
    """Name a run, its data and its split."""
    keys = ("data", "split", "masks", "commit", "epochs", "precision")
    status = {key: run.status.get(key) for key in keys}
    if len(codes := codes_of(run.status)) > 1:
        status["later_commits"] = [code.get("commit") for code in codes[1:]]
    return {"run": run.folder.path.resolve().name, "seed": run.config.seed, **status}


def _draw_samples(folder: Path, number: int) -> None:
    """Draw synthetic images, of each class in turn."""
    for position in range(number):
        folder.mkdir(exist_ok=True)
        kind, count = KINDS[position % len(KINDS)], position // len(KINDS) + 1
        image, masks = draw_frame(plan_case(kind, count), _SAMPLE_SEED)
        picture = burn_in(image, masks, generator(_SAMPLE_SEED, kind, count, 2), yellow=False)
        save_png(Image.fromarray(picture), folder / f"phantom-{kind}-{count}.png")
