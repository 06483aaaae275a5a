"""Words that programs and people write in several ways mean the same, and the cure that a message names works."""

from pathlib import Path

import pytest
from tiny_sets import draw_image, draw_mask

from bus_lightning.core.errors import UserError
from bus_lightning.data.sources import table

COMPOSED, DECOMPOSED = "M\u00fcller", "Mu\u0308ller"


def read(folder: Path, header: str, *rows: str, columns: dict[str, str], **options: object):
    for number in range(len(rows)):
        draw_image(folder / f"{number}.png", number)
    lines = [f"File,{header}", *(f"{number}.png,{row}" for number, row in enumerate(rows))]
    (folder / "t.csv").write_text("\n".join(lines))
    return table.read(folder, {"table": folder / "t.csv", "columns": {"image": "File"} | columns} | options)


def test_a_whole_number_with_a_decimal_point_is_the_word_that_the_map_names(tmp_path: Path):
    for words in ([2, 3], [2.0, 3.0], ["2.0", "3"]):
        mapping = {"class": {"benign": words, "malignant": ["4a"]}}
        frame = read(tmp_path, "C", "2.0", "3", "4a", columns={"class": "C"}, map=mapping).frame
        assert frame["class"].tolist() == ["benign", "benign", "malignant"]


def test_a_mask_counts_also_where_a_program_writes_1_as_a_decimal_number(tmp_path: Path):
    for name in ("a", "b"):
        draw_mask(tmp_path / f"{name}.png")
    for options in ({}, {"map": {"mask_counts": [1.0]}}):
        columns = {"mask": "M", "mask_counts": "K"}
        frame = read(tmp_path, "M,K", "a.png,1.0", "b.png,0.0", columns=columns, **options).frame
        assert frame["masks"].tolist() == [("a.png",), ()]


def test_a_name_with_an_accent_is_one_patient_and_one_class_however_the_accent_is_stored(tmp_path: Path):
    columns = {"class": "C", "patient": "P"}
    rows = (f"{COMPOSED},{COMPOSED}", f"{DECOMPOSED},{DECOMPOSED}", "b,x")
    frame = read(tmp_path, "C,P", *rows, columns=columns).frame
    assert frame["patient"].nunique() == frame["class"].nunique() == 2
    mapping = {"class": {"a": [DECOMPOSED], "b": ["b"]}}
    assert read(tmp_path, "C,P", *rows, columns=columns, map=mapping).frame["class"].tolist() == ["a", "a", "b"]


@pytest.mark.parametrize("gap", ["<NA>", "NaT", "N.A.", "--", ".", "Missing", "-", "?"])
def test_no_two_patients_become_one_because_a_program_writes_a_gap_in_its_own_way(tmp_path: Path, gap):
    index = read(tmp_path, "P", gap, gap, "7", columns={"patient": "P"})
    assert index.frame["patient"].tolist() == ["", "", "7"]
    assert index.notes == ["2 of 3 images have no patient: each counts as a separate patient."]


def test_a_row_without_a_class_is_refused_with_its_number_also_with_a_map_unless_that_names_it(tmp_path: Path):
    rows = ("benign", "", "malignant")
    mapping: dict[str, list[str]] = {"benign": [], "malignant": []}
    with pytest.raises(UserError, match=r"row 3 has no class in column C \(1 such rows\): fill the cell, or remove"):
        read(tmp_path, "C,N", *(f"{row},1" for row in rows), columns={"class": "C"}, map={"class": mapping})
    named = {"class": mapping | {"normal": [""]}}
    frame = read(tmp_path, "C,N", *(f"{row},1" for row in rows), columns={"class": "C"}, map=named).frame
    assert frame["class"].tolist() == ["benign", "normal", "malignant"]


def test_a_mask_that_cells_give_to_two_images_is_named(tmp_path: Path):
    draw_mask(tmp_path / "m.png")
    index = read(tmp_path, "M", "m.png", "m.png", columns={"mask": "M"})
    assert index.notes == ["Masks of several images: 1, such as m.png of 0.png and 1.png."]
