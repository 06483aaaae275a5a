"""CSV, XLSX and Parquet of others are read as they are meant, and what cannot be read is one line."""

import csv
import re
import zipfile
from datetime import date, datetime
from pathlib import Path

import pytest

from bus_lightning.core.errors import UserError
from bus_lightning.data.sources import parquets, rows, workbooks
from bus_lightning.data.sources.tables import column, read_any_table

openpyxl = pytest.importorskip("openpyxl")


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refuse(read) -> str:
    with pytest.raises(UserError) as refused:
        read()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def make_book(path: Path, *cells, **sheets):
    book = openpyxl.Workbook()
    for row in cells:
        book.active.append(row)
    for name, inner in sheets.items():
        page = book.create_sheet(name)
        for row in inner:
            page.append(row)
    book.save(path)
    return book


def make_parquet(path: Path, columns: dict[str, object]) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_a_cell_of_a_csv_may_hold_separators_quotes_and_line_ends(tmp_path: Path):
    text = 'File;Note;P\n"a;1.png";"two\nlines; 3"" probe";007\n\n;;\nb.png;"";7,5\n'
    table = read_any_table(write(tmp_path / "t.csv", text))
    assert table.to_numpy().tolist() == [["a;1.png", 'two\nlines; 3" probe', "007"], ["b.png", "", "7,5"]]
    assert table.index.tolist() == [2, 5]  # rows of the file


def test_the_separator_is_found_although_a_long_quoted_cell_crosses_the_end_of_the_sample(tmp_path: Path):
    long = "\n".join("x, y" for _ in range(20_000))
    table = read_any_table(write(tmp_path / "t.csv", f'File;Note\na.png;"{long}"\nb.png;short\n'))
    assert table["File"].tolist() == ["a.png", "b.png"]


@pytest.mark.parametrize("text", ["sep=;\nFile;P\na.png;1\n", "File;P;;\na.png;1;;\n", "File;P\na.png;1;;\n"])
def test_what_spreadsheets_add_to_a_csv_does_not_matter(tmp_path: Path, text):
    table = read_any_table(write(tmp_path / "t.csv", text))
    assert table.to_dict("records") == [{"File": "a.png", "P": "1"}]


def test_a_decimal_comma_does_not_become_a_separator(tmp_path: Path):
    table = read_any_table(write(tmp_path / "t.csv", "File;Size\na.png;0,08\nb.png;0,12\n"))
    assert table["Size"].tolist() == ["0,08", "0,12"]


@pytest.mark.parametrize(("right", "wrong"), [(",", ";"), (";", ",")])
def test_the_separator_is_the_one_that_fits_the_rows(tmp_path: Path, right, wrong):
    text = f"File|Note{wrong} long{wrong} text\na.png|x\nb.png|y\n".replace("|", right)
    assert read_any_table(write(tmp_path / "t.csv", text))["File"].tolist() == ["a.png", "b.png"]


def test_a_table_of_one_column_is_read(tmp_path: Path):
    assert read_any_table(write(tmp_path / "t.csv", "File\na.png\nb.png\n"))["File"].tolist() == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "is empty: save the table again"),
        ("\n\n", "is empty: save the table again"),
        ("File,P\n", "has a header (File, P) and no row below it"),
        ("File,P\na.png\n", "row 2 has 1 cells and the header 2"),
        ('File,P\n"a.png,1\nb.png,2\n', "close its quotation marks"),
        ("File,P\na.png,1\n".encode("utf-16-le"), "neither UTF-8, UTF-16 nor Windows-1252"),
        (b"File,P\n\x81\x8d\x9d.png,1\n", "neither UTF-8, UTF-16 nor Windows-1252"),
        (b"\xff\xfeF", "neither UTF-8, UTF-16 nor Windows-1252"),
        (b"\xd0\xcf\x11\xe0 and more", "is an old or protected workbook: save it as XLSX without a password"),
    ],
)
def test_a_csv_that_cannot_be_read_is_one_line(tmp_path: Path, content, line):
    path = write(tmp_path / "t.csv", content)
    message = refuse(lambda: read_any_table(path))
    assert line in message
    assert str(path) in message


def test_an_unknown_separator_is_suspected(tmp_path: Path):
    path = write(tmp_path / "t.csv", "File^Class\na.png^benign\n")
    message = refuse(lambda: column(read_any_table(path), "File", path, "data.columns.image"))
    assert "has no data.columns.image=File; its columns are File^Class. If it has more columns, save it with" in message


def test_a_column_name_that_occurs_twice_is_refused_only_where_it_is_used(tmp_path: Path):
    path = write(tmp_path / "t.csv", "File,Note,Note\na.png,1,2\n")
    table = read_any_table(path)
    assert column(table, "File", path).tolist() == ["a.png"]
    assert "column 'Note' is there more than once: rename one" in refuse(lambda: column(table, "note", path))


