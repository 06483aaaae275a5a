"""A table of a hospital's own is read with any columns, and each mistake in it is one line."""

from pathlib import Path

import pandas as pd
import pytest
from tiny_sets import draw_image, draw_mask

from bus_lightning.core.errors import UserError
from bus_lightning.data.sources import table
from bus_lightning.data.sources.class_map import map_classes
from bus_lightning.data.sources.source_index import NO_CLASS
from bus_lightning.data.sources.tables import read_any_table

COLUMNS = {"image": "File", "mask": "Mask", "class": "Result", "patient": "Patient"}
ROWS = "File,Mask,Result,Patient\nus/a.png,gt/a.png,Benign,7\nus/b.png,gt/b.png,Malignant,7\nus/c.png,,benign,\n"


def make(root: Path, text: str = ROWS, encoding: str = "utf-8") -> dict[str, object]:
    for number, name in enumerate("abc"):
        draw_image(root / "us" / f"{name}.png", number)
        draw_mask(root / "gt" / f"{name}.png")
        draw_mask(root / "gt" / f"{name}_2.png")
    (root / "table.csv").write_bytes(text.encode(encoding))
    return {
        "table": root / "table.csv",
        "columns": COLUMNS,
        "map": {"class": {"benign": ["BENIGN"], "bad": ["malignant"]}},
    }


