"""What differs between data sets: the table below the matrix of training and test sets."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bus_lightning.report.sections import Item, TableItem

_UNKNOWN = "not known"


def set_differences(described: Mapping[str, Mapping[str, Any]]) -> list[Item]:
    """Tabulate data sets, a row per property.

    Args:
        described: Name of a set -> what sets.json says about it.

    Returns:
        The table, without properties that are not known of any set; nothing if no set is described.
    """
    known = {name: values for name, values in described.items() if "images" in values}
    if not known:
        return []
    rows = [
        {"": title} | {name: write(values) for name, values in known.items()} for title, write in _PROPERTIES.items()
    ]
    shown = [row for row in rows if any(row[name] != _UNKNOWN for name in known)]
    caption = "What differs between the data sets, of the images that the runs use; medians over images."
    if older := [name for name in described if name not in known]:
        names, those = ", ".join(older), "its" if len(older) == 1 else "their"
        caption += (
            f" Without {names}: {those} runs are of an earlier version, and `evaluate.py runs=...` describes them."
        )
    return [TableItem("across_sets", caption, pd.DataFrame(shown))]


def _write_classes(values: Mapping[str, Any]) -> str:
    total = sum(values["classes"].values())
    parts = [f"{name} {number} ({number / total:.0%})" for name, number in values["classes"].items() if total]
    return ", ".join(parts) or _UNKNOWN


def _write_patients(values: Mapping[str, Any]) -> str:
    if values.get("patients") is None:
        return _UNKNOWN
    without = values.get("images_without_patient") or 0
    return f"{values['patients']}" + f" ({without} images without one)" * bool(without)


def _write_devices(values: Mapping[str, Any]) -> str:
    devices = values.get("devices") or {}
    shown = [f"{name} ({number})" for name, number in list(devices.items())[:4]]
    return ", ".join(shown + [f"{len(devices) - 4} more"] * (len(devices) > 4)) or _UNKNOWN


def _write_size(values: Mapping[str, Any]) -> str:
    width, height = values.get("median_width"), values.get("median_height")
    return _UNKNOWN if width is None or height is None else f"{width:.0f} x {height:.0f} pixels"


def _share(key: str) -> Any:
    return lambda values: _UNKNOWN if values.get(key) is None else f"{values[key]:.1%}"


_PROPERTIES: dict[str, Any] = {
    "images": lambda values: f"{values['images']}",
    "patients": _write_patients,
    "classes": lambda values: _write_classes({"classes": values.get("classes") or {}}),
    "device": _write_devices,
    "size of an image": _write_size,
    "lesion, share of the image": _share("median_lesion_share"),
    "lesion, diameter": lambda values: _UNKNOWN if values.get("median_lesion_mm") is None
    else f"{values['median_lesion_mm']:.1f} mm",
    "tinted images": _share("share_tinted"),
    "images with text or calipers burned in": _share("share_marked"),
    "groups of near-duplicates": lambda values: _UNKNOWN if values.get("near_duplicate_groups") is None
    else f"{values['near_duplicate_groups']}",
}  # fmt: skip
