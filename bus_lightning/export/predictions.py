"""Class probabilities for images that a network was not trained on: of tests, of validations, and out of fold."""

import logging
from collections.abc import Sequence

import pandas as pd

from bus_lightning.config.identity import identity
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.files import is_there
from bus_lightning.metrics.columns import PROBABILITY, cases_of_task, classes_of
from bus_lightning.runs.finished import FinishedRun, find_runs, open_run

log = logging.getLogger(__name__)
# Keys in which a run and its folds may differ.
_OF_A_FOLD = ("seed", "data.split.fold", "data.split.cross_fold", "data.split.cross_folds")


def cases_of_test(run: FinishedRun) -> pd.DataFrame:
    """Read the cases of a run's test part.

    Raises:
        UserError: If they are not those of its split.
    """
    cases = run.cases
    tested = cases[cases["split"] == "test"].reset_index(drop=True)
    if set(tested["id"]) != set(run.split.test):
        raise UserError(f"{run.folder.cases} does not hold the test images of its split.json: train the run again.")
    return tested


def held_out_cases(teams: Sequence[Sequence[FinishedRun]]) -> pd.DataFrame:
    """Read the test cases of runs, averaged over those with the same test images.

    Args:
        teams: Runs with the same test images each, and with other test images than the other teams.
    """
    return pd.concat([_mean([cases_of_test(run) for run in runs]) for runs in teams], ignore_index=True)


def validation_cases(runs: Sequence[FinishedRun]) -> pd.DataFrame | None:
    """Average the predictions of runs for their validation images; None if these differ, or there are none.

    Raises:
        UserError: If some are missing.
    """
    tables = [run.cases[run.cases["split"] == "val"].reset_index(drop=True) for run in runs]
    for run, table in zip(runs, tables, strict=True):
        if len(table) and sorted(table["id"]) != sorted(run.split.val):
            raise UserError(
                f"{run.folder.cases} does not hold the validation images of its split.json: train the run again."
            )
    known = [sorted(run.split.val) for run in runs]
    is_whole = all(sorted(table["id"]) == known[0] for table in tables)
    has_one_split = len({run.split.hash for run in runs}) == 1
    return _mean(tables) if known[0] and is_whole and has_one_split else None


def out_of_fold_cases(folds: Sequence[Sequence[FinishedRun]], exported: Sequence[FinishedRun]) -> pd.DataFrame:
    """Average what the folds of each exported run predict for the training images.

    Args:
        folds: For each exported run, runs whose test images are its training images.
        exported: The runs of the bundle that classify.

    Raises:
        UserError: If an image was predicted twice or never.
    """
    return _mean([_join_folds(runs, run) for runs, run in zip(folds, exported, strict=True)])


def _join_folds(runs: Sequence[FinishedRun], exported: FinishedRun) -> pd.DataFrame:
    cases = pd.concat([cases_of_test(run) for run in runs], ignore_index=True)
    if len(twice := cases[cases["id"].duplicated()]):
        raise UserError(
            f"--out-of-fold: {len(twice)} images were predicted by several runs, for example '{twice['id'].iloc[0]}': "
            "give the runs of one seed."
        )
    if missing := set(exported.split.train) - set(cases["id"]):
        raise UserError(
            f"--out-of-fold: {len(missing)} training images were predicted by no run, for example '{min(missing)}': "
            "give all folds."
        )
    return cases


