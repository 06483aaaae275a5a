"""Read the JSON files of a run, and refuse what they cannot hold: the folder may come from elsewhere."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_lightning.config.kinds import FLAG, Kind, either, list_of, nullable, number, one_of, whole
from bus_lightning.core.errors import RESTORE, DamagedError
from bus_lightning.core.reading import LARGEST_WHOLE, read_json

_TEXT = Kind("a text", lambda value: isinstance(value, str))
_NUMBER = number(-1e300, 1e300)
_COUNT = whole(0, LARGEST_WHOLE)
_WHOLE_OR_FLAG = either(FLAG, whole(-LARGEST_WHOLE, LARGEST_WHOLE))


def _mapping(of: Mapping[str, Kind], others: Kind | None = None) -> Kind:
    """Accept mappings whose values are of a kind; a key that is not listed may have any value if `others` is None."""
    return Kind("a mapping", lambda value: isinstance(value, dict) and all(
        kind.fits(value[key]) for key in value if (kind := of.get(key, others))
    ))  # fmt: skip


def _complete(of: Mapping[str, Kind], description: str) -> Kind:
    """Accept mappings that have all keys, with values of their kinds, and perhaps other keys."""
    return Kind(description, lambda value: isinstance(value, dict) and all(
        kind.fits(value.get(key)) for key, kind in of.items()
    ))  # fmt: skip


_VERSIONS = _mapping({}, others=nullable(_TEXT))
_CODE = {
    "commit": nullable(_TEXT),
    "dirty": nullable(FLAG),
    "changes": nullable(_TEXT),
    "versions": nullable(_VERSIONS),
}
# Key of status.json -> what it holds. Null stands for what is not known.
STATUS: dict[str, Kind] = {
    **dict.fromkeys(("state", "started", "ended", "command", "error", "kind", "launch", "model", "data", "split",
                     "masks", "weights", "precision", "device", "kept_by", "protocol"), _TEXT),
    **dict.fromkeys(("channels_last", "on_device"), FLAG),
    **dict.fromkeys(("epochs", "kept_epoch", "parameters", "times"), _COUNT),
    **dict.fromkeys(("seconds", "score", "latency_ms", "images_per_second", "probe_auc", "probe_auc_without_overlay",
                     "data_fraction"), _NUMBER),
    "later_protocols": list_of(_TEXT, "a list of hashes"),
    "scale": _mapping({"bits": whole(1, 64), "white": whole(1, 255)}, others=Kind("", lambda value: False)),
    "predict": _mapping({"flips": FLAG, "no_lesion": one_of(False)}),  # of an evaluation, where it is not the run's
    "lesion_rule": _mapping({"least_score": number(0, 1), "lesions": _COUNT, "normals": _COUNT}),
    **_CODE,
    **dict.fromkeys(("later", "trained"), list_of(_mapping({"started": _TEXT, **_CODE}), "a list of what ran")),
}  # fmt: skip
_SCORES = _mapping({"undefined": _mapping({}, others=_TEXT)}, others=nullable(_NUMBER))

_COUNTS = _mapping({}, others=_COUNT)
_SHARE = nullable(number(0, 1))
# What sets.json holds about a data set, and about its images in a part of the split.
_SET = _mapping({
    "data": _TEXT, "images": _COUNT, "patients": nullable(_COUNT), "images_without_patient": _COUNT, "lesions": _COUNT,
    "classes": _COUNTS, "devices": _COUNTS, "near_duplicate_groups": _COUNT,
    **dict.fromkeys(("median_width", "median_height", "median_lesion_mm"), nullable(number(0, 1e9))),
    **dict.fromkeys(("median_lesion_share", "share_tinted", "share_marked"), _SHARE),
})  # fmt: skip
# From the files of a data set to its images, as `data.flow.count_flow` counts them.
_FLOW = _mapping({
    "left_out": _COUNTS,
    **dict.fromkeys(("files", "not_read", "masks", "masks_without_image", "rows_without_file", "images", "copied",
                     "used"), _COUNT),
})  # fmt: skip
_IN_PART = _mapping({"images": _COUNT, "groups": _COUNT, "patients": nullable(_COUNT)})
_MOST_SETS = 100  # in sets.json: a report draws a cell for each


def _by_set(of: Kind) -> Kind:
    """Accept a value of a kind for each of at most 100 data sets."""
    by_name = _mapping({}, others=of)
    return Kind(f"a mapping of at most {_MOST_SETS} data sets", lambda value: (
        by_name.fits(value) and len(value) <= _MOST_SETS
    ))  # fmt: skip


SETS: dict[str, Kind] = {
    "sets": _by_set(_SET),
    "parts": _mapping({}, others=_by_set(_IN_PART)),
    "seen": _COUNT,
    "flow": _by_set(_FLOW),
}

_LAYER = _complete({
    **dict.fromkeys(("name", "kind"), _TEXT), "parameters": _COUNT, "shape": list_of(_COUNT, "", range(9)),
    "blocks": Kind("", lambda value: isinstance(value, list) and (not value or (
        len(value) == 2 and _COUNT.fits(value[0]) and _TEXT.fits(value[1])
    ))),
    "groups": list_of(_COUNT, "", (0, 2)),
    "options": _mapping({}, others=_WHOLE_OR_FLAG),
}, "a layer with all its keys")  # fmt: skip
MOST_LAYERS = 1000
RECOUNT = "Remove it: a report then counts the network again"  # what to do with a damaged network.json
NETWORK: dict[str, Kind] = {
    **dict.fromkeys(("parameters", "weight_bytes", "macs"), _COUNT),
    "layers": list_of(_LAYER, f"a list of at most {MOST_LAYERS} layers with all their keys", range(MOST_LAYERS + 1)),
}

_MOST_MEMBERS = 1000  # of an ensemble
_MEMBER = _complete({
    **dict.fromkeys(("run", "model", "condition", "cases", "split"), _TEXT),
    "seed": nullable(whole(0, LARGEST_WHOLE)), "commit": nullable(_TEXT),
}, "a run with all its keys")  # fmt: skip
ENSEMBLE: dict[str, Kind] = {
    "name": _TEXT,
    "runs": list_of(_TEXT, "a list of patterns"),
    "members": Kind(f"a list of at most {_MOST_MEMBERS} runs", lambda value: (
        list_of(_MEMBER, "").fits(value) and len(value) <= _MOST_MEMBERS
    )),
}  # fmt: skip


def read_status(path: Path) -> dict[str, Any]:
    """Read status.json; empty without the file.

    Raises:
        DamagedError: If it cannot be read, or a value is not of its kind.
    """
    return _checked(path, STATUS)


def read_sets(path: Path) -> dict[str, Any]:
    """Read sets.json; empty without the file.

    Raises:
        DamagedError: If it cannot be read, or a value is not of its kind.
    """
    return _checked(path, SETS)


def read_network_file(path: Path) -> dict[str, Any]:
    """Read network.json; empty without the file.

    Raises:
        DamagedError: If it cannot be read, or a value is missing or not of its kind.
    """
    content = _checked(path, NETWORK, RECOUNT)
    return _with_all(path, content, NETWORK, RECOUNT) if content else {}


def read_ensemble_file(path: Path) -> dict[str, Any]:
    """Read ensemble.json.

    Raises:
        DamagedError: If it is missing or cannot be read, or a value is missing or not of its kind.
    """
    return _with_all(path, _checked(path, ENSEMBLE), ENSEMBLE)


def read_metrics(path: Path) -> dict[str, Any]:
    """Read metrics.json, part -> metric -> value; empty without the file.

    Raises:
        DamagedError: If it cannot be read, or a value is not of its kind.
    """
    content = _read_object(path)
    for part, scores in content.items():
        if not isinstance(scores, dict):
            raise DamagedError(path, f"{part} is {_shown(scores)} instead of scores")
        for name, value in scores.items():
            if not _SCORES.fits({name: value}):
                raise DamagedError(path, f"{part}, {name} is {_shown(value)}, which is not a number")
    return content


def _with_all(path: Path, content: dict[str, Any], kinds: Mapping[str, Kind], cure: str = RESTORE) -> dict[str, Any]:
    if missing := [key for key in kinds if content.get(key) is None]:
        raise DamagedError(path, f"it has no {missing[0]}", cure)
    return content


def _checked(path: Path, kinds: Mapping[str, Kind], cure: str = RESTORE) -> dict[str, Any]:
    content = _read_object(path, cure)
    for key, kind in kinds.items():
        if content.get(key) is not None and not kind.fits(content[key]):
            raise DamagedError(path, f"{key} is {_shown(content[key])}, not {kind.description}", cure)
    return content


def _read_object(path: Path, cure: str = RESTORE) -> dict[str, Any]:
    try:
        content: dict[str, Any] = read_json(path, cure=cure)
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except FileNotFoundError:
        return {}
    except ValueError as error:  # NaN, or half of a character
        raise DamagedError(path, f"it holds a value that cannot be written again ({error})", cure) from error
    return content


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