def test_a_cell_that_is_too_long_for_csv_is_one_line(tmp_path: Path):
    path = write(tmp_path / "t.csv", "File,Note\na.png," + "x" * (csv.field_size_limit() + 1))
    assert "row 2 cannot be read" in refuse(lambda: read_any_table(path))


def test_a_table_with_too_many_cells_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(rows, "MOST_CELLS", 8)
    path = write(tmp_path / "t.csv", "File,P\na,1\nb,2\nc,3\n")
    line = refuse(lambda: read_any_table(path))
    assert "has more than 8 cells: keep only the rows and columns of the images" in line


def test_numbers_dates_and_truth_of_an_xlsx_become_plain_text(tmp_path: Path):
    first, second = (
        [7, 7.0, "007", True, datetime(2024, 5, 31), 0.0078125],
        [None, "", " x ", False, date(2024, 6, 1), 1e-5],
    )
    make_book(tmp_path / "t.xlsx", list("abcdef"), first, second)
    assert read_any_table(tmp_path / "t.xlsx").to_numpy().tolist() == [
        ["7", "7", "007", "True", "2024-05-31", "0.0078125"], ["", "", "x", "False", "2024-06-01", "1e-05"],
    ]  # fmt: skip


def test_merged_cells_all_have_the_value_of_the_first(tmp_path: Path):
    book = make_book(tmp_path / "t.xlsx", ["File", "P"], ["a.png", "7"], ["b.png"], ["c.png", "8"])
    book.active.merge_cells("B2:B3")
    book.save(tmp_path / "t.xlsx")
    assert read_any_table(tmp_path / "t.xlsx")["P"].tolist() == ["7", "7", "8"]


def test_cells_without_a_true_value_are_refused_only_where_they_are_used(tmp_path: Path):
    path = tmp_path / "t.xlsx"
    make_book(path, ["File", "F", "N", "E"], ["a.png", "=1+1", 1234567890123456, "#REF!"])
    table = read_any_table(path)
    assert column(table, "File", path).tolist() == ["a.png"]
    assert "column 'F' has a formula without a result in B2: open it" in refuse(lambda: column(table, "F", path))
    assert "column 'N' has a number of more than 15 digits in row 2" in refuse(lambda: column(table, "N", path))
    assert "column 'E' has the error #REF! in row 2: correct its formula" in refuse(lambda: column(table, "E", path))


def test_a_formula_with_a_stored_result_is_read(tmp_path: Path):
    path = tmp_path / "t.xlsx"
    make_book(path, ["File", "F"], ["a.png", "=1+1"])
    rewrite(path, "xl/worksheets/sheet1.xml", lambda text: re.sub(b"<v ?/>", b"<v>2</v>", text))
    assert column(read_any_table(path), "F", path).tolist() == ["2"]


def test_a_sheet_is_chosen_by_name_and_the_others_are_listed(tmp_path: Path):
    path = tmp_path / "t.xlsx"
    make_book(path, ["about"], ["text"], Cases=[["File"], ["a.png"]])
    assert read_any_table(path, "Cases")["File"].tolist() == ["a.png"]
    assert "has no data.sheet=cases; its sheets are Sheet, Cases" in refuse(lambda: read_any_table(path, "cases"))
    assert "Another sheet is read with data.sheet=NAME; there are Sheet, Cases." in refuse(
        lambda: column(read_any_table(path), "File", path)
    )


def test_a_table_is_recognised_by_its_content(tmp_path: Path):
    make_book(tmp_path / "book.xlsx", ["File"], ["a.png"])
    (tmp_path / "book.xlsx").rename(tmp_path / "book.csv")
    assert read_any_table(tmp_path / "book.csv")["File"].tolist() == ["a.png"]
    path = write(tmp_path / "text.xlsx", "File\na.png\n")
    assert "does not hold XLSX" in refuse(lambda: read_any_table(path))
    with zipfile.ZipFile(tmp_path / "other.xlsx", "w") as archive:
        archive.writestr("a.txt", "x")
    assert "is an archive, but not an XLSX" in refuse(lambda: read_any_table(tmp_path / "other.xlsx"))


