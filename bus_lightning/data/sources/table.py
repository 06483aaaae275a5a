"""Read a table that names the images: CSV, XLSX or Parquet, with any columns."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pandas as pd

from bus_lightning.core.errors import UserError
from bus_lightning.data.listing import without_extension
from bus_lightning.data.sources.card import Card
from bus_lightning.data.sources.class_map import fold, map_classes
from bus_lightning.data.sources.folder_names import PARTS
from bus_lightning.data.sources.source_index import NO_CLASS, SourceIndex, make_frame
from bus_lightning.data.sources.tables import column, read_any_table

CARD = Card("A table", citation="", licence="", homepage="", seen="files")
ROLES = ("image", "mask", "mask_counts", "class", "patient", "group", "split", "fold", "mm_per_pixel")
_JOINTS = (";", "&", "|", ",")  # between several masks in a cell
_YES = ("1", "true", "yes", "y", "x")


@dataclass(frozen=True)
class _Table:
    """A table, its file, and the column of each role."""

    rows: pd.DataFrame
    path: Path
    columns: Mapping[str, str]

    def values(self, role: str) -> list[str] | None:
        """Return the cells of a role's column; None if no column has the role."""
        if not (name := self.columns.get(role)):
            return None
        return column(self.rows, str(name), self.path, f"data.columns.{role}").tolist()


def read(root: Path, options: Mapping[str, Any]) -> SourceIndex:
    """Read the index; an id is the path of the image below the root without `.png`.

    Rows about one image must agree in all but its masks, which are united.

    Args:
        root: The folder that paths are relative to.
        options: `table` (the file), `sheet`, `columns` (role -> column; roles are those of `ROLES`; `mask` may also be
            a pattern such as `masks/{stem}_*.png`) and `map` (with `class` and `mask_counts`).

    Raises:
        UserError: If a column or value is wrong, in one line.
    """
    path = Path(options["table"])
    columns = {str(role): str(name) for role, name in (options.get("columns") or {}).items() if name is not None}
    if unknown := sorted(columns.keys() - set(ROLES)):
        raise UserError(f"data.columns has no role '{unknown[0]}': choose from {', '.join(ROLES)}.")
    if "image" not in columns:
        raise UserError("data=table needs data.columns.image, the column with the paths of the images.")
    table = _Table(read_any_table(path, options.get("sheet") or 0), path, columns)
    maps = options.get("map") or {}
    where = f"{path}, column {columns.get('class')}"
    named = table.values("class")
    classes = [NO_CLASS] * len(table.rows) if named is None else map_classes(named, maps.get("class"), where)
    masks = _masks(root, table, maps.get("mask_counts"))
    patients, groups = (table.values(role) or [""] * len(table.rows) for role in ("patient", "group"))
    sizes = [_mm_per_pixel(cell) for cell in table.values("mm_per_pixel") or [""] * len(table.rows)]
    parts = _parts(table)
    rows: dict[str, dict[str, Any]] = {}
    missing: set[str] = set()
    for number, cell in enumerate(table.values("image") or []):
        file = _below(cell, root, path, number)
        id_ = without_extension(file) if file.lower().endswith(".png") else file
        if not (root / file).is_file():
            missing.add(id_)
            continue
        row = {"id": id_, "image": file, "masks": masks[number](file), "class": classes[number],
               "patient": patients[number], "group": groups[number], "mm_per_pixel": sizes[number]}  # fmt: skip
        row |= {name: values[number] for name, values in parts.items()}
        _add(rows, row, path, number)
    if missing and not rows:
        raise UserError(f"{path}: none of its {len(missing)} images is in {root}: set data.root=FOLDER.")
    _refuse_split_patients(list(rows.values()), path, [name for name in parts if name != "parts_1"], columns)
    frame = make_frame(list(rows.values()), "table", str(path))
    used = {"group": "group" in columns, "mm_per_pixel": "mm_per_pixel" in columns}
    frame = frame.drop(columns=[name for name, is_used in used.items() if not is_used])
    notes = []
    if "patient" in columns and (lone := int((frame["patient"] == "").sum())):
        notes.append(f"{lone} of {len(frame)} images have no patient: each is kept as a patient of its own.")
    return SourceIndex(frame, missing=sorted(missing), notes=notes)


def _add(rows: dict[str, dict[str, Any]], row: dict[str, Any], path: Path, number: int) -> None:
    """Add a row, or the masks of a further row about an image."""
    first = rows.setdefault(row["id"], row)
    if first is row:
        return
    for key in row.keys() - {"masks"}:
        if row[key] != first[key]:
            raise UserError(
                f"{path}, row {number + 2}: {row['image']} has the {key} '{row[key]}', and '{first[key]}' in an "
                "earlier row: correct one of them."
            )
    if set(row["masks"]) <= set(first["masks"]):
        raise UserError(f"{path}, row {number + 2}: {row['image']} is there twice: remove one of the rows.")
    first["masks"] = (*first["masks"], *(mask for mask in row["masks"] if mask not in first["masks"]))


