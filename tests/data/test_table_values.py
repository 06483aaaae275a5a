"""What a table says about images, masks, patients and folds is checked row by row before anything is decoded."""

from pathlib import Path

import pytest
from PIL import Image
from tiny_sets import draw_image, draw_mask

from bus_lightning.core.errors import UserError
from bus_lightning.data.sources import registry, table
from bus_lightning.data.sources.class_map import map_classes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    for number, name in enumerate(("a", "b", "a10")):
        draw_image(tmp_path / "us" / f"{name}.png", number)
        draw_mask(tmp_path / "gt" / f"{name}_mask.png")
    monkeypatch.setattr(Image, "open", lambda *args: pytest.fail("decoded"))
    return tmp_path


def read(folder: Path, text: str, columns: dict[str, str], **options: object):
    (folder / "t.csv").write_text(text)
    return table.read(folder, {"table": folder / "t.csv", "columns": {"image": "File"} | columns} | options)


def refuse(folder: Path, text: str, columns: dict[str, str], **options: object) -> str:
    with pytest.raises(UserError) as refused:
        read(folder, text, columns, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def images(folder: Path, *cells: str, **options: object) -> list[str]:
    frame = read(folder, "File,N\n" + "".join(f'"{cell}",1\n' for cell in cells), {}, **options).frame
    return frame["image"].tolist()


@pytest.mark.parametrize("cell", ["us/b.png", "us\\b.png", "./us//b.png", "US/B.PNG", "us/b", " us/b.png "])
def test_a_path_is_found_as_people_write_it(folder: Path, cell):
    assert images(folder, cell) == ["us/b.png"]


def test_a_name_is_found_below_the_folder_of_images(folder: Path):
    assert images(folder, "b.png", "a", images="us") == ["us/a.png", "us/b.png"]


def test_two_files_that_differ_by_case_are_two_images(folder: Path):
    (folder / "us" / "B.png").write_bytes((folder / "us" / "a.png").read_bytes())
    if len(list((folder / "us").iterdir())) == 3:
        pytest.skip("the file system takes them for one")
    assert images(folder, "us/b.png", "us/B.png") == ["us/B.png", "us/b.png"]


def test_two_spellings_of_one_file_are_one_image(folder: Path):
    assert "row 3: us/b.png occurs twice" in refuse(folder, "File\nus/b.png\nUS/B.png\n", {})


def test_a_link_to_a_folder_elsewhere_is_followed(folder: Path, tmp_path_factory):
    other = tmp_path_factory.mktemp("disk")
    (folder / "us").rename(other / "us")
    (folder / "us").symlink_to(other / "us")
    assert images(folder, "us/a.png") == ["us/a.png"]


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("/data/old/us/b.png", "is a path of another machine or folder: write paths relative to"),
        ("/data/old/us/b.png", ", such as us/b.png."),
        ("C:us\\b.png", "is a path of another machine or folder"),
        ("\\\\server\\us\\b.png", "is a path of another machine or folder"),
        ("us/../../b.png", "leads out of"),
        ("https://example.org/b.png", "is an address: download the files"),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused_with_its_row(folder: Path, cell, line):
    message = refuse(folder, f"File\nus/a.png\n{cell}\n", {})
    assert "t.csv, row 3: " in message
    assert line in message


def test_a_file_that_differs_by_its_extension_only_is_named(folder: Path):
    (folder / "us" / "x.png").touch()
    (folder / "us" / "x.PNG").touch()
    line = refuse(folder, "File\nus/x.png\nus/x.PNG\n", {})
    assert "row 3: us/x.PNG and us/x.png differ by their extension only: rename one" in line


def test_a_missing_mask_is_named_with_its_row(folder: Path):
    line = refuse(folder, "File,M\nus/a.png,gt/a_mask.png\nus/b.png,gt/b_mask.png & gt/z.png\n", {"mask": "M"})
    assert "t.csv, row 3: the mask gt/z.png is not in" in line


def test_words_for_no_mask_are_not_read_as_files(folder: Path):
    frame = read(folder, "File,M\nus/a.png,n/a\nus/b.png,None\nus/a10.png,-\n", {"mask": "M"}).frame
    assert frame["masks"].tolist() == [()] * 3


def test_an_image_is_never_a_mask(folder: Path):
    line = refuse(folder, "File,M\nus/a.png,us/a.png\n", {"mask": "M"})
    assert "row 2: us/a.png is its own mask" in line
    line = refuse(folder, "File,M\nus/a.png,us/b.png\nus/b.png,\n", {"mask": "M"})
    assert "the mask us/b.png of us/a.png is also an image of the table" in line
    assert "is its own mask" in refuse(folder, "File\nus/a.png\n", {"mask": "{folder}/{stem}*.png"})


def test_a_pattern_never_gives_an_image_the_mask_of_another(folder: Path):
    line = refuse(folder, "File\nus/a.png\nus/a10.png\n", {"mask": "gt/{stem}*_mask.png"})
    assert "gt/a10_mask.png fits both us/a.png and us/a10.png: put something between {stem} and *" in line
    frame = read(folder, "File\nus/a.png\nus/a10.png\n", {"mask": "gt/{stem}_*.png"}).frame
    assert frame["masks"].tolist() == [("gt/a_mask.png",), ("gt/a10_mask.png",)]


def test_a_pattern_never_gives_an_image_the_mask_of_one_that_has_no_row(folder: Path):
    line = refuse(folder, "File\nus/a.png\n", {"mask": "gt/{stem}*_mask.png"})
    assert "gt/a10_mask.png fits both us/a.png and us/a10.png: put something between {stem} and *" in line
    for file in ("us/a_2.png", "us/a_3.txt", "gt/a_2_mask.png", "gt/a_3_mask.png"):
        (folder / file).touch()
    own, pattern = ("gt/a_3_mask.png", "gt/a_mask.png"), {"mask": "gt/{stem}_*.png"}
    assert read(folder, "File\nus/a.png\n", pattern).frame["masks"].tolist() == [own]
    both = read(folder, "File\nus/a.png\nus/a_2.png\n", pattern).frame
    assert both["masks"].tolist() == [own, ("gt/a_2_mask.png",)]


def test_a_pattern_may_go_through_folders(folder: Path):
    frame = read(folder, "File\nus/a.png\n", {"mask": "g*/{stem}_mask.png"}).frame
    assert frame["masks"].tolist() == [("gt/a_mask.png",)]


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("gt/{id}*.png", "{id} is not known; use {stem}, {folder}, {name}"),
        ("../gt/{stem}*", "a pattern is relative to data.root, without .. and **"),
        ("/gt/{stem}*", "a pattern is relative to data.root, without .. and **"),
        ("**/{stem}*", "a pattern is relative to data.root, without .. and **"),
        ("masks/{stem}*", "no file fits it for any image, such as us/a.png"),
    ],
)
def test_a_pattern_that_cannot_work_is_refused(folder: Path, pattern, line):
    assert f"data.columns.mask={pattern}: {line}" in refuse(folder, "File\nus/a.png\n", {"mask": pattern})


