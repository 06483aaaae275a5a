"""Table 1: the characteristics of the images of each part."""

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd

from bus_lightning.data.described import UNKNOWN
from bus_lightning.report.studied_images import MARKS, Studied, count_patients

NOT_RECORDED, NOT_KNOWN = "not recorded", "not known"
_Write = Callable[[pd.DataFrame], str]


def characteristics(studied: Studied) -> pd.DataFrame:
    """Tabulate the images of each part, a row per characteristic.

    Args:
        studied: The images and their splits.

    Returns:
        The first column names the characteristic; each other column is a part. The last row names what the runs have
        not recorded.
    """
    parts = {title: studied.images.loc[ids] for title, ids in studied.parts.items()}
    every = studied.images
    rows: list[tuple[str, _Write]] = [
        ("images", lambda images: f"{len(images):,}"),
        ("patients", _write_patients),
        ("groups (patients, near-duplicates)", lambda images: f"{images['group'].nunique():,}"),
        ("near-duplicate groups of two and more", _write_duplicates),
        *_counts_of(every, "dataset", "data set", least=2),
        *(_counts_of(every, "class", "class") or [("class", lambda images: NOT_RECORDED)]),
        ("lesion, % of the image", partial(_write_quartiles, "lesion_share", scale=100, digits=1)),
        ("lesion, diameter in mm", partial(_write_quartiles, "lesion_mm", scale=1, digits=1)),
        ("width, pixels", partial(_write_quartiles, "width", scale=1, digits=0)),
        ("height, pixels", partial(_write_quartiles, "height", scale=1, digits=0)),
        (MARKS, partial(_write_share, "marked")),
        ("tinted", partial(_write_share, "tinted")),
        *(_counts_of(every, "device", "device") or [("device", lambda images: NOT_KNOWN)]),
        *(_counts_of(every, "birads", "BI-RADS") or [("BI-RADS", lambda images: NOT_KNOWN)]),
    ]
    written = {name: {title: write(images) for title, images in parts.items()} for name, write in rows}
    unrecorded = [name for name, cells in written.items() if set(cells.values()) == {NOT_RECORDED}]
    known = [{"": name} | cells for name, cells in written.items() if name not in unrecorded]
    last = [{"": "; ".join(unrecorded)} | dict.fromkeys(parts, NOT_RECORDED)] if unrecorded else []
    return pd.DataFrame([*known, *last])


def _write_patients(images: pd.DataFrame) -> str:
    if "patient" not in images:
        return NOT_RECORDED
    known = images[images["patient"].notna()]
    if known.empty:
        return NOT_KNOWN
    without = len(images) - len(known)
    return f"{count_patients(known):,}" + (f" ({without:,} images without one)" if without else "")


def _write_duplicates(images: pd.DataFrame) -> str:
    if "duplicates" not in images:
        return NOT_RECORDED
    sizes = images["duplicates"].value_counts()
    return f"{int((sizes > 1).sum()):,} ({int(sizes[sizes > 1].sum()):,} images)"


def _counts_of(images: pd.DataFrame, column: str, title: str, least: int = 1) -> Sequence[tuple[str, _Write]]:
    """Make a row per value of a column; none if fewer than `least` values are known."""
    if column not in images:
        return [(title, lambda part: NOT_RECORDED)] if least == 1 else []
    known = images[column].dropna()
    values = sorted(set(known) - {UNKNOWN}, key=str)
    if len(values) < least:
        return []
    unknown = [UNKNOWN] * bool((known == UNKNOWN).any())
    return [(f"{title}: {'not known' if value == UNKNOWN else value}", partial(_write_count, column, value))
            for value in [*values, *unknown]]  # fmt: skip


def _write_count(column: str, value: str, images: pd.DataFrame) -> str:
    if images[column].isna().all():
        return NOT_RECORDED
    number = int((images[column] == value).sum())
    return f"{number:,} ({number / len(images):.0%})"


def _write_share(column: str, images: pd.DataFrame) -> str:
    if column not in images:
        return NOT_RECORDED
    known = images[column].dropna()
    return f"{int(known.sum()):,} ({known.mean():.0%})" if len(known) else NOT_KNOWN


def _write_quartiles(column: str, images: pd.DataFrame, scale: float, digits: int) -> str:
    """Write the median and the quartiles, of lesions over the images with one; and how many images they are of."""
    if column not in images:
        return NOT_RECORDED
    known = images.loc[images[column] > 0, column] * scale
    if known.empty:
        return NOT_KNOWN
    low, median, high = (f"{known.quantile(share):.{digits}f}" for share in (0.25, 0.5, 0.75))
    return f"{median} ({low} to {high})" + (f"; n = {len(known):,}" if len(known) < len(images) else "")
