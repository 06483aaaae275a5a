"""Make a bundle of two runs: export, quantise, calibrate, measure, describe."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bus_lightning import __version__
from bus_lightning.core.errors import UserError
from bus_lightning.core.randomness import shuffled
from bus_lightning.data.index import read_image
from bus_lightning.data.phantom import KINDS, burn_in, draw_frame, generator, plan_case, save_png
from bus_lightning.diagnosis.bundle import CARD, FORMAT, HEAD, MANIFEST, SAMPLES, VERSION, Bundle, Stage, load_bundle
from bus_lightning.diagnosis.doubt import fit_reference
from bus_lightning.diagnosis.trained_on import plain_name
from bus_lightning.export import card, folder
from bus_lightning.export.calibration import calibrate
from bus_lightning.export.heads import Head, find_head
from bus_lightning.export.quantising import quantise
from bus_lightning.export.runs import (
    RebuiltRun,
    open_for,
    read_folds,
    rebuild,
    refuse_other_masks,
    refuse_strangers,
    training_data,
)
from bus_lightning.export.to_onnx import export_onnx
from bus_lightning.export.variants import check_agreement, choose_precision, compare_variants
from bus_lightning.runs.finished import FinishedRun

_NAMES = ("segmenter", "classifier")
_SAMPLE_SEED = 1
_FOR_RANGES = 64  # training images that the 8-bit variants take their ranges from


def make_bundle(
    segmenter: Path,
    classifier: Path,
    out: Path,
    out_of_fold: str | None = None,
    sensitivity: float = 0.95,
    samples: int = 0,
    data_name: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """Make a bundle.

    Args:
        segmenter: Folder of a complete run.
        classifier: Folder of another.
        out: The bundle's folder; an older bundle there is replaced at the end.
        out_of_fold: Folders of the classifiers that predicted the training images, a pattern; None: not calibrated.
        sensitivity: For malignant, that the threshold has to reach on those predictions.
        samples: How many drawn phantoms to put in, to try.
        data_name: Name of the training data set; None names it only if it is BUSI.
        say: Takes a line for each step.

    Raises:
        UserError: When the runs do not make a bundle, with the reason.
    """
    if not 0 < sensitivity <= 1:
        raise UserError(f"--sensitivity {sensitivity}: give a share above 0 and up to 1, as 0.95.")
    name = None if data_name is None else plain_name(data_name)
    folder.refuse_other(out)
    runs = open_for(segmenter, "segmentation"), open_for(classifier, "classification")
    refuse_strangers(*runs)
    calibration = None
    if out_of_fold:
        folds = read_folds(out_of_fold, runs[1])
        calibration = calibrate(folds, runs[1], sensitivity)
        say(f"calibrated on {calibration.n} images of {calibration.runs} runs")
    opened = rebuild(runs[0]), rebuild(runs[1])
    refuse_other_masks(runs[0], opened[1])
    with folder.new_bundle(out) as aside:
        say("the training images are described")
        reference = fit_reference(_originals(opened[1], "train"), _originals(opened[1], "val"))
        exported = [_export(name, one, aside, say) for name, one in zip(_NAMES, opened, strict=True)]
        stages, head = [stage for stage, _ in exported], exported[1][1]
        if head:
            np.save(aside / HEAD, head.weights)
        bundle = Bundle(
            path=aside, segmenter=stages[0], classifier=stages[1], classes=runs[1].classes,
            temperature=calibration.temperature if calibration else None,
            thresholds=calibration.thresholds if calibration else None,
            reference=reference, head=head.weights if head else None, card="", default_precision="fp32", variants={},
            id="", trained_on={kind: training_data(one, name) for kind, one in zip(_NAMES, opened, strict=True)},
            scale=opened[1].prepared.scale,
        )  # fmt: skip
        say("the precisions are compared on held-out images")
        variants = compare_variants(bundle, *opened)
        bundle = replace(bundle, variants=variants, default_precision=choose_precision(variants))
        say(f"{bundle.default_precision} is the default")
        numbers = {name: _numbers(run) for name, run in zip(_NAMES, runs, strict=True)}
        text = card.write_card(*runs, opened[1].prepared, numbers, calibration, bundle)
        (aside / CARD).write_text(text, encoding="utf-8")
        manifest = _manifest(bundle) | {
            "calibration": asdict(calibration) if calibration else card.NOT_CALIBRATED,
            "numbers": numbers,
            "trained_on": {kind: asdict(data) for kind, data in bundle.trained_on.items()},
            "made_from": {name: _origin(run) for name, run in zip(_NAMES, runs, strict=True)},
        }
        (aside / MANIFEST).write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        _draw_samples(aside / SAMPLES, samples)
    return load_bundle(out)


def _export(name: str, opened: RebuiltRun, aside: Path, say: Callable[[str], None]) -> tuple[Stage, Head | None]:
    """Write the ONNX files of one run, and check that they answer as PyTorch does."""
    run = opened.run
    data = run.config.data
    say(f"{name}: {run.config.model.name} becomes ONNX")
    head = None
    if name == "classifier":
        noise = torch.from_numpy(np.random.default_rng(0).normal(size=(2, data.channels, data.size, data.size)))
        head = find_head(opened.net, noise.float())
    fp32, int8 = aside / f"{name}.onnx", aside / f"{name}.int8.onnx"
    export_onnx(opened.net, head, data.channels, data.size, fp32)
    stage = Stage(
        name=run.config.model.name, preprocessing=run.preprocessing, mean=tuple(data.mean), std=tuple(data.std),
        channels=data.channels, files={"fp32": fp32, "bf16": fp32, "int8": int8}, overlay=run.overlay,
    )  # fmt: skip
    say(f"{name}: at most {check_agreement(opened, stage):.1e} from PyTorch; now in 8 bits")
    quantise(fp32, int8, _for_ranges(opened))
    return stage, head


def _for_ranges(opened: RebuiltRun) -> list[np.ndarray]:
    """Take training images, not augmented, as the network takes them, (1, C, S, S) float32."""
    dataset = opened.data.parts["train"]
    positions = {id_: position for position, id_ in enumerate(opened.run.split.train)}
    chosen = shuffled(positions, "ranges")[:_FOR_RANGES]
    return [opened.data.collate([dataset[positions[id_]]])["image"].numpy() for id_ in chosen]


def _originals(opened: RebuiltRun, part: str) -> Iterator[np.ndarray]:
    """Read the images of a part as they are in their files, near-duplicates one after another."""
    split, frame = opened.run.split, opened.prepared.frame
    files = dict(zip(frame["id"], frame["image"], strict=True))
    for id_ in sorted(split.part(part), key=lambda id_: (split.groups[id_], id_)):
        yield read_image(opened.prepared.root / files[id_], opened.prepared.scale)


def _numbers(run: FinishedRun) -> list[dict[str, Any]]:
    """Compute the test metrics of a run for its card."""
    cases = run.cases
    names = card.OUTLINES if run.config.task.name == "segmentation" else card.CLASSES
    return card.interval_rows(cases[cases["split"] == "test"], names)


def _manifest(bundle: Bundle) -> dict[str, Any]:
    """Say what `load_bundle` needs to know."""

    def stage(one: Stage) -> dict[str, Any]:
        return asdict(replace(one, files={})) | {"files": {name: file.name for name, file in one.files.items()}}

    return {
        "format": FORMAT,
        "version": VERSION,
        "bus_lightning": __version__,
        "classes": bundle.classes,
        "scale": asdict(bundle.scale),
        "segmenter": stage(bundle.segmenter),
        "classifier": stage(bundle.classifier),
        "head": None if bundle.head is None else HEAD,
        "heat_map": "no heat map" if bundle.head is None else "class activation map",
        "temperature": bundle.temperature,
        "thresholds": bundle.thresholds,
        "default_precision": bundle.default_precision,
        "variants": bundle.variants,
        "reference": bundle.reference,
    }


def _origin(run: FinishedRun) -> dict[str, Any]:
    """Name a run, its data and its split."""
    status = run.folder.status
    kept = {key: status.get(key) for key in ("data", "split", "masks", "commit", "epochs", "precision")}
    return {"run": run.folder.path.resolve().name, "seed": run.config.seed, **kept}


def _draw_samples(out: Path, number: int) -> None:
    """Draw phantoms, of each class in turn."""
    for position in range(number):
        out.mkdir(exist_ok=True)
        kind, count = KINDS[position % len(KINDS)], position // len(KINDS) + 1
        image, masks = draw_frame(plan_case(kind, count), _SAMPLE_SEED)
        picture = burn_in(image, masks, generator(_SAMPLE_SEED, kind, count, 2), yellow=False)
        save_png(Image.fromarray(picture), out / f"phantom-{kind}-{count}.png")