def test_words_that_do_not_say_whether_a_mask_counts_are_refused_until_they_are_mapped(folder: Path):
    text = "File,M,K\nus/a.png,gt/a_mask.png,ja\nus/b.png,gt/b_mask.png,0\n"
    columns = {"mask": "M", "mask_counts": "K"}
    assert "column K has other values than yes and no (ja: 1)" in refuse(folder, text, columns)
    frame = read(folder, text, columns, map={"mask_counts": ["JA"]}).frame
    assert frame["masks"].tolist() == [("gt/a_mask.png",), ()]
    assert "has no value 'oui' of data.map.mask_counts; it has 0: 1, ja: 1" in refuse(
        folder, text, columns, map={"mask_counts": ["ja", "oui"]}
    )


def test_words_of_masks_that_count_without_their_column_are_refused_because_every_mask_would_count(folder: Path):
    text = "File,M,K\nus/a.png,gt/a_mask.png,vessel\nus/b.png,gt/b_mask.png,tumour\n"
    line = refuse(folder, text, {"mask": "M"}, map={"mask_counts": ["tumour"]})
    assert "data.map.mask_counts needs data.columns.mask_counts" in line
    assert read(folder, text, {"mask": "M"}).frame["masks"].map(len).tolist() == [1, 1]


def test_gaps_in_the_patients_are_counted_whatever_word_marks_them(folder: Path):
    index = read(folder, "File,P\nus/a.png,unknown\nus/b.png,N/A\nus/a10.png,007\n", {"patient": "P"})
    assert index.frame["patient"].tolist() == ["", "007", ""]
    assert index.notes == ["2 of 3 images have no patient: each counts as a separate patient."]


