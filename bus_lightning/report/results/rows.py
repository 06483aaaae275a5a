"""The numbers of a page of results: a row for each condition, data set and metric, with the runs behind it."""

import math
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bus_lightning.config.identity import find_meaning
from bus_lightning.config.stored import load_config
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.report.estimates import metric_row
from bus_lightning.report.extension import Extension
from bus_lightning.report.figures.inputs import labels_of
from bus_lightning.report.results.plan import Table
from bus_lightning.runs.baselines import BASELINES
from bus_lightning.runs.evaluations import find_evaluations
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.sets import read_sets_of, sets_of
from bus_lightning.statistics.across_sets import Cell, read_across
from bus_lightning.statistics.baselines import baseline_conditions
from bus_lightning.statistics.conditions import Condition, Group, add_group_to_names, of_task
from bus_lightning.statistics.membership import name_code
from bus_lightning.statistics.summary import summarise

_ALWAYS_SHOWN = ("group", "name", "sweep", "model", "experiment", "data", "protocol")
_FLAGS = ("-m", "--multirun")
NOT_KNOWN = "not known"  # commits of networks that are gone, or whose status is damaged


@dataclass(frozen=True)
class Row:
    """A number.

    Attributes:
        table: Name of the table.
        group: The group of the runs.
        condition: Name of the condition.
        label: Its short name.
        model: Name of the model.
        ensemble: Number of networks whose probabilities are averaged for an image; 1 without an ensemble.
        task: classification or segmentation.
        trained: Names of the data sets of the training.
        data: Name of the data set of the images.
        classes: The classes that the networks predict; empty for a segmenter.
        protocol: How the images were chosen, in words.
        protocol_sha256: Hash of the written protocol of the runs; None without one.
        part: val or test.
        metric: Key of the metric.
        value, low, high: The value and its 95% interval; None if it is undefined.
        reason: Why it is undefined; else empty.
        n: Number of images.
        runs: Number of trainings.
        sd_of_runs: Standard deviation over runs; None for one run.
        commit: Commits of the trainings; `not known` among them if networks of an ensemble are gone.
        command: The commands that made the runs.
        paper: The published number; empty if there is none.
        kept: Whether the number is from an earlier page, and its runs are no longer in the folder.
        images: Hash of the images that the runs were divided from; empty if it is not known.
        averaged: The groups of the runs that an ensemble averages; empty without an ensemble.
    """

    table: str
    group: str
    condition: str
    label: str
    model: str
    ensemble: int
    task: str
    trained: tuple[str, ...]
    data: str
    classes: tuple[str, ...]
    protocol: str
    protocol_sha256: str | None
    part: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    reason: str
    n: int
    runs: int
    sd_of_runs: float | None
    commit: str
    command: tuple[str, ...]
    paper: str = ""
    kept: bool = False
    images: str = ""
    averaged: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What names its condition: the group, and the name without that of the group, which a table may add."""
        return self.group, self.condition.removesuffix(f"__{self.group}")


def make_rows(table: Table, groups: Sequence[Group], extensions: Sequence[Extension], cache: Path | None) -> list[Row]:
    """Compute the rows of a table.

    Args:
        table: The table.
        groups: Its groups, those that are there.
        extensions: Studies that know published numbers.
        cache: Folder that keeps summaries; None keeps none.
    """
    conditions = add_group_to_names(of_task((each for group in groups for each in group.conditions), table.task))
    labels = labels_of(conditions)
    rows: list[Row] = []
    for condition in conditions:
        label = labels[condition.name]
        if table.kind == "across":
            for row in read_across([condition]).rows:
                for name, cell in row.cells.items():
                    rows += _rows_of(table, cell.condition, label, row.trained, name, cache, extensions, cell)
        elif not condition.is_cross_fitted:
            trained, tested = _sets_of(condition, table.part)
            rows += _rows_of(table, condition, label, trained, " + ".join(tested), cache, extensions)
    if table.baselines:
        for baseline in baseline_conditions([each for each in conditions if not each.is_ensemble]):
            trained, tested = _sets_of(baseline, table.part)
            rows += _rows_of(table, baseline, baseline.name, trained, " + ".join(tested), cache, extensions)
    return rows


def _rows_of(
    table: Table, condition: Condition, label: str, trained: tuple[str, ...], data: str, cache: Path | None,
    extensions: Sequence[Extension], cell: Cell | None = None,
) -> Iterator[Row]:  # fmt: skip
    summary = summarise(condition, table.part, cache)
    used = set(condition.cases["run"])  # a cell of another data set can lack some of the runs
    runs = [run for run in condition.runs if run.path.name in used]
    trainings = [RunDir(path) for path in condition.averaged] or runs
    number = condition.networks if cell and not cell.is_own and condition.is_ensemble else len(trainings)
    known = [run for run in trainings if _is_known(run)]
    codes, commands = (sorted({make(run) for run in known}) for make in (name_code, _command))
    codes += [NOT_KNOWN] * (len(known) < len(trainings))
    if condition.model in BASELINES.values():
        commands.append(f"python evaluate.py 'runs=runs/{condition.runs[0].path.parent.name}/*' baselines=true")
    averaged = tuple(sorted({path.parent.name for path in condition.averaged}))
    pattern = _pattern_of(averaged or (condition.runs[0].path.parent.name,))
    if cell and not cell.is_own:
        commands += sorted(set(_evaluations(runs, cell.tested, pattern)))
    elif condition.ensemble and known:
        commands.append(f"python evaluate.py {shlex.quote(f'runs={pattern}')} ensemble={condition.ensemble.name}")
    texts = {run.status.get("protocol") for run in known}
    protocol = texts.pop() if len(texts) == 1 and len(known) == len(trainings) else None
    n = int(condition.part(table.part)["id"].nunique())  # folds share validation images, and seeds can lack folds
    for metric in table.metrics:
        score = metric_row(summary, metric)
        if score is None:
            continue
        yield Row(
            table=table.name, group=condition.runs[0].path.parent.name, condition=condition.name, label=label,
            model=condition.model, ensemble=condition.networks, task=table.task, trained=trained, data=data,
            classes=tuple(condition.predicted_classes or ()), protocol=_describe(condition, table.part, cell),
            protocol_sha256=protocol, part=table.part, metric=metric,
            value=_finite(score["value"]), low=_finite(score["low"]), high=_finite(score["high"]),
            sd_of_runs=_finite(score["sd_of_runs"]), reason=score["reason"],
            n=n, runs=number, commit=", ".join(codes), command=tuple(commands),
            paper=published(table, metric, condition.model, extensions),
            images=", ".join(sorted({str(run.status["data"]) for run in runs if run.status.get("data")})),
            averaged=averaged,
        )  # fmt: skip


def _is_known(run: RunDir) -> bool:
    """Say whether the folder of a training is there and can be read; an ensemble can outlive its networks."""
    with suppress(DamagedError):
        return run.path.is_dir() and isinstance(run.status, dict)
    return False


def published(table: Table, metric: str, model: str, extensions: Sequence[Extension]) -> str:
    """Return the published number next to a metric of a model; empty if there is none."""
    if metric not in table.paper:
        return ""
    where, name = table.paper[metric]
    return next(filter(None, (extension.published(where, model, name) for extension in extensions)), "")


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _describe(condition: Condition, part: str, cell: Cell | None) -> str:
    """Say how the images were chosen and how many trainings are averaged."""
    split = condition.config.data.split
    replicates = condition.cases["replicate"].nunique()
    number = condition.networks
    averaged = f", mean of {number} network{'s' * (number > 1)}" if condition.is_ensemble else ""
    if cell and not cell.is_own:  # its runs were tested on the same images, perhaps a part of the set
        return f"images of another data set{averaged}" + f", {replicates} runs" * (replicates > 1)
    seeds = len({_seeds(run) for run in condition.runs if run.path.name in condition.replicates})
    several = f", {seeds} seeds" if seeds > 1 else ""
    several += f", {replicates} repetitions" if replicates != seeds else ""
    images = "validation images" if part == "val" else "held-out images"
    how = f"{images}, {split.method} split" if split.get("folds") is None else (
        f"{images} out of fold, {split.method} split, {split.folds} folds"
    )  # fmt: skip
    return f"{how}{averaged}{several}"


def _seeds(run: RunDir) -> tuple[object, object]:
    config = load_config(run.config)
    return config.seed, config.data.split.seed


def _sets_of(condition: Condition, part: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the sets with training images, and of those with images of a part."""
    run = condition.runs[0]
    try:
        sets = sets_of(run, condition.config, condition.splits[run.path.name])
    except UserError:
        return ("not known",), ("not known",)
    trained = sets.trained or tuple(sets.described)
    return trained, tuple(name for name in sets.described if name in sets.parts.get(part, {})) or trained


