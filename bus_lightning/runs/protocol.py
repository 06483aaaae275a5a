"""The protocol of a study: a text that is written before its runs, with a block that programs read.

The text is Markdown. Its block begins with a line ```` ```yaml protocol ```` and is described in docs/protocol.md. A
run with the option `protocol=FILE` keeps a copy of the text in its folder, and its hash in status.json, so that a
report can say what was planned, and what differs from it.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bus_lightning.config.fields import check_fields
from bus_lightning.config.identity import find_meaning
from bus_lightning.config.kinds import NAMES, TEXT, Kind, list_of, nullable, one_of, shown, whole
from bus_lightning.config.schema import TRAIN, check_value
from bus_lightning.config.split_options import METHODS
from bus_lightning.core.errors import RESTORE, DamagedError, UserError
from bus_lightning.core.reading import MB, parse_yaml, read_bytes
from bus_lightning.metrics.catalogue import BY_TASK, TITLES
from bus_lightning.runs.folder import RunDir

_BLOCK = re.compile(r"^```yaml protocol[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_SHORT = 12  # digits of a hash in tables
_PLANNED_APART = ("seed", "data.split.method", "data.split.seed", "data.split.folds", "data.split.fold")
SELECTIONS = ("val", "last epoch")

_NAME = Kind("a text", lambda value: isinstance(value, str) and bool(value))
_WHOLE = whole(0)


def _mapping(described: str, of: Kind | None = None, keys: tuple[str, ...] = ()) -> Kind:
    """Accept mappings that are not empty, with values of a kind and, if any are given, with these keys only."""
    return Kind(described, lambda value: isinstance(value, dict) and bool(value) and all(
        (of is None or of.fits(inner)) and (not keys or key in keys) for key, inner in value.items()
    ))  # fmt: skip


_METRICS = Kind("a metric of each task, such as {classification: auroc_macro}", lambda value: (
    isinstance(value, dict) and bool(value) and all(
        task in BY_TASK and TEXT.fits(metric) and metric in TITLES for task, metric in value.items()
    )
))  # fmt: skip
_SPLIT = {
    "method": one_of(*METHODS),
    "folds": nullable(whole(2)),
    "seed": _WHOLE,
}
_SEEDS = Kind("a list of different whole numbers, such as '[0,1,2]'", lambda value: (
    list_of(_WHOLE, "").fits(value) and len(set(value)) == len(value)
))  # fmt: skip
_FIELDS: dict[str, Kind] = {
    "primary_metric": _METRICS,
    "data": NAMES,
    "split": _mapping("a mapping of method, folds and seed", keys=tuple(_SPLIT)),
    "seeds": _SEEDS,
    "selection": one_of(*SELECTIONS),
    "test_openings": whole(1),
    "conditions": _mapping("a mapping: name of a condition -> options", _mapping("")),
}
_CONDITION: dict[str, Kind] = {
    "group": _NAME,
    "data": NAMES,
    "seeds": _SEEDS,
    "split": _FIELDS["split"],
    "options": Kind(
        "a mapping: option of the config -> value", lambda value: isinstance(value, dict) and all(map(TEXT.fits, value))
    ),
}


@dataclass(frozen=True)
class Planned:
    """A condition of a protocol.

    Attributes:
        name: Its name.
        group: The folder of its runs, `runs/<group>`.
        options: Option of a run's config, with dots -> value.
        data: Names of the data sets, as the option `data` has them, sorted; empty if they are not planned.
        seeds: The seeds.
        method, folds, split_seed: `data.split.method`, `data.split.folds` (None for one split) and `data.split.seed`.
    """

    name: str
    group: str
    options: Mapping[str, Any]
    data: tuple[str, ...]
    seeds: tuple[int, ...]
    method: str
    folds: int | None
    split_seed: int

    @property
    def runs(self) -> list[tuple[int, int | None]]:
        """The seed and the fold of every run; the fold is None without folds."""
        folds = [None] if self.folds is None else list(range(self.folds))
        return [(seed, fold) for seed in self.seeds for fold in folds]

    def differences(self, config: DictConfig) -> list[str]:
        """List what differs between a run's config and the plan, seed and fold apart: `data.size=96, planned 224`."""
        split = {"method": self.method, "folds": self.folds, "seed": self.split_seed}
        planned: dict[str, Any] = dict(self.options) | {f"data.split.{key}": value for key, value in split.items()}
        present = {key: _value_of(config, key) for key in planned}
        if self.data:
            planned, present = planned | {"data": list(self.data)}, present | {"data": sorted(config.data.sets or ())}
        return [
            f"{key}={shown(present[key])}, planned {shown(value)}"
            for key, value in planned.items()
            if present[key] != value
        ]


@dataclass(frozen=True)
class Protocol:
    """What was planned.

    Attributes:
        content: The bytes of the file.
        primary_metric: Task, classification or segmentation -> key of the metric that answers the question.
        selection: What chooses the kept epoch: `val`, a score on validation images, or `last epoch`.
        test_openings: How often the test images of a run are evaluated, the evaluation that ends its training included.
        conditions: What is trained.
    """

    content: bytes
    primary_metric: Mapping[str, str]
    selection: str
    test_openings: int
    conditions: tuple[Planned, ...]

    @property
    def hash(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.content).hexdigest()

    def find(self, group: str, config: DictConfig) -> Planned | None:
        """Find the planned condition of a run: in its group, first by the model, then with the fewest differences."""

        def distance(planned: Planned) -> tuple[bool, int]:
            is_of_another_model = planned.options.get("model.name", config.model.name) != config.model.name
            return is_of_another_model, len(planned.differences(config))

        return min((planned for planned in self.conditions if planned.group == group), key=distance, default=None)


