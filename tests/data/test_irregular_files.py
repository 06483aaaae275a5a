"""Only regular files are read: a pipe, a device, a folder or a link without an end neither blocks nor fills memory."""

import json
import os
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.data.audit_command import main as audit
from bus_lightning.data.download import unpack
from bus_lightning.data.index import read_image, read_predicted_mask, read_single_mask
from bus_lightning.data.listing import list_folder
from bus_lightning.data.phantom import MARKER
from bus_lightning.data.prepare import prepare_data
from bus_lightning.data.splitting import make_split

ROOT = Path(__file__).parents[2]
HANGS_S = 60  # a read of a pipe or of an endless device would never end


def make_socket(file):
    previous = Path.cwd()
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(file.parent)  # the path of a socket may have a hundred characters
        made.bind(file.name)
        os.chdir(previous)


def linked(target):
    return lambda file: file.symlink_to(target)


def linked_to_pipe(file):
    pipe = file.with_name(f".{file.name}.pipe")
    os.mkfifo(pipe)
    file.symlink_to(pipe.name)


IRREGULAR = {
    "a pipe": os.mkfifo,
    "a socket": make_socket,
    "a link to a pipe": linked_to_pipe,
    "a link to a device without an end": linked("/dev/zero"),
    "a link to random bytes": linked("/dev/urandom"),
    "a folder": Path.mkdir,
    "a link to a folder": linked("/"),
    "a link to itself": lambda file: file.symlink_to(file.name),
    "a link to nothing": linked("missing"),
}


def replace_by(kind, file):
    file.unlink(missing_ok=True)
    IRREGULAR[kind](file)


@pytest.mark.parametrize("kind", IRREGULAR)
@pytest.mark.parametrize("read", [read_image, lambda path: read_single_mask(path, (8, 8))])
def test_what_is_not_a_regular_file_is_no_picture(kind, read, tmp_path):
    replace_by(kind, tmp_path / "x.png")
    with pytest.raises(UserError, match=r"x\.png cannot be read: ") as raised:
        read(tmp_path / "x.png")
    assert "\n" not in str(raised.value)


PLACES = ("benign/benign (1).png", "benign/benign (2)_mask.png", "normal/normal (1)_mask_7.png", "benign/x.dcm",
          "benign/other")  # fmt: skip


