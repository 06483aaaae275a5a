"""Make a bundle from runs: export, quantise, calibrate, measure, describe."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bus_lightning
from bus_lightning.core.csv_files import write_csv
from bus_lightning.core.errors import UserError
from bus_lightning.core.files import folder_aside, list_checksums, refuse_foreign
from bus_lightning.core.reading import read_json
from bus_lightning.data.index import read_image
from bus_lightning.diagnosis.bundle import (
    CARD,
    CASES,
    CHECKSUMS,
    FORMAT,
    HEAD,
    MANIFEST,
    OUT_OF_FOLD,
    SAMPLES,
    VALIDATION,
    VERSION,
    Bundle,
    files_of,
    find_bundle_around,
    load_bundle,
)
from bus_lightning.diagnosis.doubt import fit_reference
from bus_lightning.diagnosis.stage import CLASS, MASK, OUTPUTS, Stage
from bus_lightning.diagnosis.trained_on import check_name
from bus_lightning.export import card, variants
from bus_lightning.export.calibration import Calibration, calibrate, choose_sensitivity, has_enough
from bus_lightning.export.evidence import collect_cases, find_evidence
from bus_lightning.export.heads import find_head
from bus_lightning.export.numbers import find_numbers
from bus_lightning.export.predictions import held_out_cases, out_of_fold_cases, read_folds, validation_cases
from bus_lightning.export.quantising import quantise, training_images
from bus_lightning.export.runs import RebuiltRun, rebuild, refuse_other_masks, training_data
from bus_lightning.export.samples import draw_samples
from bus_lightning.export.team import Team, by_test_images, compose
from bus_lightning.export.to_onnx import export_onnx, halve_weights
from bus_lightning.runs.code import codes_of
from bus_lightning.runs.ensembles import least_score_of
from bus_lightning.runs.finished import FinishedRun

OUTPUTS_OF = {"segmentation": (MASK,), "classification": (CLASS,), "joint": OUTPUTS}


def make_bundle(
    runs: Sequence[Path],
    out: Path,
    out_of_fold: str | None = None,
    sensitivity: float | None = None,
    samples: int = 0,
    data_name: str | None = None,
    only_default: bool = False,
    precision: str | None = None,
    with_cases: bool = False,
    note: str = "",
    trusted: Sequence[str] = (),
    report: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """Make a bundle from the folders of finished runs; an older bundle at `out` is replaced at the end.

    Args:
        runs: A run of any task, a segmenter and a classifier, or the members of ensembles; see `team.compose`.
        out: The folder.
        out_of_fold: Pattern of runs that predicted the training images, for the calibration. Without it, folds are
            calibrated on their own test images, and other networks on their validation images, if there are enough.
        sensitivity: Sensitivity of the threshold for malignant on those predictions, in (0, 1]; None takes 0.95.
        samples: Number of synthetic images to add.
        data_name: Name of the training data; without one, they are named only if they are BUSI.
        only_default: Whether only the file of the default precision is kept; that of fp32 and bf16 in half the size.
        precision: The default precision; without one, the fastest that answers like fp32.
        with_cases: Whether the bundle of one network gets its predictions for held-out images, with their ids, and its
            card the sections that rest on them.
        note: A sentence for the model card.
        trusted: The user's own packages that the networks may come from.
        report: Takes a line for each step.

    Raises:
        UserError: When the runs do not make a bundle.
    """
    name = None if data_name is None else check_name(data_name)
    _refuse_other(out)
    if precision:
        variants.refuse_unmeasurable(precision)
    team = compose(runs, trusted)
    required = choose_sensitivity(sensitivity, team.classifiers[0].classes if team.classifiers else ())
    folds = _read_folds(team, out_of_fold)
    calibration = _calibrate(team, folds, required, report)
    cases = collect_cases(team, folds) if with_cases else None
    opened = {key: rebuild(run) for key, run in team.runs.items()}
    for segmenter in (run for run in team.runs.values() if run.task == "segmentation"):
        for key, run in team.runs.items():
            if run.task == "classification":
                refuse_other_masks(segmenter, opened[key])
    leaders = [opened[key] for key, run in team.runs.items() if run.task != "segmentation" or not team.classifiers]
    with new_bundle(out) as folder:
        report("describing the training images")
        reference = _describe_training(leaders)
        stages = {key: _export(key, each, folder, only_default, report) for key, each in opened.items()}
        trained = {role: training_data([opened[key] for key in keys], name) for role, keys in team.roles.items()}
        bundle = Bundle(
            path=folder, networks=stages, classes=team.classifiers[0].classes if team.classifiers else [],
            temperature=calibration.temperature if calibration else None,
            thresholds=calibration.thresholds if calibration else None,
            reference=reference, card="", default_precision="fp32", variants={}, id="", trained_on=trained,
            scale=leaders[0].prepared.scale, least_score=least_score_of(team.outliners),
            calibrated_on=calibration.on if calibration else OUT_OF_FOLD,
        )  # fmt: skip
        report("comparing the precisions")
        compared, is_held_out = variants.choose_compared(list(opened.values()))
        measured = variants.compare_variants(bundle, leaders[0].prepared, compared)
        default = variants.choose_precision(measured, precision)
        bundle = replace(bundle, variants=measured, default_precision=default)
        report(f"{bundle.default_precision} is the default")
        numbers = find_numbers(team, bundle, opened)
        if only_default:
            bundle = _keep_only_default(bundle)
        evidence = None if cases is None else find_evidence(cases, bundle.temperature, required)
        if cases is not None:
            write_csv(cases, folder / CASES)
        text = card.write_card(
            team, leaders[0].prepared, numbers, calibration, bundle, is_held_out, evidence, " ".join(note.split())
        )
        (folder / CARD).write_text(text, encoding="utf-8")
        manifest = _manifest(bundle) | {
            "calibration": asdict(calibration) if calibration else card.NOT_CALIBRATED,
            "numbers": numbers,
            "evidence": evidence,
            "trained_on": {role: asdict(data) for role, data in bundle.trained_on.items()},
            "made_from": {key: _origin(run) for key, run in team.runs.items()},
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        draw_samples(folder / SAMPLES, samples)
    return load_bundle(out)


def _read_folds(team: Team, out_of_fold: str | None) -> list[list[FinishedRun]]:
    """Read the runs that `--out-of-fold` names; none without it. An empty pattern matches no run, and is refused."""
    if out_of_fold is None:
        return []
    runs = team.classifiers
    if not (runs and team.has_held_out_images):
        why = "these runs are folds, which calibrate each other" if runs else "a segmenter has no classes to calibrate"
        raise UserError(f"--out-of-fold '{out_of_fold}': {why}: leave it out.")
    return read_folds(out_of_fold, runs)


def _calibrate(
    team: Team, folds: Sequence[Sequence[FinishedRun]], sensitivity: float, report: Callable[[str], None]
) -> Calibration | None:
    """Calibrate the classes on out-of-fold or validation predictions; None if there are none, or too few."""
    runs = team.classifiers
    if not runs:
        return None
    tested = held_out_cases([runs]) if team.has_held_out_images else None
    on, number = OUT_OF_FOLD, len(runs)
    if folds:
        cases, number = out_of_fold_cases(folds, runs), sum(map(len, folds))
    elif tested is None:
        cases = held_out_cases(by_test_images(runs))
    else:
        on, validated = VALIDATION, validation_cases(runs)
        if validated is None or not has_enough(validated):
            report("not calibrated: there are too few validation images, and no --out-of-fold")
            return None
        cases = validated
    report(f"calibrated on {len(cases)} {on} of {number} runs")
    return calibrate(cases, on, number, tested, sensitivity)


@contextmanager
def new_bundle(out: Path) -> Iterator[Path]:
    """Give an empty folder next to `out`; when the block succeeds, add checksums, check it and move it to `out`.

    Raises:
        UserError: When `out` is something else than a bundle, or lies in one.
    """
    _refuse_other(out)
    with folder_aside(out) as fresh:
        yield fresh
        (fresh / CHECKSUMS).write_text(list_checksums(fresh, files_of(fresh)), encoding="utf-8")
        load_bundle(fresh)


def _refuse_other(out: Path) -> None:
    """Raise UserError for a folder in a bundle, or one that is neither empty nor a bundle, which may be damaged."""
    if find_bundle_around(out.parent):
        raise UserError(f"--out {out} lies in a bundle, which it would damage: choose another folder.")
    refuse_foreign(out, _is_bundle, f"--out {out} exists and is not a bundle: choose another folder.")


def _is_bundle(out: Path) -> bool:
    with suppress(OSError, UserError):
        return bool(read_json(out / MANIFEST).get("format") == FORMAT)
    return False


def _export(key: str, opened: RebuiltRun, folder: Path, halves: bool, report: Callable[[str], None]) -> Stage:
    """Write the ONNX files and the head of a run, and compare the network with PyTorch."""
    run = opened.run
    data, outputs = run.config.data, OUTPUTS_OF[run.task]
    report(f"{key}: exporting {run.config.model.name} to ONNX")
    head = None
    if CLASS in outputs:
        noise = torch.from_numpy(np.random.default_rng(0).normal(size=(2, data.channels, data.size, data.size)))
        head = find_head(opened.net, noise.float())
    fp32, int8 = folder / f"{key}.onnx", folder / f"{key}.int8.onnx"
    export_onnx(opened.net, head, data.channels, data.size, fp32, outputs)
    if head:
        np.save(folder / f"{key}.{HEAD}", head.weights)
    stage = Stage(
        name=run.config.model.name, outputs=outputs, preprocessing=run.preprocessing, mean=tuple(data.mean),
        std=tuple(data.std), channels=data.channels, files={"fp32": fp32, "bf16": fp32, "int8": int8},
        classes=tuple(run.classes) if CLASS in outputs else (), overlay=run.overlay,
        head=head.weights if head else None, flips=bool(run.config.predict.flips),
    )  # fmt: skip
    compare = variants.check_agreement
    report(f"{key}: differs from PyTorch by at most {compare(opened, stage):.1e}; quantising to 8 bits")
    images = training_images(opened.data, run.split.train)
    layers, total = quantise(fp32, int8, images, outputs)
    report(f"{key}: {layers} of {total} layers are in 8 bits")
    if halves:
        halve_weights(fp32, fp32)
        report(f"{key}: differs by at most {compare(opened, stage, variants.HALVED):.1e} with weights in 16 bits")
    return stage


def _keep_only_default(bundle: Bundle) -> Bundle:
    """Delete the files that the default precision does not use; fp32 and bf16 share one."""
    default = bundle.default_precision
    kept = {
        key: replace(stage, files={kind: file for kind, file in stage.files.items() if file == stage.files[default]})
        for key, stage in bundle.networks.items()
    }
    for key, stage in bundle.networks.items():
        for file in set(stage.files.values()) - set(kept[key].files.values()):
            file.unlink()
    return replace(bundle, networks=kept)


def _describe_training(leaders: Sequence[RebuiltRun]) -> dict[str, Any]:
    """Describe the images that runs were trained on, and how far those are that none of them was."""
    train = {id_ for each in leaders for id_ in each.run.split.train}
    held_out = {id_ for each in leaders for id_ in each.run.split.val} - train
    return fit_reference(_read_images(leaders[0], train), _read_images(leaders[0], held_out))


def _read_images(opened: RebuiltRun, ids: Iterable[str]) -> Iterator[np.ndarray]:
    """Read original images, near-duplicates one after another."""
    groups, frame = opened.run.split.groups, opened.prepared.frame
    files = dict(zip(frame["id"], frame["image"], strict=True))
    for id_ in sorted(files.keys() & set(ids), key=lambda id_: (groups[id_], id_)):
        yield read_image(opened.prepared.root / files[id_], opened.prepared.scale)


def _manifest(bundle: Bundle) -> dict[str, Any]:
    """List what `load_bundle` reads."""

    def describe(key: str, stage: Stage) -> dict[str, Any]:
        files = {kind: file.name for kind, file in stage.files.items()}
        head = None if stage.head is None else f"{key}.{HEAD}"
        return asdict(replace(stage, files={}, head=None)) | {"files": files, "head": head}

    plain = ("temperature", "thresholds", "default_precision", "variants", "reference", "calibrated_on")
    return {
        "format": FORMAT,
        "version": VERSION,
        "bus_lightning": bus_lightning.__version__,
        "answers": bundle.answers,
        "classes": bundle.classes,
        "scale": asdict(bundle.scale),
        "networks": {key: describe(key, stage) for key, stage in bundle.networks.items()},
        "no_lesion": bundle.least_score,
    } | {key: getattr(bundle, key) for key in plain}


def _origin(run: FinishedRun) -> dict[str, Any]:
    """Name a run, its data and its split."""
    keys = ("data", "split", "masks", "commit", "epochs", "precision")
    status = {key: run.status.get(key) for key in keys}
    if len(codes := codes_of(run.status)) > 1:
        status["later_commits"] = [code.get("commit") for code in codes[1:]]
    return {"run": run.folder.path.resolve().name, "seed": run.config.seed, **status}