def shorten(digest: str | None) -> str:
    """Shorten a hash for a table; "none" without one."""
    return digest[:_SHORT] if digest else "none"


def read_protocol(path: Path, cure: str | None = None) -> Protocol:
    """Read a protocol.

    Args:
        path: The file.
        cure: What to do if the file is damaged, for a copy in a run's folder; None for the user's own file.

    Raises:
        UserError: If there is no such file, or its block says something impossible: one line that names the file.
    """
    try:
        content = read_bytes(path, MB, cure or "Correct it")
    except FileNotFoundError:
        raise UserError(f"protocol={path}: there is no such file; give another one, or leave the option out.") from None
    try:
        return _parsed(content, path)
    except DamagedError:
        raise
    except UserError as error:
        if cure:
            raise DamagedError(path, str(error), cure) from None
        raise UserError(f"{path}: {error}") from None


def read_kept_protocol(folder: RunDir) -> Protocol | None:
    """Read the copy that a run keeps; None if it was trained without a protocol.

    Raises:
        DamagedError: If the copy is missing, damaged, or not the text that status.json has the hash of.
    """
    digest = folder.status.get("protocol")
    if digest is None:
        return None
    if not folder.protocol.is_file():
        raise DamagedError(folder.protocol, "it is missing")
    protocol = read_protocol(folder.protocol, RESTORE)
    if protocol.hash != digest:
        raise DamagedError(folder.protocol, "it is not the text under which the run was trained: its hash differs")
    return protocol


def keep_protocol(folder: RunDir, protocol: Protocol | None, continues: bool) -> dict[str, Any]:
    """Keep the text under which a run begins; a run that continues keeps the first one.

    Args:
        folder: The run's folder.
        protocol: The present protocol; None without one.
        continues: Whether the run goes on from a checkpoint.

    Returns:
        Keys of status.json: `protocol`, the hash of the first text, and `later_protocols`, those of other texts under
        which the run was continued.
    """
    digest = protocol.hash if protocol else None
    if continues:
        first, later = folder.status.get("protocol"), folder.status.get("later_protocols") or []
        if digest and digest not in (first, *later):
            later = [*later, digest]
        return {"protocol": first, "later_protocols": later or None}
    folder.protocol.unlink(missing_ok=True)
    if protocol:
        folder.protocol.write_bytes(protocol.content)
    return {"protocol": digest, "later_protocols": None}


def list_deviations(protocol: Protocol, config: DictConfig) -> list[str]:
    """List what is not as planned in a run's config, before it is trained."""
    group = str(config.group)
    if (planned := protocol.find(group, config)) is None:
        return [f"no condition has the group {group}"]
    run = (config.seed, config.data.split.get("fold"))
    unplanned = [] if run in planned.runs else [f"seed={shown(run[0])} with fold {shown(run[1])} is not planned"]
    return [*planned.differences(config), *unplanned]


def _value_of(config: DictConfig, key: str) -> Any:
    value = OmegaConf.select(config, key)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _parsed(content: bytes, path: Path) -> Protocol:
    blocks = _BLOCK.findall(content.decode("utf-8", "replace").replace("\r\n", "\n"))
    if len(blocks) != 1:
        raise UserError(f"it has {len(blocks)} blocks that begin with ```yaml protocol: give one.")
    fields = parse_yaml(blocks[0], path, "Correct the block")
    check_fields(fields, _FIELDS, [key for key in _FIELDS if key != "data"])
    split = {"method": "grouped", "folds": None, "seed": 0} | fields["split"]
    for key, value in fields["split"].items():
        check_value(f"split.{key}", value, _SPLIT[key])
    conditions = tuple(
        _planned(str(name), values, fields["seeds"], split, fields.get("data", []))
        for name, values in fields["conditions"].items()
    )
    return Protocol(content, fields["primary_metric"], fields["selection"], fields["test_openings"], conditions)


def _planned(name: str, values: dict[str, Any], seeds: list[int], split: dict[str, Any], data: list[str]) -> Planned:
    place = f"conditions.{name}"
    check_fields(values, _CONDITION, ["options"], f"{place}.")
    for key, value in (values.get("split") or {}).items():
        check_value(f"{place}.split.{key}", value, _SPLIT[key])
    own = split | (values.get("split") or {})
    for key, value in values["options"].items():
        if key in _PLANNED_APART:
            raise UserError(f"{place}.options.{key}: give it as seeds or split, outside of the options.")
        if find_meaning(key) is None:
            raise UserError(f"{place}.options.{key}: the config has no such option; write it as on the command line.")
        if key in TRAIN:
            check_value(f"{place}.options.{key}", value, TRAIN[key])
    return Planned(
        name, values.get("group", name), values["options"], tuple(sorted(values.get("data", data))),
        tuple(values.get("seeds", seeds)), own["method"], own["folds"], own["seed"],
    )  # fmt: skip