@pytest.mark.parametrize("kind", IRREGULAR)
def test_the_audit_names_an_irregular_file_anywhere_and_does_not_hang(kind, small_copy, tmp_path, capsys):
    for place in PLACES:
        replace_by(kind, small_copy / place)
    audit([str(small_copy), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")])
    written = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert "Skipped: " in capsys.readouterr().out
    for place in PLACES:
        if kind in ("a link to itself", "a link to nothing") and place.endswith(".png"):
            assert written["broken"][place].startswith(f"{place} cannot be read: ")
        elif (kind, place) != ("a folder", "benign/other"):  # an empty folder with such a name says nothing
            assert place in written["passed_over"]


@pytest.mark.parametrize("kind", [*IRREGULAR, "emptied"])
def test_a_damaged_predicted_mask_names_the_cure(kind, tmp_path):
    file = tmp_path / "mask.png"
    if kind in IRREGULAR:
        replace_by(kind, file)
    else:
        file.write_bytes(b"")
    with pytest.raises(
        DamagedError, match=r"mask\.png is damaged: .*Train its segmenter again with rerun=true"
    ) as raised:
        read_predicted_mask(file, (8, 8))
    assert "\n" not in str(raised.value)
    assert "skip_unreadable" not in str(raised.value)


def test_a_link_to_a_folder_is_not_followed(small_copy, tmp_path):
    shutil.copytree(small_copy / "benign", tmp_path / "elsewhere")
    (small_copy / "benign" / "more").symlink_to(tmp_path / "elsewhere")
    (small_copy / "benign" / "loop").symlink_to("..")
    expected = {"benign/more": "links to folders", "benign/loop": "links to folders"}
    assert list_folder(small_copy).passed_over == expected


def test_a_class_may_be_a_link_but_not_a_link_to_itself(small_copy, tmp_path):
    expected = list_folder(small_copy).images
    (small_copy / "benign").rename(tmp_path / "elsewhere")
    (small_copy / "benign").symlink_to(tmp_path / "elsewhere")
    (small_copy / "loop").symlink_to("loop")
    assert list_folder(small_copy).images == expected


@pytest.mark.parametrize("kind", IRREGULAR)
@pytest.mark.parametrize("option", ["data.exclude", "data.split.file"])
def test_a_list_is_a_regular_file(kind, option, data_config, small_phantom, tmp_path):
    file = tmp_path / "list.json"
    replace_by(kind, file)
    cfg = data_config(f"{option}={file}", "data.split.method=file", root=small_phantom)
    with pytest.raises(UserError, match=rf"{option}={file} is not ") as raised:
        prepare_data(cfg.data, needs_masks=False).split(cfg.data.split)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", ['{"train": ' + "[" * 100_000, '{"train": {"a": 1}}', '{"train": "benign"}',
                                     '{"train": [["benign"]], "test": []}', '{"train": [1, 2]}'])  # fmt: skip
def test_a_split_file_of_other_values_is_refused_in_a_line(content, tmp_path):
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(UserError, match=r"is not JSON with the lists train, val and test") as raised:
        make_split(None, {}, method="file", file=str(tmp_path / "split.json"))
    assert "\n" not in str(raised.value)


def test_a_list_of_excluded_images_is_never_fetched_or_unpacked(data_config, small_phantom, tmp_path):
    with zipfile.ZipFile(tmp_path / "ids.csv.zip", "w") as archive:
        archive.writestr("ids.csv", "id\nbenign/benign (1)\n")
    for place in (tmp_path / "ids.csv.zip", "http://localhost:9/ids.csv"):
        cfg = data_config(f"data.exclude={place}", root=small_phantom)
        with pytest.raises(UserError, match="is not a CSV"):
            prepare_data(cfg.data, needs_masks=False)


@pytest.mark.parametrize("kind", IRREGULAR)
def test_a_zip_is_a_regular_file(kind, tmp_path):
    replace_by(kind, tmp_path / "busi.zip")
    with pytest.raises(UserError, match=r"busi\.zip"):
        unpack(tmp_path / "busi.zip", tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("damage", [*IRREGULAR, "cut off", "emptied", "zeroed", "another type", "nested deeply"])
def test_a_damaged_marker_lets_the_phantom_be_drawn_again(damage, data_config, tmp_path, caplog):
    root = tmp_path / "phantom"
    cfg = data_config(f"data.cache={tmp_path / 'cache'}", root=root)
    cfg.data.phantom = {"images": 12, "seed": 0}
    prepare_data(cfg.data, needs_masks=True)
    picture = root / "benign/benign (1).png"
    whole, text = picture.read_bytes(), (root / MARKER).read_text()
    Image.new("RGB", (64, 64)).save(picture)
    contents = {
        "cut off": text[:9],
        "emptied": "",
        "zeroed": "\0" * 9,
        "another type": "[1]",
        "nested deeply": "[" * 99,
    }
    if damage in IRREGULAR:
        replace_by(damage, root / MARKER)
    else:
        (root / MARKER).write_text(contents[damage])
    caplog.clear()
    prepare_data(cfg.data, needs_masks=True)
    lines = [record.getMessage() for record in caplog.records if MARKER in record.getMessage()]
    assert lines == [f"{root / MARKER} is damaged: the images of its folder are drawn again."]
    assert picture.read_bytes() == whole
    assert (root / MARKER).read_text() == text


@pytest.mark.parametrize("kind", ["a link to a pipe", "a link to a device without an end"])
def test_training_does_not_hang(kind, small_copy, tmp_path):
    for place in PLACES:
        replace_by(kind, small_copy / place)
    code = (
        "import sys; from pathlib import Path; from omegaconf import OmegaConf; "
        "from bus_lightning.data.prepare import prepare_data; "
        "data = OmegaConf.load(Path(sys.argv[1]) / 'conf/data/default.yaml'); "
        "data.root, data.cache, data.classes = sys.argv[2], sys.argv[3], None; "
        "print(len(prepare_data(data, needs_masks=False).frame))"
    )
    command = [sys.executable, "-c", code, str(ROOT), str(small_copy), str(tmp_path / "cache")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=HANGS_S, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) == 11
    assert "pipes or devices" in ran.stderr
