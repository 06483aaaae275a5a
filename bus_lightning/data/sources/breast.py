"""Read BrEaST-Lesions-USG: `case001.png`, `case001_tumor.png`, `case022_other1.png`, and a clinical table as XLSX."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_lightning.core.errors import UserError
from bus_lightning.data.sources.card import Card
from bus_lightning.data.sources.pictures import list_pictures
from bus_lightning.data.sources.source_index import LayoutError, SourceIndex, make_frame, refuse_repeated
from bus_lightning.data.sources.tables import read_any_table, require_columns
from bus_lightning.data.walking import walk

CARD = Card(
    title="BrEaST-Lesions-USG",
    citation="Pawłowska A. et al. Curated benchmark dataset for ultrasound based breast lesion analysis. Scientific "
    "Data 11 (2024) 148, doi:10.1038/s41597-024-02984-z",
    licence="CC BY 4.0",
    homepage="https://doi.org/10.7937/9WKK-Q141",
    counts={"images": 256, "patients": 256, "benign": 154, "malignant": 98, "normal": 4},
    faults=(
        "Images and masks have an alpha channel that is opaque everywhere, so that `mask > 0` is true everywhere.",
        "The masks named _other outline other structures, not more lesion: case038's is 24 times as large as its "
        "tumour. They are not used.",
        "Pixel_size is in centimetres.",
        "BIRADS holds numbers and texts such as 4a. Several mask names stand in one cell, joined by &.",
        "Almost half of the images have colour: a tint, or coloured marks.",
    ),
    seen="files",
    origin="one image of each of 256 patients",
    reference_standard="core needle biopsy, or follow-up; the column Verification says which",
    annotators="a radiologist with experience in breast ultrasound outlined and described each image",
    limits=(
        "There are four normal images: false positives on them can hardly be measured.",
        "The benign class of a lesion without a biopsy rests on follow-up.",
        "One outline of each lesion: how much two readers differ is not known.",
    ),
)
_COLUMNS = ("CaseID", "Image_filename", "Mask_tumor_filename", "Pixel_size", "BIRADS", "Classification")
_MM_PER_CM = 10
_SHOWN = 5  # tables in a message
_JOINED = "&"
_UNKNOWN = ("", "not available", "not applicable")


def read(root: Path, options: Mapping[str, Any]) -> SourceIndex:
    """Read the index; each case is a patient, and only the masks of the tumour count."""
    path = _find_table(root)
    table = read_any_table(path)
    require_columns(table, _COLUMNS, path)
    refuse_repeated(table["Image_filename"], "image", str(path))
    skipped: dict[str, str] = {}
    folder = _find_images(root, table["Image_filename"].tolist())
    files = {Path(file).name: file for file in list_pictures(root, folder, skipped).values()}
    rows, missing, orphans = [], [], []
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        image = files.pop(row["Image_filename"], None)
        if image is None:
            missing.append(Path(row["Image_filename"]).stem)
            continue
        named = [name.strip() for name in row["Mask_tumor_filename"].split(_JOINED) if name.strip()]
        if lost := [name for name in named if name not in files]:
            raise UserError(f"{path}, row {number}: the mask {lost[0]} is not in {root / folder}: copy it there.")
        rows.append({
            "id": Path(image).stem, "image": image, "masks": tuple(files.pop(name) for name in named),
            "class": row["Classification"].casefold(), "patient": row["CaseID"], "birads": row["BIRADS"],
            "histology": "" if row.get("Diagnosis", "") in _UNKNOWN else row["Diagnosis"],
            "mm_per_pixel": _mm_per_pixel(row["Pixel_size"]),
        })  # fmt: skip
    for name, file in files.items():
        if "_other" in name:
            skipped[file] = "masks of other structures than the tumour"
        elif "_tumor" in name:
            orphans.append(file)
        else:
            skipped[file] = f"not in {path.name}"
    return SourceIndex(make_frame(rows, "breast", str(path)), skipped, sorted(orphans), missing)


def _find_table(root: Path) -> Path:
    tables = [path for path in walk(root) if path.suffix.lower() == ".xlsx" and not path.name.startswith("~")]
    if len(tables) != 1:
        names = ", ".join(path.relative_to(root).as_posix() for path in tables[:_SHOWN])
        present = f"there are {len(tables)} ({names}): leave only this table" if tables else "there is none"
        raise LayoutError(f"{root} is not BrEaST-Lesions-USG: expected one XLSX, its clinical table, but {present}.")
    return tables[0]


def _find_images(root: Path, names: list[str]) -> str:
    """Find the folder, the root or one below it, that holds most of the images; return its path below the root."""
    wanted = set(names)
    folders = Counter(path.parent for path in walk(root) if path.name in wanted)
    most = folders.most_common(1)[0][0] if folders else root
    return "" if most == root else most.relative_to(root).as_posix()


def _mm_per_pixel(centimetres: str) -> tuple[float, float] | None:
    """Convert the size of a square pixel to (height, width) in millimetres; None if it is not stated."""
    try:
        size = float(centimetres) * _MM_PER_CM
    except ValueError:
        return None
    return (size, size) if size > 0 else None