def refuse(root: Path, options: dict[str, object]) -> str:
    with pytest.raises(UserError) as refused:
        table.read(root, options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_csv_with_any_separator_and_encoding_is_read(tmp_path: Path, separator, encoding):
    text = ROWS.replace(",", separator).replace("Benign", " Bénign ").replace("\n", "\r\n")
    options = make(tmp_path, text, encoding) | {
        "map": {"class": {"benign": ["bénign", "benign"], "bad": ["malignant"]}}
    }
    frame = table.read(tmp_path, options).frame
    assert frame["id"].tolist() == ["us/a", "us/b", "us/c"]
    assert frame["class"].tolist() == ["benign", "bad", "benign"]
    assert frame["masks"].tolist() == [("gt/a.png",), ("gt/b.png",), ()]


@pytest.mark.parametrize("ending", ["xlsx", "parquet"])
def test_excel_and_parquet_are_read_as_the_csv(tmp_path: Path, ending):
    pytest.importorskip({"xlsx": "openpyxl", "parquet": "pyarrow"}[ending])
    options = make(tmp_path)
    cells = {"File": ["us/a.png", "us/b.png"], "Mask": ["gt/a.png", None], "Result": ["Benign", "malignant"]}
    rows = pd.DataFrame(cells | {"Patient": [7, 8]})
    path = tmp_path / f"table.{ending}"
    rows.to_excel(path, index=False) if ending == "xlsx" else rows.to_parquet(path)
    frame = table.read(tmp_path, options | {"table": path}).frame
    assert frame["patient"].tolist() == ["7", "8"]
    assert frame["masks"].tolist() == [("gt/a.png",), ()]


def test_a_lone_image_is_counted_as_a_patient(tmp_path: Path):
    index = table.read(tmp_path, make(tmp_path))
    assert index.frame["patient"].tolist() == ["7", "7", ""]
    assert index.notes == ["1 of 3 images have no patient: each counts as a separate patient."]


def test_class_words_compare_as_text_without_case_and_spaces():
    mapping = {"benign": ["Benign", 0, 2.0], "malignant": ["Malignant", "4a", 5]}
    assert map_classes([" BENIGN", "0", "2", "4A", "5 "], mapping, "x") == ["benign"] * 3 + ["malignant"] * 2


def test_class_words_that_the_map_does_not_name_are_counted(tmp_path: Path):
    options = make(tmp_path, ROWS.replace("c.png,,benign", "c.png,,unclear"))
    line = refuse(tmp_path, options)
    assert "column Result has values that data.map.class does not name (unclear: 1)" in line


def test_a_word_in_two_classes_is_refused():
    with pytest.raises(UserError, match="names '2' for both benign and malignant"):
        map_classes(["2"], {"benign": [2], "malignant": ["2"]}, "x")


def test_one_cell_may_hold_several_masks(tmp_path: Path):
    frame = table.read(tmp_path, make(tmp_path, ROWS.replace("gt/a.png", "gt/a.png & gt/a_2.png"))).frame
    assert frame["masks"].tolist()[0] == ("gt/a.png", "gt/a_2.png")


def test_masks_are_found_by_a_pattern(tmp_path: Path):
    draw_image(tmp_path / "us" / "a[1].png", 9)
    draw_mask(tmp_path / "gt" / "a[1]_2.png")
    text = ROWS + "us/a[1].png,,Benign,9\n"
    options = make(tmp_path, text) | {"columns": COLUMNS | {"mask": "gt/{stem}_*.png"}}
    rows = table.read(tmp_path, options).frame.set_index("id")
    assert rows.loc["us/a[1]", "masks"] == ("gt/a[1]_2.png",)
    assert rows.loc["us/a", "masks"] == ("gt/a_2.png",)
    assert rows.loc["us/b", "masks"] == ("gt/b_2.png",)


def test_a_column_says_which_masks_count_and_rows_about_one_image_unite_theirs(tmp_path: Path):
    text = ("File,Mask,Kind,Result\nus/a.png,gt/a.png,Tumour,benign\nus/a.png,gt/a_2.png,tumour,benign\n"
            "us/a.png,gt/b.png,vessel,benign\n")  # fmt: skip
    columns = {"image": "File", "mask": "Mask", "mask_counts": "Kind", "class": "Result"}
    options = make(tmp_path, text) | {"columns": columns, "map": {"mask_counts": ["tumour"]}}
    assert table.read(tmp_path, options).frame["masks"].tolist() == [("gt/a.png", "gt/a_2.png")]
    (tmp_path / "table.csv").write_text(text.replace("us/a.png,gt/b.png", "us/b.png,gt/b.png"))
    assert table.read(tmp_path, options).frame["masks"].tolist() == [("gt/a.png", "gt/a_2.png"), ()]
    (tmp_path / "table.csv").write_text(text.replace("gt/a_2.png", "gt/a.png"))
    with pytest.raises(UserError, match=r"row 3: us/a.png occurs twice"):
        table.read(tmp_path, options)


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("Result", "Other", "has no data.columns.class=Result; its columns are File, Mask, Other, Patient."),
        ("us/b.png", "us/a.png", "row 3: us/a.png has another class than in an earlier row ('bad' and 'benign')"),
        ("us/b.png", "/home/anna/us/b.png", "row 3: /home/anna/us/b.png is a path of another machine or folder"),
        ("us/b.png", "C:\\us\\b.png", "row 3: C:\\us\\b.png is a path of another machine or folder"),
        ("us/b.png", "../us/b.png", "row 3: ../us/b.png leads out of"),
        ("us/b.png", "", "row 3 has no path"),
        (",7\nus/b", ",7,8\nus/b", "row 2 has 5 cells and the header 4, with the separator , between them"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, before, after, line):
    assert before in ROWS
    assert line in refuse(tmp_path, make(tmp_path, ROWS.replace(before, after)))


def test_an_absolute_path_into_the_root_is_read(tmp_path: Path):
    frame = table.read(tmp_path, make(tmp_path, ROWS.replace("us/b.png", str(tmp_path / "us" / "b.png")))).frame
    assert frame["id"].tolist() == ["us/a", "us/b", "us/c"]


def test_rows_without_files_are_listed_and_a_table_without_any_file_is_refused(tmp_path: Path):
    assert table.read(tmp_path, make(tmp_path, ROWS.replace("us/b.png", "us/z.png"))).missing == ["us/z"]
    assert "none of its 3 images is in" in refuse(tmp_path, make(tmp_path, ROWS.replace("us/", "nowhere/")))


def test_an_unknown_role_is_refused(tmp_path: Path):
    options = make(tmp_path) | {"columns": COLUMNS | {"subject": "Patient"}}
    assert "data.columns has no role 'subject': choose from image, mask," in refuse(tmp_path, options)


def test_columns_of_parts_and_folds_become_published_splits(tmp_path: Path):
    text = "File,Part,Fold,P\nus/a.png,Training,2,1\nus/b.png,TEST,10,2\nus/c.png,valid,1,3\n"
    columns = {"image": "File", "split": "Part", "fold": "Fold", "patient": "P"}
    frame = table.read(tmp_path, make(tmp_path, text) | {"columns": columns, "map": None}).frame
    assert frame["parts_1"].tolist() == [("train",), ("test",), ("val",)]
    assert frame["parts_3"].tolist() == [
        ("train", "test", "train"),
        ("train", "train", "test"),
        ("test", "train", "train"),
    ]
    assert frame["class"].tolist() == [NO_CLASS] * 3
    assert table.read(tmp_path, make(tmp_path, text) | {"columns": columns, "map": None}).notes == []


def test_a_fold_column_that_divides_a_patient_is_refused(tmp_path: Path):
    text = "File,Fold,P\nus/a.png,1,7\nus/b.png,2,7\nus/c.png,2,8\n"
    options = make(tmp_path, text) | {"columns": {"image": "File", "fold": "Fold", "patient": "P"}, "map": None}
    assert "column Fold puts a patient into two folds, in rows 2 and 3: correct it" in refuse(tmp_path, options)


def test_a_word_of_no_part_is_refused(tmp_path: Path):
    text = "File,Part\nus/a.png,train\nus/b.png,holdout\nus/c.png,\n"
    options = make(tmp_path, text) | {"columns": {"image": "File", "split": "Part"}, "map": None}
    assert "Part has other values than train, val, test ((empty): 1, holdout: 1)" in refuse(tmp_path, options)


def test_a_damaged_table_is_one_line(tmp_path: Path):
    path = tmp_path / "table.xlsx"
    path.write_bytes(b"PK\3\4 and no more")
    with pytest.raises(UserError, match="cannot be read as XLSX"):
        read_any_table(path)
