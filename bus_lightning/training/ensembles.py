"""Average the probabilities of several networks, and write an ensemble as a folder like that of a run."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from bus_lightning.config.stored import save_config
from bus_lightning.config.tested_data import OF_OWN_DATA, names_data
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.files import folder_aside, is_there, refuse_foreign
from bus_lightning.core.reading import read_bytes
from bus_lightning.data.splits import Split, make_named_split
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.runs.cases import read_cases
from bus_lightning.runs.ensembles import Ensemble, describe_member, read_ensemble, record_average, rule_of_mean
from bus_lightning.runs.evaluation_folders import evaluation_folder
from bus_lightning.runs.evaluations import find_evaluations, read_evaluation
from bus_lightning.runs.finished import FinishedRun, find_runs
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.lock import owned
from bus_lightning.runs.seen import holds_the_data_of
from bus_lightning.runs.sets import write_sets
from bus_lightning.runs.table import collect, show
from bus_lightning.training.averages import average_classes, average_masks
from bus_lightning.training.ensemble_plans import EnsembleOnSplit, EnsemblePlan, hash_of_condition, plan_ensembles
from bus_lightning.training.evaluate import (
    check_request,
    evaluate_run,
    in_one_line,
    name_groups,
    patterns_of,
    prepare_network,
    settle_tested,
)
from bus_lightning.training.evaluated_parts import metrics_of_nothing
from bus_lightning.training.hardware import release_memory
from bus_lightning.training.tested_images import EvaluatedImages, count_seen, find_images

log = logging.getLogger(__name__)


def evaluate_ensembles(cfg: DictConfig) -> None:
    """Average the networks of the runs that `cfg.runs` names, write the ensembles and print their table.

    An ensemble is skipped if it is complete and its runs have not changed. With other data, its networks are averaged
    on these, too.

    Args:
        cfg: The config of `evaluate.py`, with `ensemble`.

    Raises:
        UserError: If an option is wrong, no ensemble can be made, or one of them cannot.
    """
    _refuse_options(cfg)
    plans = plan_ensembles(find_runs(*patterns_of(cfg.runs)), str(cfg.ensemble), cfg.get("trusted_packages") or ())
    if not plans:
        raise UserError(
            f"runs={cfg.runs} matches no two runs that can be averaged: an ensemble needs several seeds or networks "
            f"with the same test images.{name_groups(cfg.runs)}"
        )
    results: dict[Path, Path] = {}
    refused: dict[str, str | None] = {}
    for plan in plans:
        first = plan.splits[0].folder if plan.splits else RunDir(plan.folder)
        try:
            with in_one_line(plan.runs[0].folder if plan.runs else first):
                results |= _evaluate_plan(plan, cfg)
        except UserError as error:
            log.error("%s", error)
            results[first.path], refused[str(first.path)] = first.path, str(error)
        finally:
            release_memory()  # of its networks
    sets = f" on {', '.join(map(str, cfg.data.sets))}" if _is_elsewhere(cfg) and cfg.data.get("sets") else ""
    show(collect(list(results), "test", list(results.values()), refused), title=f"Ensembles{sets}, part 'test'")
    if refused:
        raise UserError(f"{len(refused)} of {len(plans)} ensembles could not be made.")


def _refuse_options(cfg: DictConfig) -> None:
    check_request(cfg)
    if cfg.part != "test":
        raise UserError(f"part={cfg.part}: an ensemble averages the validation and the test images: leave part out.")
    for option in ("explain", "robustness", "baselines"):
        if cfg.get(option):
            raise UserError(f"{option}=true is measured on single networks and trainings: leave ensemble out.")
    if changed := [key for key, value in (cfg.get("predict") or {}).items() if value is not None]:
        raise UserError(f"predict.{changed[0]}: an ensemble averages its runs as they predict: leave the option out.")


def _is_elsewhere(cfg: DictConfig) -> bool:
    """Tell whether the config of `evaluate.py` names other images than the runs' own parts."""
    return names_data(cfg.data) or cfg.split not in (None, "own")


def _evaluate_plan(plan: EnsemblePlan, cfg: DictConfig) -> dict[Path, Path]:
    """Make an ensemble on each split, and on other data if the config names them: folder -> folder of the results."""
    if plan.refused:
        raise UserError(plan.refused)
    for on_split in plan.splits:
        _make(on_split, plan, cfg)
    if _is_elsewhere(cfg):
        return {plan.splits[0].folder.path: _evaluate_elsewhere(plan, cfg).path}
    return {on_split.folder.path: on_split.folder.path for on_split in plan.splits}


