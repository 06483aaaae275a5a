"""The audit takes the data options of a training, and says in one line what is wrong with them."""

import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from tiny_sets import draw_image, draw_mask, make_breast, make_bus_bra, make_bus_uclm

from bus_lightning.data.audit_command import main


@pytest.fixture
def audit(tmp_path, capsys):
    """Run the command: its exit code, and what it prints."""

    def run(*arguments):
        code = main([*map(str, arguments), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")])
        printed = capsys.readouterr()
        return code, " ".join(printed.out.split()), printed.err.splitlines()

    return run


def test_a_published_set_is_audited_next_to_its_published_numbers(tmp_path, audit):
    code, printed, _ = audit("data=bus_bra", f"data.root={make_bus_bra(tmp_path / 'set')}")
    assert code == 0
    assert "7 of 1,875 published images of BUS-BRA: this is a part." in printed
    assert "rows without file │ 3" in printed
    assert "4 patients." in printed
    assert "The folder can be used for classification and segmentation." in printed
    content = json.loads((tmp_path / "out/audit.json").read_text())
    assert content["rows_without_file"] == ["bus_0002-r", "bus_0005-l", "bus_0005-r"]
    assert content["described"]["devices"] == {"GE Logiq 7": 7}
    assert content["passed_over"] == {"BUSBRA/Images/bus_0099-l.png": "not in bus_data.csv"}
    assert (tmp_path / "out/audit.html").is_file()


def test_the_audit_says_which_options_do_not_change_what_it_finds(tmp_path, audit):
    root = make_bus_bra(tmp_path / "set")
    options = ("data=bus_bra", f"data.root={root}", "data.classes=[benign]")
    assert "All files were audited as they are: only a training uses data.classes." in audit(*options)[1]
    assert "only a training uses" not in audit(*options[:2])[1]


def test_a_lesion_is_in_millimetres_where_the_set_says_the_size_of_a_pixel(tmp_path, audit):
    _, printed, _ = audit("data=breast", f"data.root={make_breast(tmp_path / 'set')}")
    assert "as large as a circle with a diameter of 2 mm" in printed


def test_several_sets_are_audited_together_and_shared_frames_are_listed(tmp_path, audit, phantom):
    first = tmp_path / "first"
    shutil.copytree(phantom / "benign", first / "benign")
    (tmp_path / "second").mkdir()
    shutil.copy(phantom / "benign/benign (2).png", tmp_path / "second/renamed.png")
    draw_image(tmp_path / "second/other.png", 1)
    table = tmp_path / "second/table.csv"
    table.write_text("file\nrenamed.png\nother.png\n")
    code, printed, _ = audit(
        "data=[busi,table]", f"data.sets.busi.root={first}", f"data.table={table}", "data.columns={image: file}"
    )
    assert code == 1  # one class without masks
    assert "Same frames in two sets: 1." in printed
    across = pd.read_csv(tmp_path / "out/across.csv")
    assert across.to_dict("records") == [{"first": "busi/benign/benign (2)", "second": "table/renamed"}]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"across.csv", "audit.html", "busi", "table"}
    assert len(pd.read_csv(tmp_path / "out/table/groups.csv")) == 2
    assert "table/renamed" not in (tmp_path / "out/audit.html").read_text()  # the set stands below the picture


WRONG = {
    ("data=nope",): "Could not find 'data/nope'",
    ("data.rot=x",): "'data.rot' does not exist. Did you mean 'root'?",
    ("model=resnet50",): "model=resnet50: the audit takes a folder, data=NAME and data.KEY=VALUE, nothing else.",
    ("/tmp", "/usr"): "/tmp /usr: name one folder, or data=NAME data.root=FOLDER.",
    ("/tmp", "data=busi"): "/tmp data=busi: name one folder, or data=NAME data.root=FOLDER.",
    ("data=[busi,breast]", "data.root=/tmp"): "data.root=/tmp is one folder for 2 data sets",
    ("data=bus_bra", "data.root=/no/such"): "No data folder at /no/such (data.root).",
    ("data=table",): "data=table needs data.table=FILE, a CSV, XLSX or Parquet that names the images.",
    ("data.root=a,b",): "data.root=a,b: several values make a grid",
    ("data=table", 'data.columns="{image: file}"'): "data.columns={image: file}: give a group of options, or null.",
    ("data=table", "data.sets.table=x"): "data.sets.table=x: give a group of options, or null.",
    ("data=table", "data.columns={image: File (1)}"): """write 'data.columns={image: "File (1)"}'""",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_a_wrong_argument_is_one_line(audit, arguments, monkeypatch, tmp_path):
    monkeypatch.delenv("TABLE_ROOT", raising=False)
    code, printed, (line,) = audit(*arguments)
    assert (code, printed) == (1, "")
    assert WRONG[arguments] in line
    assert not (tmp_path / "out").exists()


def test_words_that_the_class_map_does_not_name_are_listed_with_their_numbers(tmp_path, audit):
    for name in "abc":
        draw_image(tmp_path / f"{name}.png", ord(name))
    table = tmp_path / "table.csv"
    table.write_text("file,result\na.png,Benign\nb.png,4a\nc.png,4a\n")
    code, _, (line,) = audit("data=table", f"data.table={table}", "data.columns={image: file, class: result}",
                             "data.map.class={benign: [Benign]}")  # fmt: skip
    assert code == 1
    assert "data.map.class does not name (4a: 2)" in line


def test_a_folder_that_no_source_reads_is_one_line_that_says_what_to_do(tmp_path, audit):
    for name in ("archive/benign/a.png", "archive/benign/a_mask.png", "archive/malignant/b.png"):
        draw_image(tmp_path / "set" / name, 1)
    code, printed, (line,) = audit(tmp_path / "set")
    assert (code, printed) == (1, "")
    assert "holds no images: expected <class>/<name>.png" in line
    assert line.endswith(f"if benign, malignant are classes, try data=folder data.root={tmp_path / 'set/archive'}.")


def test_folders_of_images_and_masks_that_were_taken_for_classes_are_found(tmp_path, audit):
    for name in "ab":
        draw_image(tmp_path / "set/images" / f"{name}.png", 1)
        draw_mask(tmp_path / "set/masks" / f"{name}.png")
    code, printed, _ = audit(tmp_path / "set")
    assert code == 1
    advice = "images/ and masks/ have 2 equal names: try data=images_masks."
    assert advice in printed
    assert advice in (tmp_path / "out/audit.html").read_text()


def test_a_folder_may_have_any_name(tmp_path, audit, small_phantom):
    odd = shutil.copytree(small_phantom, tmp_path / "data=a,b (1) {x}")
    code, printed, _ = audit(odd)
    assert code == 0
    assert "can be used for classification" in printed


def test_the_module_runs_as_a_command(tmp_path):
    command = [sys.executable, "-m", "bus_lightning.data.audit", "data=bus_uclm",
               f"data.root={make_bus_uclm(tmp_path / 'set')}", "--out", tmp_path / "out",
               "--cache", tmp_path / "cache"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 of 683 published images of BUS-UCLM" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["data=table", "data.columns=5"], "data.columns=5: give a group of options"),
        (["data=busi", "data.root=5"], "data.root=5: give a path"),
        (["data=phantom", "data.phantom.images=x"], "data.phantom.images=x: give a whole number"),
        (["data=phantom", "data.root=null"], "data=phantom needs its folder: set data.root=FOLDER"),
        (["data=busi", "data.root=5", "data.test=busi"], "data.root=5: give"),
        (["data=busi", "data.test=busi"], "data.test=busi leaves no data set to train on"),
    ],
)
def test_an_option_of_the_wrong_kind_is_one_line(audit, arguments, line):
    code, _, errors = audit(*arguments)
    assert code == 1
    assert len(errors) == 1
    assert line in errors[0]


def test_the_sets_that_are_tested_are_audited_with_the_others(tmp_path, audit, monkeypatch):
    monkeypatch.setenv("BUS_BRA_ROOT", str(make_bus_bra(tmp_path / "bus_bra")))
    monkeypatch.setenv("BREAST_ROOT", str(make_breast(tmp_path / "breast")))
    code, _, _ = audit("data=bus_bra", "data.test=breast")
    assert code == 0
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"bus_bra", "breast"}


def test_a_name_that_is_not_utf_8_is_one_line(tmp_path, audit, small_copy):
    file = small_copy / "benign" / "benign (1).png"
    file.rename(os.fsdecode(os.fsencode(file.parent) + b"/\xff.png"))
    code, _, errors = audit(small_copy)
    assert code == 1
    assert len(errors) == 1
    assert "the name of benign/" in errors[0]
    assert "is not UTF-8: rename the file or its folder." in errors[0]


def test_ctrl_c_is_one_line_and_the_next_audit_is_whole(audit, small_copy, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bus_lightning.data.audit._decode", interrupt)
        code, printed, errors = audit(small_copy)
    assert (code, printed) == (130, "")
    assert errors == ["Stopped. The same command starts again with the first image."]
    assert audit(small_copy)[0] == 0
