"""The commands that bring images end with one line after Ctrl-C, and where their folder cannot be made."""

import pytest

from bus_lightning.data import download, phantom


def interrupted(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("below", ["taken", "taken/set"])
def test_a_file_in_the_place_of_the_folder_is_one_line(below, tmp_path, capsys):
    for name in ("taken", "x.zip"):
        (tmp_path / name).write_text("")
    assert download.main(["--zip", str(tmp_path / "x.zip"), "--out", str(tmp_path / below)]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "taken" in line
    with pytest.raises(SystemExit) as ended:
        phantom.main([str(tmp_path / below)])
    assert ended.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_ctrl_c_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(download, "download", interrupted)
    assert download.main(["--out", str(tmp_path / "set")]) == 130
    assert capsys.readouterr().err == "Stopped: nothing was unpacked. The same command starts again.\n"
    monkeypatch.setattr(phantom, "draw_phantom", interrupted)
    with pytest.raises(SystemExit) as ended:
        phantom.main([str(tmp_path / "drawn")])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Stopped: nothing was drawn.\n"
