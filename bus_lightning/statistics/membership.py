"""Find runs that do not belong together: missing folds, other code, other images and other classes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from bus_lightning.config.stored import load_config
from bus_lightning.core.errors import DamagedError
from bus_lightning.runs.code import codes_of
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.sets import sets_of
from bus_lightning.statistics.conditions import Condition, includes_task, shared_options
from bus_lightning.statistics.problem import Problem


def find_missing_folds(condition: Condition) -> Iterator[Problem]:
    """Find seeds that lack some of the folds that the condition divides the images into."""
    number = condition.config.data.split.get("folds")
    if number is None or condition.is_cross_fitted:
        return
    folds: dict[tuple[object, object], set[int]] = defaultdict(set)
    images: Counter[tuple[object, object]] = Counter()
    for run in condition.runs:
        config = load_config(run.config)
        seeds = (config.seed, config.data.split.seed)
        folds[seeds].add(config.data.split.fold or 0)
        images[seeds] += len(condition.splits[run.path.name].test)
    lacking = {seeds: [fold for fold in range(number) if fold not in own] for seeds, own in folds.items()}
    if any(lacking.values()):
        several = len({split_seed for _, split_seed in folds}) > 1
        subject = "" if condition.is_ensemble else "seed {} "
        texts = [
            f"{subject.format(seed)}{f'of split {split_seed} ' if several else ''}lacks {name_folds(missing, number)} "
            f"and has tested {images[seed, split_seed]} images"
            for (seed, split_seed), missing in lacking.items()
            if missing
        ]
        yield Problem("folds", condition.name, f"{'; '.join(texts)}; its numbers cover the other folds only")


def find_mixed_code(condition: Condition) -> Iterator[Problem]:
    """Find runs of one condition that were trained with different code."""
    names = Counter(name_code(run) for run in condition.runs)
    if len(names) > 1 and not condition.is_ensemble:
        counts = ", ".join(f"{name} ({number} run{'s' * (number > 1)})" for name, number in names.most_common())
        yield Problem("code", condition.name, f"its runs were trained with different code: {counts}")


def find_mixed_data(conditions: Sequence[Condition]) -> Iterator[Problem]:
    """Find conditions that differ only in the images: the same options and names of data sets, but other files."""
    trained = [condition for condition in conditions if not condition.is_ensemble]
    if len(trained) < 2:
        return
    by_options: dict[str, list[Condition]] = defaultdict(list)
    for condition in trained:
        options = shared_options(condition.config), condition.config.trainer.max_epochs, _sets_of(condition)
        by_options[repr(options)].append(condition)
    for members in by_options.values():
        usual = max(members, key=lambda condition: len(condition.runs))
        for condition in members:
            if condition is not usual and _data_of(condition) != _data_of(usual):
                what = "other files" if condition.files != usual.files else "other images of the same files"
                yield Problem(
                    "data", condition.name, f"{_runs(condition)} the same options as {_runs(usual, verb=False)} of "
                    f"{usual.name}, but {what} (data {_data_of(condition)} instead of {_data_of(usual)}): they are not "
                    "one condition",
                )  # fmt: skip


def find_mixed_classes(conditions: Sequence[Condition]) -> Iterator[Problem]:
    """Find classifiers that predict other classes than most of the report's."""
    own = [condition for condition in conditions if includes_task(condition.task, "classification")]
    usual = Counter(tuple(sorted(condition.classes)) for condition in own).most_common(1)
    for condition in own:
        if set(condition.classes) != set(usual[0][0]):
            others = f"{usual[0][1]} other conditions predict" if usual[0][1] > 1 else "another condition predicts"
            yield Problem(
                "scope", condition.name, f"it predicts {', '.join(condition.classes)}, and {others} "
                f"{', '.join(usual[0][0])}: their scores cannot be compared",
            )  # fmt: skip


def name_folds(missing: Sequence[int], number: int) -> str:
    """Write folds: `fold 3 of 5`, `folds 1, 3 of 5`."""
    return f"fold{'s' * (len(missing) > 1)} {', '.join(map(str, missing))} of {number}"


def name_code(run: RunDir) -> str:
    """Name the code that a run was trained with: its commits, `+` with uncommitted changes."""
    return " then ".join(name_commits(codes_of(run.status)))


def name_commits(codes: Iterable[dict[str, object]]) -> list[str]:
    """Name commits with seven digits, each once; `+` with uncommitted changes."""
    names = (
        f"{str(code['commit'])[:7]}{'+' if code.get('dirty') else ''}" if code.get("commit") else "no commit"
        for code in codes
    )
    return list(dict.fromkeys(names))


def _runs(condition: Condition, verb: bool = True) -> str:
    number = len(condition.runs)
    return f"{number} run{'s' * (number > 1)}" + (" have" if number > 1 else " has") * verb


def _data_of(condition: Condition) -> str | None:
    return condition.runs[0].status.get("data")


def _sets_of(condition: Condition) -> tuple[str, ...]:
    """Return the names of its data sets; empty if they cannot be read."""
    run = condition.runs[0]
    with suppress(DamagedError):
        return tuple(sets_of(run, condition.config, condition.splits[run.path.name]).described)
    return ()
