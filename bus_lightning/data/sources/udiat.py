"""Read UDIAT's Dataset B: `BUS/original/000001.png`, `BUS/GT/000001.png`, and `DatasetB.xlsx`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_lightning.data.sources.card import UNSTATED, Card
from bus_lightning.data.sources.pictures import find_below, list_pictures
from bus_lightning.data.sources.source_index import LayoutError, SourceIndex, make_frame, refuse_repeated
from bus_lightning.data.sources.tables import read_any_table, require_columns

CARD = Card(
    title="UDIAT, Dataset B",
    citation="Yap M. H. et al. Automated breast ultrasound lesions detection using convolutional neural networks. IEEE "
    "Journal of Biomedical and Health Informatics 22 (2018) 1218-1226, doi:10.1109/JBHI.2017.2731873",
    licence="released by its authors under a signed agreement: no image may be stored elsewhere or shown",
    homepage="https://doi.org/10.1109/JBHI.2017.2731873",
    counts={"images": 163, "benign": 109, "malignant": 54},
    faults=(
        "There are no patient numbers.",
        "The images are numbered 1 to 147 and 295 to 310.",
        "Four pairs are the same pixels: two with different masks, one with two histologies.",
        "The table has a legend in columns next to the data.",
    ),
    seen="table",
    reference_standard=f"the table gives a diagnosis of each image; how it was made is {UNSTATED}",
    annotators=UNSTATED,
    limits=(
        "Without patient numbers, other images of a patient than near-duplicates may be in two parts.",
        "There are no normal images, so false positives on them cannot be measured.",
        "Of two pairs of equal pixels the outlines have an IoU of 0.84 and 0.88: more cannot be expected of a network.",
    ),
)
_COLUMNS = ("Image", "Type", "Diagnosis")
_DIGITS = 6


def read(root: Path, options: Mapping[str, Any]) -> SourceIndex:
    """Read the index; patients are unknown."""
    folder = find_below(root, "DatasetB.xlsx")
    if folder is None or not (folder / "BUS" / "original").is_dir():
        raise LayoutError(f"{root} is not UDIAT's Dataset B: expected DatasetB.xlsx and BUS/original in it.")
    below = "" if folder == root else f"{folder.name}/"
    path = folder / "DatasetB.xlsx"
    table = read_any_table(path)
    require_columns(table, _COLUMNS, path)
    refuse_repeated([image for image in table["Image"] if image], "image", str(path))
    skipped: dict[str, str] = {}
    images = list_pictures(root, f"{below}BUS/original", skipped)
    masks = list_pictures(root, f"{below}BUS/GT", skipped) if (folder / "BUS" / "GT").is_dir() else {}
    rows, missing = [], []
    for row in table.to_dict("records"):
        if not row["Image"] or not row["Type"]:  # the legend has more rows than the data
            continue
        id_ = Path(row["Image"]).stem.zfill(_DIGITS)
        if id_ not in images:
            missing.append(id_)
            continue
        mask = masks.pop(id_, None)
        rows.append({
            "id": id_, "image": images.pop(id_), "masks": (mask,) if mask else (), "class": row["Type"].casefold(),
            "histology": row["Diagnosis"],
        })  # fmt: skip
    skipped |= dict.fromkeys(images.values(), f"not in {path.name}")
    return SourceIndex(make_frame(rows, "udiat", str(path)), skipped, sorted(masks.values()), missing)
