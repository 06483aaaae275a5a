"""Read BUSI, Breast Ultrasound Images: `benign/benign (1).png` next to `benign (1)_mask.png`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_lightning.data.sources import folder
from bus_lightning.data.sources.card import UNSTATED, Card
from bus_lightning.data.sources.source_index import SourceIndex

CARD = Card(
    title="BUSI",
    citation="Al-Dhabyani W. et al. Dataset of breast ultrasound images. Data in Brief 28 (2020) 104863, "
    "doi:10.1016/j.dib.2019.104863",
    licence="not stated by its authors; MedMNIST, which is partly made of it, states CC BY 4.0",
    homepage="https://doi.org/10.1016/j.dib.2019.104863",
    counts={"images": 780, "benign": 437, "malignant": 210, "normal": 133},
    faults=(
        "There are no patient numbers, and many images are near-duplicates of others, some of another class.",
        "About 70% of the images have text, calipers or a frame burned in.",
        "17 images have several masks, which outline several lesions.",
    ),
    seen="files",
    origin="Baheya Hospital, Cairo, 2018; 600 women of 25 to 75 years; LOGIQ E9 and LOGIQ E9 Agile",
    reference_standard=f"{UNSTATED}, which hold a class, but no histology, biopsy or follow-up",
    annotators=UNSTATED,
    limits=(
        "Without patient numbers, other images of a patient than near-duplicates may be in two parts.",
        "One hospital. Which of its two devices made an image is not stated.",
        "A published letter (doi:10.1016/j.dib.2023.109247) reports duplicates, lesions in two classes, images of the "
        "axilla and marks within the lesion.",
        "One outline of each lesion: how much two readers differ is not known.",
    ),
)


def read(root: Path, options: Mapping[str, Any]) -> SourceIndex:
    """Read the index; patients are unknown."""
    return folder.read(root, options, "busi")