def _masks(root: Path, table: _Table, counting: Any) -> list[Any]:
    """Return for each row a function from its image to its mask files."""
    name = table.columns.get("mask", "")
    kinds = table.values("mask_counts")
    counting = _YES if counting is None else counting if isinstance(counting, list | tuple) else [counting]
    words = {fold(word) for word in counting}
    counts = [True] * len(table.rows) if kinds is None else [fold(kind) in words for kind in kinds]
    if "{" in name or "*" in name:
        return [lambda file, ok=ok: _by_pattern(root, name, file) if ok else () for ok in counts]
    cells = table.values("mask") or [""] * len(table.rows)
    files = [
        tuple(_below(mask, root, table.path, number) for mask in _separate(root, cell)) if counts[number] else ()
        for number, cell in enumerate(cells)
    ]
    return [lambda file, found=found: found for found in files]


def _by_pattern(root: Path, pattern: str, file: str) -> tuple[str, ...]:
    """Find the masks of an image by a pattern with `{stem}` and `{folder}`, and `*` for any text."""
    path = PurePosixPath(file)
    try:
        filled = pattern.format(stem=_literal(path.stem), folder=_literal(str(path.parent)), name=_literal(path.name))
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(
            f"data.columns.mask={pattern}: {error} is not known; use {{stem}}, {{folder}}, {{name}}."
        ) from None
    return tuple(sorted(mask.relative_to(root).as_posix() for mask in root.glob(filled) if mask.is_file()))


def _literal(text: str) -> str:
    """Escape what a glob would read as a pattern."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)


def _separate(root: Path, cell: str) -> Sequence[str]:
    """Separate several masks in a cell."""
    if not cell or (root / cell).is_file():
        return [cell] if cell else []
    for joint in _JOINTS:
        if joint in cell:
            return [part.strip() for part in cell.split(joint) if part.strip()]
    return [cell]


def _below(cell: str, root: Path, path: Path, number: int) -> str:
    """Return a path of the table as a path below the root.

    Raises:
        UserError: If it is empty, or leads out of the root.
    """
    where = f"{path}, row {number + 2}"
    if not cell:
        raise UserError(f"{where} has no path: fill the cell, or remove the row.")
    text = cell.replace("\\", "/")
    if PureWindowsPath(cell).is_absolute() or PurePosixPath(text).is_absolute():
        place = Path(cell).resolve() if PurePosixPath(text).is_absolute() else None
        if place is not None and place.is_relative_to(root.resolve()):
            return place.relative_to(root.resolve()).as_posix()
        raise UserError(f"{where}: {cell} is a path of another machine or folder: write paths relative to {root}.")
    parts = [part for part in PurePosixPath(text).parts if part != "."]
    if ".." in parts:
        raise UserError(f"{where}: {cell} leads out of {root}: set data.root to a folder that holds all images.")
    return "/".join(parts)


def _parts(table: _Table) -> dict[str, list[tuple[str, ...]]]:
    """Return the part of each row: `parts_1` by the column of parts, and `parts_K` by the column of K folds."""
    parts: dict[str, list[tuple[str, ...]]] = {}
    if (named := table.values("split")) is not None:
        if unknown := Counter(word for word in named if word.casefold() not in PARTS):
            counts = ", ".join(f"{word or '(empty)'}: {number}" for word, number in sorted(unknown.items()))
            raise UserError(
                f"{table.path}: {table.columns['split']} has other values than train, val, test ({counts})."
            )
        parts["parts_1"] = [(PARTS[word.casefold()],) for word in named]
    if (folds := table.values("fold")) is not None:
        names = sorted(set(folds), key=lambda name: (len(name), name))
        if "" in names or len(names) < 2:
            raise UserError(f"{table.path}: {table.columns['fold']} needs a fold in each row, and at least two folds.")
        parts[f"parts_{len(names)}"] = [tuple("test" if name == own else "train" for name in names) for own in folds]
    return parts


def _refuse_split_patients(
    rows: Sequence[Mapping[str, Any]], path: Path, folds: list[str], columns: Mapping[str, str]
) -> None:
    """Refuse folds that divide a patient or a group."""
    for name in folds:
        for role in ("patient", "group"):
            first: dict[str, Any] = {}
            for row in rows:
                if row[role] and first.setdefault(row[role], row[name]) != row[name]:
                    raise UserError(
                        f"{path}: {columns['fold']} puts {role} '{row[role]}' into two folds: correct it, or use "
                        "data.split.method=grouped with data.split.folds."
                    )


def _mm_per_pixel(cell: str) -> tuple[float, float] | None:
    try:
        size = float(cell)
    except ValueError:
        return None
    return (size, size) if 0 < size < float("inf") else None
