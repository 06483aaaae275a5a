"""What differs between the runs of groups and the protocol of their study."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf.errors import OmegaConfBaseException

from bus_lightning.config.run_names import SET_ASIDE
from bus_lightning.config.stored import load_config
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.data.splits import load_split
from bus_lightning.runs.cases import read_cases
from bus_lightning.runs.evaluation_folders import list_evaluations
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.protocol import Planned, Protocol, read_kept_protocol, shorten
from bus_lightning.statistics.conditions import list_folders
from bus_lightning.statistics.membership import name_code

Run = tuple[int, int | None]
"""Seed and fold of a run; the fold is None without folds."""


@dataclass(frozen=True)
class Deviation:
    """Something that is not as planned.

    Attributes:
        about: The name of a condition of the protocol, of a group or of a run.
        text: What differs.
    """

    about: str
    text: str


@dataclass
class Progress:
    """The runs of a condition of the protocol.

    Attributes:
        planned: The condition.
        complete: The complete runs of each planned seed and fold.
        unfinished: Planned runs that were begun and are not complete -> their state.
        is_reported: Whether its group is among those that are reported.
    """

    planned: Planned
    complete: dict[Run, list[RunDir]] = field(default_factory=dict)
    unfinished: dict[Run, str] = field(default_factory=dict)
    is_reported: bool = False

    @property
    def missing(self) -> list[Run]:
        """The planned runs that are not complete."""
        return [run for run in self.planned.runs if run not in self.complete]


@dataclass
class AsPlanned:
    """A protocol compared with the runs of groups.

    Attributes:
        protocol: The protocol.
        versions: Hash of the text under which runs were trained, None for runs without one -> those runs.
        progress: The runs of each of its conditions.
        deviations: What differs.
    """

    protocol: Protocol
    versions: dict[str | None, list[RunDir]]
    progress: list[Progress]
    deviations: list[Deviation]


def compare_with_protocol(folders: Sequence[Path], protocol: Protocol | None = None) -> AsPlanned | None:
    """Compare the runs of groups with a protocol.

    Args:
        folders: The groups, `runs/<group>`.
        protocol: The protocol; None takes the one under which most of the runs were trained.

    Returns:
        None if no protocol is given and no run was trained under one.
    """
    runs = {folder: list(filter(_is_trained, map(RunDir, list_folders(folder)))) for folder in folders}
    deviations: list[Deviation] = []
    versions: dict[str | None, list[RunDir]] = {}
    texts: dict[str, Protocol] = {}
    for run in (run for members in runs.values() for run in members):
        try:
            kept = read_kept_protocol(run)
        except DamagedError as error:
            deviations.append(Deviation(run.path.name, str(error)))
            continue
        versions.setdefault(kept.hash if kept else None, []).append(run)
        if kept:
            texts[kept.hash] = kept
    if protocol is None:
        if not texts:
            return None
        protocol = max(texts.values(), key=lambda text: (len(versions[text.hash]), _last_start(versions[text.hash])))
    progress = {planned.name: Progress(planned) for planned in protocol.conditions}
    for folder, members in runs.items():
        for state in progress.values():
            state.is_reported |= state.planned.group == folder.name
        for run in members:
            deviations += _place(run, folder.name, protocol, progress)
    reported = [state for state in progress.values() if state.is_reported]
    groups = {state.planned.group for state in reported}
    for ensemble in (run for folder in folders if folder.name in groups for run in map(RunDir, list_folders(folder))):
        if ensemble.is_ensemble and ensemble.is_complete:
            deviations += _more_openings(ensemble, protocol)
    differences = [
        *_other_texts(protocol, versions, groups),
        *(deviation for state in reported for deviation in _gaps(state)),
        *deviations,
    ]
    return AsPlanned(protocol, versions, list(progress.values()), differences)


def name_runs(runs: Sequence[Run], planned: Planned) -> str:
    """Name runs by seed and fold: `seed 0: folds 1, 3; seed 2: all folds`."""
    if planned.folds is None:
        return f"seed{'s' * (len(runs) > 1)} {', '.join(str(seed) for seed, _ in runs)}"
    by_seed: dict[int, list[int]] = {}
    for seed, fold in runs:
        by_seed.setdefault(seed, []).append(fold or 0)
    texts = {
        seed: "all folds" if len(folds) == planned.folds
        else f"fold{'s' * (len(folds) > 1)} {', '.join(map(str, sorted(folds)))}"
        for seed, folds in sorted(by_seed.items())
    }  # fmt: skip
    return "; ".join(f"seed {seed}: {text}" for seed, text in texts.items())


def _is_trained(folder: RunDir) -> bool:
    """Whether a folder is that of a training, not of an ensemble of others."""
    return folder.config.is_file() and not folder.is_ensemble


def _last_start(runs: Sequence[RunDir]) -> str:
    return max(str(run.status.get("started") or "") for run in runs)


def _place(run: RunDir, group: str, protocol: Protocol, progress: dict[str, Progress]) -> Iterator[Deviation]:
    """Add a run to its planned condition, and say what is not as planned."""
    try:
        config = load_config(run.config)
        status = run.status
        planned = protocol.find(group, config)
        differences = planned.differences(config) if planned else []
    except (UserError, OmegaConfBaseException) as error:
        yield Deviation(run.path.name, f"not compared: {error}")
        return
    if planned is None:
        if status.get("protocol"):
            yield Deviation(run.path.name, f"no condition of the protocol has its group, {group}")
        return
    state, key = progress[planned.name], (config.seed, config.data.split.get("fold"))
    if differences:
        yield Deviation(run.path.name, f"other options: {'; '.join(differences)}")
    elif key not in planned.runs:
        yield Deviation(run.path.name, f"{name_runs([key], planned)}: not planned")
    elif run.is_complete:
        state.complete.setdefault(key, []).append(run)
    else:
        state.unfinished[key] = str(status.get("state", "no state"))
    if run.is_complete:
        yield from _other_selection(run, protocol)
        yield from _more_openings(run, protocol)
    if later := status.get("later_protocols"):
        yield Deviation(run.path.name, f"continued under another text: {', '.join(map(shorten, later))}")


def _gaps(state: Progress) -> Iterator[Deviation]:
    """Name the planned runs that are missing, and those that were trained more than once."""
    planned = state.planned
    begun = [run for run in state.missing if run in state.unfinished]
    for word in dict.fromkeys(state.unfinished[run] for run in begun):
        own = [run for run in begun if state.unfinished[run] == word]
        yield Deviation(planned.name, f"not complete ({word}): {name_runs(own, planned)}")
    if none := [run for run in state.missing if run not in state.unfinished]:
        yield Deviation(planned.name, f"not begun: {name_runs(none, planned)}")
    for run, folders in state.complete.items():
        if len(folders) > 1:
            names = ", ".join(folder.path.name for folder in folders)
            yield Deviation(planned.name, f"{name_runs([run], planned)} was trained {len(folders)} times: {names}")


def _other_texts(protocol: Protocol, versions: dict[str | None, list[RunDir]], groups: set[str]) -> Iterator[Deviation]:
    """Count the runs that were trained under another text; runs without one only in the planned groups."""
    for digest, runs in versions.items():
        own = [run for run in runs if digest or run.path.parent.name in groups]
        if digest != protocol.hash and own:
            codes = ", ".join(sorted({name_code(run) for run in own}))
            names = f"{own[0].path.name}{f' and {len(own) - 1} more' if own[1:] else ''}"
            text = f"trained under another text, {shorten(digest)}" if digest else "trained without a protocol"
            yield Deviation(names, f"{text} (commit {codes})")


def _other_selection(run: RunDir, protocol: Protocol) -> Iterator[Deviation]:
    kept_by = run.status.get("kept_by")
    is_planned = kept_by is None or kept_by == protocol.selection or kept_by.startswith(f"{protocol.selection}/")
    if not is_planned:
        yield Deviation(run.path.name, f"kept epoch: {kept_by}, planned: {protocol.selection}")


def _more_openings(run: RunDir, protocol: Protocol) -> Iterator[Deviation]:
    """Count how often test images were evaluated: by a training or an ensemble, by evaluations, and in older folders.

    The images are those of the run, or of the ensemble; a network that an ensemble averages is counted as a run.
    """
    try:
        evaluations = _count_evaluations(run)
    except UserError as error:
        yield Deviation(run.path.name, f"its evaluations were not counted: {error}")
        return
    older = sum(RunDir(folder).is_complete for folder in run.path.parent.glob(f"{run.path.name}{SET_ASIDE}*"))
    if (total := 1 + evaluations + older) > protocol.test_openings:
        first = "when its networks were averaged" if run.is_ensemble else "by its training"
        parts = {first: 1, "by evaluate.py": evaluations, "in an older folder of this run": older}
        how = ", ".join(f"{number} {where}" for where, number in parts.items() if number)
        text = f"its test images were evaluated {total} times ({how}), planned {protocol.test_openings}"
        yield Deviation(run.path.name, text)


def _count_evaluations(run: RunDir) -> int:
    """Count the evaluations of a run, or of an ensemble, on its own test images."""
    tested, total = set(load_split(run.split).test), 0
    for folder in list_evaluations(run):
        if folder.is_complete:
            cases = read_cases(folder.cases)
            if tested & set(cases.loc[cases["split"] == "test", "id"]):
                total += folder.status.get("times") or 1
    return total
