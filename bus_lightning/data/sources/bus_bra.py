"""Read BUS-BRA: `Images/bus_0001-l.png`, `Masks/mask_0001-l.png`, `bus_data.csv`, and the tables of its folds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_lightning.core.errors import UserError
from bus_lightning.data.sources.card import Card
from bus_lightning.data.sources.pictures import find_below, list_pictures
from bus_lightning.data.sources.source_index import LayoutError, SourceIndex, make_frame, refuse_repeated
from bus_lightning.data.sources.tables import read_any_table, require_columns

CARD = Card(
    title="BUS-BRA",
    citation="Gómez-Flores W. et al. BUS-BRA: a breast ultrasound dataset for assessing computer-aided diagnosis "
    "systems. Medical Physics 51 (2024) 3110-3123, doi:10.1002/mp.16812",
    licence="free use with the duty to cite; LICENSE.txt lies next to the data",
    homepage="https://doi.org/10.5281/zenodo.8231412",
    counts={"images": 1875, "patients": 1064, "benign": 1268, "malignant": 607},
    faults=(
        "The two images of a case are the halves of one dual-screen picture of the same lesion, not the two breasts.",
        "Cases 44 and 65, 56 and 91, 341 and 356 are the same frames under two numbers, two pairs with different "
        "histology.",
        "The published validation flags put 201 to 216 patients of each fold into both training and validation.",
        "Width and Height are wrong for four images; BBOX counts from 1, and its width and height are one short.",
        "BI-RADS is not the class: 10 malignant images have category 2, and 4 benign ones category 5.",
    ),
    seen="files",
    origin="National Institute of Cancer, Rio de Janeiro; 1,064 women; four scanners",
    reference_standard="biopsy of every tumour",
    annotators="a senior ultrasonographer outlined the lesions and gave the BI-RADS categories",
    limits=(
        "There are no normal images, so false positives on them cannot be measured.",
        "One hospital. Lesions without a biopsy are not in it.",
        "One outline of each lesion: how much two readers differ is not known.",
    ),
)
_TABLE = "bus_data.csv"
_COLUMNS = ("ID", "Case", "Histology", "Pathology", "BIRADS", "Device", "Side")
_FOLDS = (5, 10)
_PARTS = {"1": "train", "0": "val", "": "test", "nan": "test"}  # of a validation flag


def read(root: Path, options: Mapping[str, Any]) -> SourceIndex:
    """Read the index; patients are the cases, and `parts_5` and `parts_10` are the published folds."""
    folder = find_below(root, _TABLE, "Images")
    if folder is None:
        raise LayoutError(f"{root} is not BUS-BRA: expected {_TABLE} and the folders Images and Masks in it.")
    below = "" if folder == root else f"{folder.name}/"
    path = folder / _TABLE
    table = read_any_table(path)
    require_columns(table, _COLUMNS, path)
    refuse_repeated(table["ID"], "ID", str(path))
    skipped: dict[str, str] = {}
    images = list_pictures(root, f"{below}Images", skipped)
    has_masks = (folder / "Masks").is_dir()
    masks = list_pictures(root, f"{below}Masks", skipped) if has_masks else {}
    parts = {f"parts_{folds}": _read_folds(folder / f"{folds}-fold-cv.csv", folds) for folds in _FOLDS}
    rows, missing = [], []
    for row in table.to_dict("records"):
        id_ = row["ID"]
        if id_ not in images:
            missing.append(id_)
            continue
        mask = masks.pop(id_.replace("bus_", "mask_", 1), None)
        rows.append({
            "id": id_, "image": images.pop(id_), "masks": (mask,) if mask else (), "class": row["Pathology"].casefold(),
            "patient": row["Case"], "histology": row["Histology"], "birads": row["BIRADS"], "device": row["Device"],
            "side": row["Side"],
        } | {name: known[id_] for name, known in parts.items() if id_ in known})  # fmt: skip
    skipped |= dict.fromkeys(images.values(), f"not in {_TABLE}")
    return SourceIndex(make_frame(rows, "bus_bra", str(path)), skipped, sorted(masks.values()), missing)


def _read_folds(path: Path, folds: int) -> dict[str, tuple[str, ...]]:
    """Read the part of each image in each published fold: `train`, `val` or `test`; empty without the table.

    Raises:
        UserError: If a value is not 1, 0 or empty, or a fold's test images are not those of `kFold`.
    """
    if not path.exists():
        return {}
    table = read_any_table(path)
    flags = [f"valid_{number}" for number in range(1, folds + 1)]
    require_columns(table, ("ID", "kFold", *flags), path)
    refuse_repeated(table["ID"], "ID", str(path))
    parts: dict[str, tuple[str, ...]] = {}
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        values = [_PARTS.get(row[flag].casefold().removesuffix(".0")) for flag in flags]
        tested = [fold for fold, part in enumerate(values, 1) if part == "test"]
        if None in values or [str(fold) for fold in tested] != [row["kFold"].removesuffix(".0")]:
            raise UserError(
                f"{path}, row {number}: the flags of {row['ID']} do not fit its fold, {row['kFold']}: restore the file."
            )
        parts[row["ID"]] = tuple(map(str, values))
    return parts
