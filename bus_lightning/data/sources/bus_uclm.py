"""Read BUS-UCLM: `images/ALWI_000.png`, `masks/ALWI_000.png` of the same name, and `INFO.csv`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_lightning.data.sources.card import UNSTATED, Card
from bus_lightning.data.sources.pictures import find_below, list_pictures
from bus_lightning.data.sources.source_index import LayoutError, SourceIndex, make_frame, refuse_repeated
from bus_lightning.data.sources.tables import read_any_table, require_columns

CARD = Card(
    title="BUS-UCLM",
    citation="Vallez N. et al. BUS-UCLM: breast ultrasound lesion segmentation dataset. Scientific Data 12 (2025) 242, "
    "doi:10.1038/s41597-025-04562-3",
    licence="Creative Commons; versions 1 to 3 state different ones, so check yours",
    homepage="https://data.mendeley.com/datasets/7fvgj4jsp7",
    counts={"images": 683, "patients": 38, "normal": 419, "benign": 174, "malignant": 90},
    faults=(
        "The class belongs to the image: 28 of the 38 patients have images of two classes, 5 of all three.",
        "The authors' test set is five patients, 63 images, 7 of them benign.",
        "INFO.csv has semicolons and a byte order mark; Doppler holds Yes, No and one Y.",
        "A mask's colour is its class: green benign, red malignant. Masks of normal images are black.",
    ),
    seen="table",
    origin="38 patients, 2022 to 2023; Siemens ACUSON S2000",
    reference_standard=UNSTATED,
    annotators="expert radiologists",
    limits=(
        "38 patients: intervals over patients are wide, and those of the sensitivity are still somewhat too narrow.",
        "One device.",
    ),
)
_COLUMNS = ("Image", "Label")
_PATIENT_LETTERS = 4
_TESTED = ("COPE", "ANFO", "ELCO", "CRCI", "FLKA")  # the authors' test patients


def read(root: Path, options: Mapping[str, Any]) -> SourceIndex:
    """Read the index; a patient is the first four letters of the name, and `parts_1` is the authors' split."""
    folder = find_below(root, "INFO.csv", "images")
    if folder is None:
        raise LayoutError(f"{root} is not BUS-UCLM: expected INFO.csv and the folders images and masks in it.")
    below = "" if folder == root else f"{folder.name}/"
    path = folder / "INFO.csv"
    table = read_any_table(path)
    require_columns(table, _COLUMNS, path)
    refuse_repeated(table["Image"], "image", str(path))
    skipped: dict[str, str] = {}
    images = list_pictures(root, f"{below}images", skipped)
    masks = list_pictures(root, f"{below}masks", skipped) if (folder / "masks").is_dir() else {}
    rows, missing = [], []
    for row in table.to_dict("records"):
        id_ = Path(row["Image"]).stem
        if id_ not in images:
            missing.append(id_)
            continue
        mask, label, patient = masks.pop(id_, None), row["Label"].casefold(), id_[:_PATIENT_LETTERS]
        rows.append({
            "id": id_, "image": images.pop(id_), "masks": (mask,) if mask and label != "normal" else (),
            "class": label, "patient": patient, "parts_1": ("test" if patient in _TESTED else "train",),
            "doppler": row.get("Doppler", "").casefold().startswith("y"),
            "marks": row.get("Marks", "").casefold().startswith("y"),
        })  # fmt: skip
    skipped |= dict.fromkeys(images.values(), "not in INFO.csv")
    return SourceIndex(make_frame(rows, "bus_uclm", str(path)), skipped, sorted(masks.values()), missing)