def test_spellings_of_a_patient_are_one_patient_and_no_name_is_written(folder: Path):
    index = read(folder, "File,P\nus/a.png,Meier 7\nus/b.png,MEIER  7\nus/a10.png,8\n", {"patient": "P"})
    assert index.frame["patient"].nunique() == 2
    assert index.notes == [
        "The patients in rows 2 and 3 of column P differ only by case, spaces, leading zeros or a final .0, and are "
        "taken as one (1 such rows)."
    ]
    patients = read(folder, "File,P\nus/a.png,7\nus/b.png,007\nus/a10.png,70\n", {"patient": "P"}).frame["patient"]
    assert patients.tolist() == ["7", "70", "7"]
    patients = read(folder, "File,P\nus/a.png,70\nus/b.png,7\nus/a10.png,70.0\n", {"patient": "P"}).frame["patient"]
    assert patients.tolist() == ["70", "70", "7"]
    patients = read(folder, "File,P\nus/a.png,7.0\nus/b.png,7.1\nus/a10.png,A.0\n", {"patient": "P"}).frame["patient"]
    assert patients.nunique() == 3


def test_a_patient_number_that_a_spreadsheet_has_rounded_is_refused(folder: Path):
    line = refuse(folder, "File,P\nus/a.png,1.23457E+15\n", {"patient": "P"})
    assert "row 2, column P: a spreadsheet has rounded the number: write it as text" in line
    assert "1.23" not in line


def test_rows_that_disagree_about_a_patient_are_refused_without_its_name(folder: Path):
    text = "File,P,M\nus/a.png,Meier,gt/a_mask.png\nus/a.png,Huber,gt/b_mask.png\n"
    line = refuse(folder, text, {"patient": "P", "mask": "M"})
    assert "row 3: us/a.png has another patient than in an earlier row: correct one" in line


def test_folds_are_numbers_also_with_a_decimal_point(folder: Path):
    frame = read(folder, "File,F\nus/a.png,1\nus/b.png,1.0\nus/a10.png,2\n", {"fold": "F"}).frame
    assert frame.set_index("image")["parts_2"].to_dict() == {
        "us/a.png": ("test", "train"), "us/b.png": ("test", "train"), "us/a10.png": ("train", "test"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("File,F\nus/a.png,1\nus/b.png,\n", "row 3 has no fold in column F: fill the cell"),
        ("File,F\nus/a.png,1\nus/b.png,1\n", "column F has 1 different values: folds are 2 to 100"),
        ("File,F\n" + "".join(f"us/{n}.png,{n}\n" for n in range(101)), "column F has 101 different values"),
    ],
)
def test_a_column_that_holds_no_folds_is_refused(folder: Path, text, line):
    assert line in refuse(folder, text, {"fold": "F"})


@pytest.mark.parametrize("cell", ["0.08", "0,08"])
def test_a_pixel_size_is_read_with_a_point_or_a_comma(folder: Path, cell):
    frame = read(folder, f"File;S\nus/a.png;{cell}\nus/b.png;\n", {"mm_per_pixel": "S"}).frame
    assert frame["mm_per_pixel"].tolist() == [(0.08, 0.08), None]


@pytest.mark.parametrize("cell", ["small", "0", "-1", "inf", "78.1"])
def test_a_cell_that_is_no_pixel_size_is_refused(folder: Path, cell):
    line = refuse(folder, f"File,S\nus/a.png,{cell}\n", {"mm_per_pixel": "S"})
    assert f"row 2, column S: '{cell}' is not the size of a pixel in millimetres" in line


def test_classes_need_a_map_where_they_are_spelled_in_several_ways(folder: Path):
    text = "File,C\nus/a.png,benign\nus/b.png,Benign\nus/a10.png,malignant\n"
    line = refuse(folder, text, {"class": "C"})
    assert "column C has a class in several spellings (Benign: 1, benign: 1)" in line
    mapped = read(folder, text, {"class": "C"}, map={"class": {"benign": [], "malignant": []}})
    assert mapped.frame["class"].tolist() == ["benign", "malignant", "benign"]


