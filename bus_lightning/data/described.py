"""Describe a data set in a few numbers, so that two sets can be compared, and each of its images in a row."""

import math
from typing import Any

import pandas as pd

from bus_lightning.data.findings import Audit
from bus_lightning.data.measures import tabulate_measures

UNKNOWN = "unknown"  # a device or a category that is not stated


def describe_set(frame: pd.DataFrame, audit: Audit) -> dict[str, Any]:
    """Describe the images of an index, or of a part of it.

    Args:
        frame: The images, with the columns of an index. `source`, if there, is the id of a copied image.
        audit: The findings about their folder.

    Returns:
        Plain values. Of a set without images, and of what is not known, a number is None:

        * `images`, `patients`, `images_without_patient`;
        * `classes`: class -> its number of images; `devices`: device -> its number of images;
        * `median_width` and `median_height` in pixels;
        * `lesions`: number of images with a lesion in their masks, `median_lesion_share` of the image in [0, 1], and
          `median_lesion_mm`, the diameter of a circle with the area of the lesion, if the size of a pixel is known;
        * `share_tinted` and `share_marked` (text, calipers or frames burned in), in [0, 1];
        * `near_duplicate_groups`: groups of two images and more.
    """
    ids = frame.get("source", frame["id"])
    measures = tabulate_measures(audit.groups, audit.measures).loc[ids]
    has_lesion = (measures["lesion"] > 0).fillna(False)
    sizes = pd.Series(_diameters(measures["lesion"], frame), dtype="Float64")
    patients = frame["patient"] if "patient" in frame else pd.Series("", index=frame.index)
    known = patients[patients != ""]
    groups = ids.map(audit.groups).value_counts()
    return {
        "images": len(frame),
        "patients": _patients(known, frame) if len(known) else None,
        "images_without_patient": len(frame) - len(known),
        "classes": {str(name): int(number) for name, number in frame["class"].value_counts().sort_index().items()},
        "devices": _count_devices(frame),
        "median_width": _median(measures["width"]),
        "median_height": _median(measures["height"]),
        "lesions": int(has_lesion.sum()),
        "median_lesion_share": _median(measures.loc[has_lesion, "share"]),
        "median_lesion_mm": _median(sizes),
        "share_tinted": _share(measures["tinted"]),
        "share_marked": _share(measures["marked"]),
        "near_duplicate_groups": int((groups > 1).sum()),
    }


def tabulate_images(frame: pd.DataFrame, audit: Audit) -> pd.DataFrame:
    """Describe each image of an index.

    Args:
        frame: The images, as for `describe_set`, with the column `duplicates`.
        audit: The findings about their folder.

    Returns:
        A row per image, missing where it is not known: `id`, `dataset`, `class`; `patient`, a number from 1, which is
        not that of the data set; `duplicates`, the group of near-duplicates; `width` and `height` in pixels;
        `lesion_share` of the image in [0, 1], 0 without a lesion; `lesion_mm`, the diameter of a circle with the area
        of the lesion; `marked` (text, calipers or frames burned in) and `tinted`, 0 or 1; `device`; `birads`.
    """
    measures = tabulate_measures(audit.groups, audit.measures).loc[frame.get("source", frame["id"])]
    patients = frame["patient"] if "patient" in frame else pd.Series("", index=frame.index)
    numbers = pd.factorize(pd.Series(list(zip(frame["dataset"], patients, strict=True))))[0] + 1
    return pd.DataFrame(
        {
            "id": frame["id"].to_numpy(),
            "dataset": frame["dataset"].to_numpy(),
            "class": frame["class"].to_numpy(),
            "patient": pd.array([None if p == "" else n for p, n in zip(patients, numbers, strict=True)], "Int64"),
            "duplicates": frame["duplicates"].to_numpy(),
            "width": measures["width"].to_numpy(),
            "height": measures["height"].to_numpy(),
            "lesion_share": measures["share"].to_numpy("float64", na_value=float("nan")),
            "lesion_mm": [float("nan") if size is None else size for size in _diameters(measures["lesion"], frame)],
            "marked": measures["marked"].astype("Int64").to_numpy(),
            "tinted": measures["tinted"].astype("Int64").to_numpy(),
            **{name: _texts(frame, name) for name in ("device", "birads")},
        }
    )


def _texts(frame: pd.DataFrame, column: str) -> list[str]:
    """Return the texts of a column that not every data set has, `UNKNOWN` where there is none."""
    if column not in frame:
        return [UNKNOWN] * len(frame)
    return [UNKNOWN if pd.isna(value) or str(value).strip() == "" else str(value) for value in frame[column]]


def lesion_diameters(frame: pd.DataFrame, audit: Audit) -> list[float]:
    """Return the diameter in mm of a circle with the area of each lesion, where the size of a pixel is known."""
    measures = tabulate_measures(audit.groups, audit.measures).loc[frame.get("source", frame["id"])]
    return [size for size in _diameters(measures["lesion"], frame) if size is not None]


def _diameters(lesions: "pd.Series[int]", frame: pd.DataFrame) -> list[float | None]:
    sizes = frame["mm_per_pixel"] if "mm_per_pixel" in frame else [None] * len(frame)
    return [
        2 * math.sqrt(int(pixels) * size[0] * size[1] / math.pi)
        if isinstance(size, tuple | list) and not pd.isna(pixels) and pixels
        else None
        for pixels, size in zip(lesions, sizes, strict=True)
    ]


def _patients(known: "pd.Series[str]", frame: pd.DataFrame) -> int:
    """Count patients; a number is a name within a data set."""
    datasets = frame.get("dataset", pd.Series("", index=frame.index))
    return len(set(zip(datasets[known.index], known, strict=True)))


def _count_devices(frame: pd.DataFrame) -> dict[str, int]:
    devices = frame["device"] if "device" in frame else pd.Series([], dtype=str)
    counts = devices[devices.notna() & (devices != "")].value_counts()
    return {str(name): int(number) for name, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))}


def _median(values: "pd.Series[Any]") -> float | None:
    value = values.dropna().median() if values.notna().any() else None
    return None if value is None else float(value)


def _share(values: "pd.Series[Any]") -> float | None:
    return float(values.dropna().mean()) if values.notna().any() else None
