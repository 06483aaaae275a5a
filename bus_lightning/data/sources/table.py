"""Read a table that names the images: CSV, XLSX or Parquet, with any columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_lightning.config.schema import COLUMN_ROLES
from bus_lightning.core.errors import UserError
from bus_lightning.data.listing import id_of
from bus_lightning.data.sources.card import Card
from bus_lightning.data.sources.class_map import class_of_words, dropped_words, fold, map_classes, refuse_alike
from bus_lightning.data.sources.places import Places
from bus_lightning.data.sources.source_index import NO_CLASS, SourceIndex, make_frame
from bus_lightning.data.sources.table_columns import (
    Columns,
    read_names,
    read_parts,
    read_sizes,
    refuse_divided,
)
from bus_lightning.data.sources.table_masks import MaskColumn, note_shared, refuse_shared
from bus_lightning.data.sources.tables import read_any_table

CARD = Card("A table", citation="", licence="", homepage="", seen="files")


def read(root: Path, options: Mapping[str, Any]) -> SourceIndex:
    """Read the index; an id is the path of the image below the root without `.png`.

    Rows about one image must agree in all but its masks, which are united. Nothing is decoded.

    Args:
        root: The folder that paths are relative to.
        options: `table` (the file), `sheet`, `columns` (role -> column; roles: `COLUMN_ROLES`; `mask` may also be
            a pattern such as `masks/{stem}_*.png`), `images` and `masks` (folders below the root that paths are
            relative to) and `map` (with `class` and `mask_counts`).

    Raises:
        UserError: If a column or value is wrong, in one line.
    """
    columns = _open_table(options)
    maps = options.get("map") or {}
    places, notes = Places(root), list[str]()
    classes = _classes(columns, maps.get("class"), dropped_words(options))
    names = {role: read_names(columns, role, notes) for role in ("patient", "group")}
    sizes, parts = read_sizes(columns), read_parts(columns)
    refuse_divided(columns, names, parts)
    masks = MaskColumn(columns, places, str(options.get("masks") or ""), maps.get("mask_counts"))
    rows: dict[str, dict[str, Any]] = {}
    missing: set[str] = set()
    for position, cell in enumerate(columns.values("image") or []):
        where = columns.where(position)
        if not cell:
            raise UserError(
                f"{where} has no path in column {columns.names['image']}: fill the cell, or remove the row."
            )
        named = places.path_below(cell, where, str(options.get("images") or ""))
        file = places.find(named)
        if file is None:
            missing.add(id_of(named))
            continue
        row = {"id": id_of(file), "image": file, "masks": masks.masks_of(position, file), "class": classes[position],
               "patient": names["patient"][position], "group": names["group"][position],
               "mm_per_pixel": sizes[position]}  # fmt: skip
        _add(rows, row | {name: values[position] for name, values in parts.items()}, where, masks.counts(position))
    if not rows:
        raise UserError(
            f"{columns.path}: none of its {len(missing)} images is in {root}, such as {min(missing)}: set "
            "data.root=FOLDER, or data.images=FOLDER below it."
        )
    refuse_shared(rows, masks, columns)
    notes += note_shared(rows)
    frame = make_frame(list(rows.values()), "table", str(columns.path))
    frame = frame.drop(columns=[name for name in ("group", "mm_per_pixel") if name not in columns.names])
    if "patient" in columns.names and (lone := int((frame["patient"] == "").sum())):
        notes.append(f"{lone} of {len(frame)} images have no patient: each counts as a separate patient.")
    return SourceIndex(frame, missing=sorted(missing), notes=notes)


def _open_table(options: Mapping[str, Any]) -> Columns:
    """Read the table, and check the roles."""
    names = {str(role): str(name) for role, name in (options.get("columns") or {}).items() if name is not None}
    if not options.get("table"):
        raise UserError("data=table needs data.table=FILE, a CSV, XLSX or Parquet that names the images.")
    if unknown := sorted(names.keys() - set(COLUMN_ROLES)):
        raise UserError(f"data.columns has no role '{unknown[0]}': choose from {', '.join(COLUMN_ROLES)}.")
    if "image" not in names:
        raise UserError("data=table needs data.columns.image, the column with the paths of the images.")
    path = Path(options["table"]).expanduser()
    sheet = options.get("sheet")
    columns = Columns(read_any_table(path, 0 if sheet is None else sheet), path, names)
    for role in names.keys() - {"mask"}:
        columns.values(role)  # all columns are known before anything else is looked at
    return columns


def _classes(columns: Columns, mapping: Any, dropped: set[str]) -> list[str]:
    """Return the class of each row."""
    values = columns.values("class")
    if values is None:
        return [NO_CLASS] * len(columns)
    where = f"{columns.path}, column {columns.names['class']}"
    if (empty := values.count("")) and (mapping is None or "" not in class_of_words(mapping)):
        raise UserError(
            f"{columns.where(values.index(''))} has no class in column {columns.names['class']} ({empty} such rows): "
            "fill the cell, or remove the row."
        )
    if mapping is None:
        refuse_alike([value for value in values if fold(value) not in dropped], where)
    return map_classes(values, mapping, where, dropped)


def _add(rows: dict[str, dict[str, Any]], row: dict[str, Any], where: str, counts: bool) -> None:
    """Add a row, or the masks of a further row about an image; one whose masks do not count adds nothing."""
    first = rows.setdefault(row["id"], row)
    if first is row:
        return
    if row["image"] != first["image"]:
        raise UserError(f"{where}: {row['image']} and {first['image']} differ by their extension only: rename one.")
    for key in sorted(row.keys() - {"masks", "id", "image"}):
        if row[key] != first[key]:
            values = "" if key in ("patient", "group") else f" ('{row[key]}' and '{first[key]}')"
            raise UserError(f"{where}: {row['image']} has another {key} than in an earlier row{values}: correct one.")
    if counts and set(row["masks"]) <= set(first["masks"]):
        raise UserError(f"{where}: {row['image']} occurs twice: remove one of the rows.")
    first["masks"] = (*first["masks"], *(mask for mask in row["masks"] if mask not in first["masks"]))