def test_a_row_without_a_class_is_refused(folder: Path):
    line = refuse(folder, "File,C\nus/a.png,benign\nus/b.png,\n", {"class": "C"})
    assert "row 3 has no class in column C (1 such rows): fill the cell, or remove the row" in line


def test_mapping_classes_twice_changes_nothing():
    mapping = {"benign": ["Benign", 2], "malignant": ["4a"]}
    once = map_classes(["2", "4A", "benign", "MALIGNANT"], mapping, "x")
    assert once == ["benign", "malignant", "benign", "malignant"]
    assert map_classes(once, mapping, "x") == once
    with pytest.raises(UserError, match="names 'malignant' for both benign and malignant"):
        map_classes(["2"], {"benign": ["malignant"], "malignant": ["4a"]}, "x")


def test_a_word_that_the_map_lacks_is_listed_with_a_similar_one():
    with pytest.raises(UserError, match=r"\(Malignent: 2, other: 1\); Malignent is like malignant: add each"):
        map_classes(["Malignent", "Malignent", "other"], {"malignant": [5], "benign": [2]}, "x")


@pytest.mark.parametrize("drop", [["UNCLEAR"], "unclear", ["5", "unclear"]])
def test_a_word_that_is_left_out_needs_no_class_and_is_left_out_also_if_it_has_one(folder: Path, drop, caplog):
    text = "File,C\nus/a.png,2\nus/b.png,unclear\nus/a10.png,5\n"
    mapping = {"benign": [2], "malignant": [5]}
    assert "(unclear: 1)" in refuse(folder, text, {"class": "C"}, map={"class": mapping})
    own = {"columns": {"image": "File", "class": "C"}, "map": {"class": mapping}, "drop": {"class": drop}}
    options = own | {"source": "table", "root": str(folder), "table": str(folder / "t.csv")}
    (dataset,) = registry.read_sets({"sets": {"own": options}})
    assert set(dataset.index.frame["class"]) == ({"benign"} if "5" in drop else {"benign", "malignant"})
    assert "data.drop.class names" not in caplog.text
    registry.read_sets({"sets": {"own": options | {"drop": {"class": ["unclear", "uncleer"]}}}})
    assert "data.drop.class names 'uncleer', but no image has this word as its class" in caplog.text


def test_a_class_map_of_another_kind_is_refused():
    with pytest.raises(UserError, match=r"data.map.class=\['benign'\] names no classes"):
        map_classes(["benign"], ["benign"], "x")


def test_the_examples_of_the_docs_are_read(folder: Path):
    page = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
    hospital, masks = (page[page.index(start) :].partition("```")[0] for start in ("Bild;Pat-Nr", "File,Mask,Kind"))
    for name in ("0001", "0002", "0003"):
        draw_image(folder / "us" / f"{name}.png", 1)
    for name in ("a_1", "a_2", "a_3", "b_1"):
        draw_mask(folder / "gt" / f"{name}.png")
    roles = {"image": "Bild", "patient": "Pat-Nr", "class": "BI-RADS", "mm_per_pixel": "Pixel"}
    mapping = {"benign": [2, 3], "malignant": ["4a", "4b", "4c", 5]}
    index = read(folder, hospital, roles, map={"class": mapping})
    assert index.frame["patient"].tolist() == ["007", "007", ""]
    assert index.frame["class"].tolist() == ["benign", "malignant", "malignant"]
    assert index.frame["mm_per_pixel"].tolist() == [(0.08, 0.08), (0.08, 0.08), None]
    frame = read(folder, masks, {"mask": "Mask", "mask_counts": "Kind"}, map={"mask_counts": ["tumour"]}).frame
    assert frame["masks"].tolist() == [("gt/a_1.png", "gt/a_2.png"), ("gt/b_1.png",)]


def test_a_missing_table_or_role_is_one_line(folder: Path):
    assert "data=table needs data.table=FILE" in refuse(folder, "File\n", {}, table=None)
    assert "There is no table" in refuse(folder, "File\n", {}, table=folder / "none.csv")
    with pytest.raises(UserError, match=r"needs data.columns.image"):
        table.read(folder, {"table": folder / "t.csv", "columns": {"mask": "M"}})