def _mean(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Average the class probabilities of tables with the same images, in the order and with the classes of the first.

    Images that not all tables have are left out.
    """
    first, *others = (cases_of_task("classification", table).set_index("id") for table in tables)
    columns = [f"{PROBABILITY}{name}" for name in classes_of(first)]
    common = [id_ for id_ in first.index if all(id_ in table.index for table in others)]
    mean = sum((table.loc[common, columns] for table in others), start=first.loc[common, columns]) / len(tables)
    return first.loc[common].assign(**{name: mean[name] for name in columns}).reset_index()


def read_folds(pattern: str, exported: Sequence[FinishedRun]) -> list[list[FinishedRun]]:
    """Read the runs that match a pattern and predicted the training images of the exported runs.

    Other tasks are skipped. A damaged run is left out with a warning; `out_of_fold_cases` refuses if images are missing
    then.

    Args:
        pattern: As in a shell.
        exported: The runs of the bundle that classify, with the same test images.

    Returns:
        The folds of each exported run, which have its recipe, and its seed if another one has the same recipe.

    Raises:
        UserError: When there are none, one is not complete, or is of another model, overlay, data or split.
    """
    task, own = exported[0].task, {run.folder.path.resolve() for run in exported}
    matching: list[FinishedRun] = []
    for folder in find_runs(pattern):
        if not is_there(folder.config) or folder.is_ensemble or folder.path.resolve() in own:
            continue
        try:
            run = open_run(folder.path, complete=False)
            if run.task == task:
                run.require_complete()
                run.split, run.cases, run.status  # noqa: B018 (read here, where a damaged file leaves the run out)
                matching.append(run)
        except DamagedError as error:
            log.warning("Left out of the calibration: %s", error)
    if not matching:
        raise UserError(f"--out-of-fold '{pattern}' matches no {task} run except the exported ones.")
    folds: list[list[FinishedRun]] = [[] for _ in exported]
    for run in matching:
        position = _find_exported(run, exported)
        _refuse_seen_or_tested(run, exported[position])
        folds[position].append(run)
    if lacking := [run for run, runs in zip(exported, folds, strict=True) if not runs]:
        raise UserError(f"--out-of-fold '{pattern}' matches no fold of {lacking[0].folder.path}: give all folds.")
    return folds


def _find_exported(run: FinishedRun, exported: Sequence[FinishedRun]) -> int:
    """Return the position of the exported run that a run is a fold of."""
    same = [position for position, each in enumerate(exported) if not _differing(run, each)]
    if not same:
        key, own, other = _differing(run, exported[0])[0]
        raise UserError(
            f"{run.folder.path} is not a fold of {exported[0].folder.path}: {key} is {own}, not {other}. "
            "Choose other runs with --out-of-fold."
        )
    of_seed = [position for position in same if exported[position].config.get("seed") == run.config.get("seed")]
    if len(same) > 1 and len(of_seed) != 1:
        raise UserError(
            f"{run.folder.path} is a fold of no single exported run: give folds with the seeds of the exported runs."
        )
    return same[0] if len(same) == 1 else of_seed[0]


def _differing(run: FinishedRun, exported: FinishedRun) -> list[tuple[str, object, object]]:
    """List the keys in which the recipe of a run differs from that of an exported one: key, value, other value."""
    recipe, expected = (
        {key: value for key, value in identity(each_run.config).items() if key not in _OF_A_FOLD}
        | {"trainer.max_epochs": each_run.config.trainer.max_epochs}
        for each_run in (run, exported)
    )
    keys = sorted(key for key in recipe | expected if recipe.get(key) != expected.get(key))
    return [(key, recipe.get(key), expected.get(key)) for key in keys]


def _refuse_seen_or_tested(run: FinishedRun, exported: FinishedRun) -> None:
    """Refuse a fold of other data or masks, or one that predicts images that the exported run is tested on."""
    path, other = run.folder.path, exported.folder.path
    if run.folder.status.get("masks") != exported.folder.status.get("masks"):
        raise UserError(f"{path} was given other masks than {other}: choose the runs of one segmenter.")
    if run.files_hash != exported.files_hash:
        raise UserError(f"{path} was trained on other data than {other}: choose other runs with --out-of-fold.")
    groups = exported.split.groups
    held_out = {groups[id_] for id_ in exported.split.test}
    if forbidden := [id_ for id_ in run.split.test if id_ not in groups or groups[id_] in held_out]:
        raise UserError(
            f"{path} predicts '{forbidden[0]}', which {other} is tested on: a calibration on it would look too good. "
            "Give runs of data.split.cross_fold, or the other folds of data.split.folds."
        )
    if {groups[id_] for id_ in run.split.test} & {groups[id_] for id_ in run.split.train if id_ in groups}:
        raise UserError(
            f"{path} was trained on near-duplicates of the images it predicts: use data.split.method=grouped."
        )
