"""Tiny folders in the real layouts of published data sets, with their real quirks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

SIZE = 48


def draw_image(path: Path, seed: int, mode: str = "RGB") -> Path:
    """Draw a noisy picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(seed).integers(0, 200, (SIZE, SIZE, 3), dtype=np.uint8)
    image = Image.fromarray(levels)
    if mode == "RGBA":
        image.putalpha(255)
    image.convert(mode).save(path)
    return path


def draw_mask(
    path: Path, value: int | tuple[int, ...] = 255, mode: str = "L", box: Sequence[int] = (10, 10, 30, 30)
) -> Path:
    """Draw a mask with a square lesion."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new(mode, (SIZE, SIZE), (0, 0, 0, 255) if mode == "RGBA" else 0)
    image.paste(value, tuple(box))
    image.save(path)
    return path


def make_bus_bra(root: Path) -> Path:
    """Five cases with two halves each; case 2's second image and case 5's files are missing, a file has no row."""
    folder = root / "BUSBRA"
    rows, folds = [], []
    for case in range(1, 6):
        for side, half in (("left", "l"), ("right", "r")):
            id_ = f"bus_{case:04d}-{half}"
            kind = "malignant" if case % 2 else "benign"
            rows.append(f'{id_},{case},fibroadenoma,{kind},{case % 4 + 2},GE Logiq 7,48,48,{side},"[11,11,19,19]"')
            flags = ["NaN" if case == k else str(int((case + k) % 3 > 0)) for k in range(1, 6)]
            folds.append(f"{id_},{kind},{case},{','.join(flags)}")
            if case < 5 and (case, half) != (2, "r"):
                draw_image(folder / "Images" / f"{id_}.png", case * 2 + (half == "r"), "L")
                draw_mask(folder / "Masks" / f"mask_{id_[4:]}.png")
    (folder / "bus_data.csv").write_text(
        "ID,Case,Histology,Pathology,BIRADS,Device,Width,Height,Side,BBOX\n" + "\n".join(rows) + "\n"
    )
    (folder / "5-fold-cv.csv").write_text(
        "ID,Pathology,kFold,valid_1,valid_2,valid_3,valid_4,valid_5\n" + "\n".join(folds) + "\n"
    )
    draw_image(folder / "Images" / "bus_0099-l.png", 99, "L")
    return root


def make_breast(root: Path) -> Path:
    """Four cases: one with other masks, one with two tumours, one normal, one whose files are missing."""
    folder = root / "BrEaST-Lesions_USG-images_and_masks"
    names = {"case001": 1, "case002": 2, "case003": 3}
    for name, seed in names.items():
        draw_image(folder / f"{name}.png", seed, "RGBA")
    draw_mask(folder / "case001_tumor.png", (255, 255, 255, 255), "RGBA")
    draw_mask(folder / "case001_other1.png", (255, 255, 255, 255), "RGBA", (0, 0, 48, 40))
    draw_mask(folder / "case002_tumor1.png", (255, 255, 255, 255), "RGBA")
    draw_mask(folder / "case002_tumor2.png", (255, 255, 255, 255), "RGBA", (32, 32, 40, 40))
    table = pd.DataFrame({
        "CaseID": [1, 2, 3, 4],
        "Image_filename": ["case001.png", "case002.png", "case003.png", "case004.png"],
        "Mask_tumor_filename": [
            "case001_tumor.png", "case002_tumor1.png&case002_tumor2.png", None, "case004_tumor.png"
        ],
        "Mask_other_filename": ["case001_other1.png", None, None, None],
        "Pixel_size": [0.0078125, 0.006, 0.005, 0.007], "Age": [57, "not available", None, 40],
        "BIRADS": [2, "4b", 1, "4a"], "Diagnosis": ["not applicable", "Fibroadenoma", "not applicable", "DCIS"],
        "Classification": ["benign", "malignant", "normal", "malignant"],
    })  # fmt: skip
    with pd.ExcelWriter(root / "clinical-data.xlsx") as book:
        table.to_excel(book, sheet_name="data", index=False)
        pd.DataFrame({"type": ["CaseID"], "description": ["number"]}).to_excel(
            book, sheet_name="dictionary", index=False
        )
    return root


def make_bus_uclm(root: Path) -> Path:
    """Two patients; a table with semicolons, a byte order mark and CRLF; coloured masks."""
    folder = root / "BUS-UCLM"
    colours = {"Benign": (0, 255, 0), "Malignant": (255, 0, 0), "Normal": (0, 0, 0)}
    rows = []
    for seed, (name, label) in enumerate(
        {"ALWI_000": "Benign", "ALWI_001": "Malignant", "COPE_000": "Normal", "COPE_001": "Benign"}.items()
    ):
        draw_image(folder / "images" / f"{name}.png", seed)
        draw_mask(folder / "masks" / f"{name}.png", colours[label], "RGB")
        rows.append(f"{name}.png;48x48;{label};{'Y' if seed else 'No'};No;No")
    text = "Image;Resolution;Label;Doppler;Marks;Combined\r\n" + "\r\n".join(rows) + "\r\n"
    (folder / "INFO.csv").write_bytes(text.encode("utf-8-sig"))
    return root


def make_udiat(root: Path) -> Path:
    """Three images numbered with a gap; a table with a legend next to the data that has more rows."""
    folder = root / "Dataset B"
    for seed, number in enumerate((1, 2, 295)):
        draw_image(folder / "BUS" / "original" / f"{number:06d}.png", seed, "L")
        draw_mask(folder / "BUS" / "GT" / f"{number:06d}.png")
    pd.DataFrame({
        "Image": [1, 2, 295, None], "Type": ["Benign", "Malignant", "Benign", None],
        "Diagnosis": ["FA", "IDC", "CYST", None], "Unnamed": [None] * 4, "Legend": ["FA", "IDC", "CYST", "ILC"],
    }).to_excel(folder / "DatasetB.xlsx", sheet_name="Hoja1", index=False)  # fmt: skip
    return root