def _command(run: RunDir, runs: str = "") -> str:
    """Return the command that made a run, without the options that decide neither its numbers nor its place.

    Args:
        run: The folder of the run, or of an evaluation.
        runs: The pattern of the evaluated runs, without folders of this machine.
    """
    words = str(run.status.get("command") or "").split(" ")
    script = Path(words[0]).name
    script = f"{script.removeprefix('bus-')}.py" if script in ("bus-train", "bus-evaluate") else script
    if not script.endswith(".py") and runs:
        return f"python evaluate.py {shlex.quote(f'runs={runs}')}, as `evaluations` in the folders of the runs says"
    if not script.endswith(".py"):  # a test or a notebook
        return f"python train.py, as {run.path.parent.name}/{run.path.name}/config.yaml says"
    words = [f"runs={runs}" if runs and word.startswith("runs=") else word for word in words]
    shown = [word for word in words[1:] if word in _FLAGS or _is_shown(word)]
    return f"python {shlex.join([script, *shown])}"


def _pattern_of(groups: Sequence[str]) -> str:
    """Write the option `runs` that names all runs of some groups."""
    patterns = [f"runs/{group}/*" for group in groups]
    return patterns[0] if len(patterns) == 1 else f"[{','.join(patterns)}]"


def _evaluations(runs: Sequence[RunDir], tested: str, pattern: str) -> Iterator[str]:
    """Yield the commands that evaluated the runs of a pattern on a data set."""
    for run in runs:
        with suppress(DamagedError):
            for folder in find_evaluations(run):
                if tested in read_sets_of(folder).described:
                    yield _command(folder, pattern)


def _is_shown(word: str) -> bool:
    key, equals, value = word.lstrip("+~").partition("=")
    if not equals or Path(value).is_absolute() or key == "progress":
        return False
    if key in _ALWAYS_SHOWN:
        return True
    meaning = find_meaning(key.replace("/", "."))
    return meaning is None or (meaning.names and (meaning.decides or key.startswith("trainer.max_epochs")))