def _describe(runs: Sequence[FinishedRun], folder: RunDir, cfg: DictConfig) -> Ensemble:
    members = tuple(describe_member(run, hash_of_condition(run), folder.path) for run in runs)
    return Ensemble(str(cfg.ensemble), tuple(patterns_of(cfg.runs)), members)


def _make(on_split: EnsembleOnSplit, plan: EnsemblePlan, cfg: DictConfig) -> None:
    """Write the folder of an ensemble on one split, unless it is complete and its runs have not changed."""
    folder, runs = on_split.folder, on_split.runs
    described, data = _describe(runs, folder, cfg), runs[0].status.get("data")
    with owned(folder.path):
        if _is_current(folder, described, runs, data):
            log.info("%s: complete, skipped", folder.path)
            return
        foreign = f"{folder.path} is not an ensemble: move it, or choose another name, ensemble=NAME."
        refuse_foreign(folder.path, lambda path: RunDir(path).is_ensemble, foreign)
        log.info("%s: averaging %d networks", folder.path, len(runs))
        split = _split_of(on_split)
        cases, masks = _average_own(on_split, cfg)
        with folder_aside(folder.path) as path:
            fresh = RunDir(path)
            config = runs[0].config.copy()
            config.model.name, config.name, config.group = plan.model, folder.path.name, folder.path.parent.name
            config.seed = None
            save_config(config, fresh.config)
            split.save(fresh.split)
            if on_split.has_one_split and is_there(runs[0].folder.sets):
                fresh.sets.write_bytes(read_bytes(runs[0].folder.sets))
            described.save(fresh)
            fresh.write_masks(masks)
            _write_results(fresh, runs, cases, model=plan.model, state="complete", data=data, split=split.hash)
    log.info("%s: written", folder.path)


def _is_current(folder: RunDir, described: Ensemble, runs: Sequence[FinishedRun], data: str | None) -> bool:
    """Say whether a folder holds the complete mean of these runs on the images with this content hash."""
    try:
        before = read_ensemble(folder)
        if before is None or before.members != described.members or not folder.is_complete:
            return False
        folder.metrics  # noqa: B018 (a damaged file is written again)
        read_cases(folder.cases)
        if folder.status.get("lesion_rule") != rule_of_mean(runs):
            return False  # of an earlier version, which used another threshold for some images
        if folder.status.get("data") != data:
            return False  # the same files with other options, such as the size of a pixel
    except DamagedError as error:
        log.warning("%s It is made again.", error)
        return False
    return True


def _split_of(on_split: EnsembleOnSplit) -> Split:
    """Return the split of all runs; of different ones, all images that any run has seen are training images."""
    first = on_split.runs[0].split
    if on_split.has_one_split:
        return first
    seen = sorted({id_ for run in on_split.runs for id_ in (*run.split.train, *run.split.val)})
    groups = {id_: group for run in on_split.runs for id_, group in run.split.groups.items()} | dict(first.groups)
    parts = {"train": seen, "val": [], "test": first.test}
    return make_named_split(parts, first.method, groups, first.ratio, first.seed)


def _average_own(on_split: EnsembleOnSplit, cfg: DictConfig) -> tuple[pd.DataFrame, dict[str, bytes]]:
    """Average the predictions for the runs' own images: of classifiers from their cases, without checkpoints."""
    runs, parts = on_split.runs, on_split.parts
    if runs[0].task == "classification":
        return average_classes([run.cases[run.cases["split"].isin(parts)] for run in runs]), {}
    own = _without_other_data(cfg)
    images = []
    for run in runs:
        tested = find_images(run, settle_tested(run.config, own), own)
        if not holds_the_data_of(run.folder, tested.prepared.content):
            raise UserError(
                f"{tested.prepared.root} does not hold the files that {run.folder.path} was trained on: restore them, "
                "since masks are averaged from the images."
            )
        images.append(tested)
    return _average_masks(runs, images, parts, own)


def _without_other_data(cfg: DictConfig) -> DictConfig:
    """Return a copy of the config of `evaluate.py` that names no other images than the runs' own parts."""
    own = cfg.copy()
    OmegaConf.set_struct(own, False)
    own.data = dict.fromkeys(cfg.data) | {"sets": {}} | {name: cfg.data.get(name) for name in OF_OWN_DATA}
    own.split = None
    return own


