"""Files that a diagnosis does not read are counted, and named only where names may be shown."""

from pathlib import Path

from PIL import Image

from bus_lightning.diagnosis.predict import _report_left_out
from bus_lightning.diagnosis.reading import find_files


def test_pictures_are_found_by_content_and_the_rest_is_counted(tmp_path, capsys):
    Image.new("L", (40, 40)).save(tmp_path / "scan.dat", "PNG")
    Image.new("L", (40, 40)).save(tmp_path / "no ending", "JPEG")
    (tmp_path / "Jane Doe.txt").write_text("benign")
    (tmp_path / "notes.md").write_text("benign")
    for name in ("Thumbs.db", ".DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    left_out: dict[Path, str] = {}
    assert find_files([tmp_path], left_out) == [tmp_path / "no ending", tmp_path / "scan.dat"]
    assert left_out == {tmp_path / "Jane Doe.txt": "a text file", tmp_path / "notes.md": "a text file"}
    _report_left_out(left_out, keep_names=False)
    printed = capsys.readouterr().err
    assert printed.startswith("2 files in the folders are skipped")
    assert "  a text file: 2\n" in printed
    assert "Jane" not in printed
    _report_left_out({tmp_path / "notes.md": "a text file"}, keep_names=False)
    assert capsys.readouterr().err.startswith("1 file in the folders is skipped")
    _report_left_out(left_out, keep_names=True)
    assert "Jane Doe.txt" in capsys.readouterr().err