def rewrite(path: Path, name: str, change) -> None:
    """Change a member of an archive."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    members[name] = change(members[name])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)


def test_an_xlsx_that_announces_too_much_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch):
    path = tmp_path / "t.xlsx"
    make_book(path, ["File"], ["a.png"])
    monkeypatch.setattr(workbooks, "_MOST_UNPACKED", 1000)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *args, **options: pytest.fail("unpacked"))
    assert "becomes larger than 0 MB when it is unpacked" in refuse(lambda: read_any_table(path))


@pytest.mark.parametrize("sheet", ["cases", 1, "0"])
def test_a_sheet_of_a_csv_is_refused_because_it_would_be_ignored(tmp_path: Path, sheet: str | int):
    path = tmp_path / "table.csv"
    path.write_text("image,class\na.png,benign\n")
    assert f"table.csv has no sheets, but data.sheet={sheet} names one" in refuse(lambda: read_any_table(path, sheet))
    assert len(read_any_table(path, 0)) == 1


def test_a_sheet_that_states_too_many_cells_costs_nothing(tmp_path: Path):
    path = tmp_path / "t.xlsx"
    make_book(path, ["File", "P"], *([f"{number}.png", 1] for number in range(400)))
    rewrite(path, "xl/worksheets/sheet1.xml", lambda text: text.replace(b'ref="A1:B401"', b'ref="A1:XFD1048576"'))
    assert read_any_table(path).shape == (400, 2)


def test_an_xlsx_with_entities_of_its_own_is_refused(tmp_path: Path):
    path = tmp_path / "t.xlsx"
    make_book(path, ["File"], ["a.png"])
    rewrite(path, "xl/styles.xml", lambda text: b'<!DOCTYPE x [<!ENTITY a "b">]>' + text)
    assert "defines its own XML entities" in refuse(lambda: read_any_table(path))


def test_flat_columns_of_a_parquet_are_read_and_others_refused_where_they_are_used(tmp_path: Path):
    path = make_parquet(tmp_path / "t.parquet", {
        "File": ["a.png", "b.png"], "P": [10**17 + 1, None], "Ok": [True, None], "Masks": [["m.png"], []],
        "Image": [{"bytes": b"x", "path": "a"}] * 2, "Raw": [b"x", b"y"], "Rounded": [1e17, 0.5],
    })  # fmt: skip
    table = read_any_table(path)
    assert table[["File", "P", "Ok"]].to_numpy().tolist() == [
        ["a.png", "100000000000000001", "True"],
        ["b.png", "", ""],
    ]
    for name in ("Masks", "Image", "Raw"):
        assert f"column '{name}' holds lists, records or bytes" in refuse(lambda name=name: column(table, name, path))
    assert "column 'Rounded' has a number of more than 15 digits" in refuse(lambda: column(table, "Rounded", path))


def test_a_parquet_that_announces_too_much_is_refused_before_it_is_read(tmp_path: Path, monkeypatch):
    path = make_parquet(tmp_path / "t.parquet", {"File": ["a.png"] * 100})
    from pyarrow import parquet

    monkeypatch.setattr(parquet, "ParquetFile", lambda *args, **options: pytest.fail("read"))
    with monkeypatch.context() as patch:
        patch.setattr(parquets, "MOST_CELLS", 99)
        assert "announces 100 rows of 1 columns" in refuse(lambda: read_any_table(path))
    monkeypatch.setattr(parquets, "_MOST_UNPACKED", 10)
    assert "announces 100 rows of 1 columns" in refuse(lambda: read_any_table(path))


def test_a_long_cell_that_a_parquet_repeats_is_refused(tmp_path: Path):
    path = make_parquet(tmp_path / "t.parquet", {"File": ["a.png"] * 20, "Note": ["x" * 40_000] * 20})
    assert "column 'Note' has a cell of 40,000 characters" in refuse(lambda: read_any_table(path))


def test_a_parquet_that_is_cut_off_is_one_line(tmp_path: Path):
    path = make_parquet(tmp_path / "t.parquet", {"File": ["a.png"]})
    path.write_bytes(path.read_bytes()[:-20])
    assert "cannot be read as Parquet" in refuse(lambda: read_any_table(path))


@pytest.mark.parametrize(
    ("name", "package", "extra"), [("t.parquet", "pyarrow", "tables"), ("t.xlsx", "openpyxl", "train")]
)
def test_a_missing_package_is_named_with_its_install_command(tmp_path: Path, monkeypatch, name, package, extra):
    path = tmp_path / name
    make_parquet(path, {"File": ["a"]}) if package == "pyarrow" else make_book(path, ["File"], ["a"])
    monkeypatch.setitem(__import__("sys").modules, package, None)
    line = refuse(lambda: read_any_table(path))
    assert line == f"{path} needs {package}, which is not installed: pip install 'bus_lightning[{extra}]'"


def test_a_folder_is_no_table(tmp_path: Path):
    assert "it is a folder). Save the table again as CSV, XLSX or Parquet." in refuse(lambda: read_any_table(tmp_path))