def _average_masks(
    runs: Sequence[FinishedRun], images: Sequence[EvaluatedImages], parts: Sequence[str], cfg: DictConfig
) -> tuple[pd.DataFrame, dict[str, bytes]]:
    for run in runs:
        if not is_there(run.folder.best):
            raise UserError(
                f"{run.folder.path} has no checkpoints/best.ckpt, which the average of masks needs: copy it back, or "
                "train the run again."
            )
    networks = [
        prepare_network(run, settle_tested(run.config, cfg), own, shows_bar=False)
        for run, own in zip(runs, images, strict=True)
    ]
    results = [average_masks(networks, part, bool(cfg.progress)) for part in parts]
    return pd.concat([cases for cases, _ in results], ignore_index=True), {
        id_: png for _, masks in results for id_, png in masks.items()
    }


def _evaluate_elsewhere(plan: EnsemblePlan, cfg: DictConfig) -> RunDir:
    """Average all networks of an ensemble, those of every fold, on images that none of them has seen.

    Returns:
        The folder of the evaluation, within that of the first fold.

    Raises:
        UserError: If a network has seen one of the images, or none is left.
    """
    runs, place = plan.runs, plan.splits[0].folder
    images = [find_images(run, settle_tested(run.config, cfg), cfg) for run in runs]
    for run, own in zip(runs, images, strict=True):
        if seen := count_seen(run, own):
            raise UserError(
                f"{run.folder.path} has seen {seen} of these images in training or validation, so its predictions for "
                "them are not averaged: use split=unseen."
            )
    common = sorted(set.intersection(*(set(own.split.test) for own in images)))
    if not common:
        raise UserError(f"{place.path}: there is no image that all of its {len(runs)} networks have not seen.")
    if left_out := len(set().union(*(own.split.test for own in images))) - len(common):
        log.info("%s: %d images are left out, because some of its networks have seen them", place.path, left_out)
    prepared = images[0].prepared
    split = make_named_split({"train": [], "val": [], "test": common}, "file", images[0].split.groups)
    out = evaluation_folder(place, "test", prepared.content, split.hash)
    described = _describe(runs, place, cfg)
    if _is_current(out, described, runs, prepared.content):
        log.info("%s: complete, skipped", out.path)
        return out
    log.info("%s: averaging %d networks on %d images", out.path, len(runs), len(common))
    if runs[0].task == "classification":
        each = zip(runs, images, strict=True)
        cases = average_classes([_cases_elsewhere(run, own, common, cfg) for run, own in each])
    else:
        cases, _ = _average_masks(runs, [replace(own, split=split) for own in images], ["test"], cfg)
    with owned(place.path), folder_aside(out.path) as path:
        fresh = RunDir(path)
        split.save(fresh.split)
        write_sets(fresh, prepared, split, runs[0])
        described.save(fresh)
        _write_results(fresh, runs, cases, data=prepared.content)
    log.info("%s: written", out.path)
    return out


def _cases_elsewhere(run: FinishedRun, images: EvaluatedImages, ids: Sequence[str], cfg: DictConfig) -> pd.DataFrame:
    """Return a classifier's cases of other images: those of its evaluation on them, which is made if there is none."""
    place = evaluation_folder(run.folder, "test", images.prepared.content, images.split.hash).path
    folder = next((each for each in find_evaluations(run.folder) if each.path == place), None)
    if folder is None and not is_there(run.folder.best):
        raise UserError(
            f"{run.folder.path} has no evaluation on these images, and no checkpoints/best.ckpt to make one: copy its "
            "checkpoint back."
        )
    folder = folder or evaluate_run(run.folder, cfg)
    cases = read_evaluation(folder, run.classes).cases
    return cases[cases["id"].isin(ids)].sort_values("id").reset_index(drop=True)


def _write_results(folder: RunDir, runs: Sequence[FinishedRun], cases: pd.DataFrame, **values: Any) -> None:
    """Write the cases, the status and last the metrics."""
    folder.write_cases(cases)
    record_average(folder, runs, **values)
    parts = {part: metrics_of_nothing(cases) for part in ("val", "test") if folder.config.is_file() or part == "test"}
    folder.write_metrics(parts | {part: parts[part] | metrics_of(table) for part, table in cases.groupby("split")})
