"""Files in a data folder are read by their content; skipped files are counted and named."""

import io
import json
import logging
import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data.audit_command import main
from bus_lightning.data.index import read_image, read_index
from bus_lightning.data.listing import HIDDEN, describe_skipped, list_folder
from bus_lightning.data.prepare import prepare_data

GREY = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
DICOM = bytes(128) + b"DICM" + bytes(50)


def encoded(kind, array=GREY, **options):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Write files into a folder and return it."""

    def make(files):
        for name, content in files.items():
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / "set"

    return make


@pytest.mark.parametrize(
    ("name", "kind"),
    [("x.jpg", "JPEG"), ("x.JPEG", "JPEG"), ("x.bmp", "BMP"), ("x.tif", "TIFF"), ("x.TIFF", "TIFF"), ("x.PNG", "PNG"),
     ("x.png", "JPEG"), ("x.jpg", "PNG"), ("x", "PNG"), ("x.dat", "JPEG"), ("x.jfif", "JPEG"), ("x.2.5", "BMP")],
)  # fmt: skip
def test_pictures_are_read_by_their_content(name, kind, folder):
    root = folder({f"benign/{name}": encoded(kind), "malignant/y.png": encoded("PNG")})
    frame = read_index(root)
    assert frame["image"].tolist() == [f"benign/{name}", "malignant/y.png"]
    assert read_image(root / frame["image"][0]).shape == (40, 50, 3)


def test_the_id_of_a_png_is_its_path_without_ending_and_others_keep_theirs(folder):
    files = ("a.png", "a.jpg", "a.bmp", "b.PNG", "c.v2.png")
    root = folder({f"benign/{name}": encoded("PNG") for name in files})
    assert read_index(root)["id"].tolist() == ["benign/a", "benign/a.bmp", "benign/a.jpg", "benign/b", "benign/c.v2"]


@pytest.mark.parametrize("other", ["a.PNG", "a"])
def test_two_files_with_one_id_are_refused(other, folder):
    root = folder({"benign/a.png": encoded("PNG"), f"benign/{other}": encoded("PNG")})
    with pytest.raises(UserError, match=r"have the same id, 'benign/a': rename"):
        read_index(root)


@pytest.mark.parametrize("mask", ["x_mask.png", "x_mask.bmp", "x_Mask.PNG", "x_mask_1.tif"])
def test_masks_of_any_format_belong_to_the_image_of_their_stem(mask, folder):
    root = folder({"benign/x.jpg": encoded("JPEG"), f"benign/{mask}": encoded("PNG")})
    assert read_index(root)["masks"].tolist() == [(f"benign/{mask}",)]


PASSED_OVER = {
    "benign/scan.dcm": (DICOM, "in DICOM, which training does not read: save each as PNG"),
    "benign/IM_0001": (DICOM, "in DICOM, which training does not read: save each as PNG"),
    "benign/notes.txt": (b"a benign one", "a text file"),
    "benign/clip.mp4": (b"\0\0\0\x18ftypisom" + bytes(40), "videos"),
    "benign/web.webp": (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP picture: save it as PNG"),
    "benign/a.png~": (encoded("PNG"), "backup"),
    "benign/a.png.bak": (encoded("PNG"), "backup"),
    "benign/a.png.1": (encoded("PNG"), "backup"),
    "benign/nothing": (b"", "empty (0 bytes)"),
    "benign/images/deep.png": (encoded("PNG"), "in subfolders of the class folders"),
    "benign/masks/deep.JPG": (encoded("JPEG"), "in subfolders of the class folders"),
    "lost.png": (encoded("PNG"), "outside the class folders"),
    "benign/.hidden.png": (encoded("PNG"), HIDDEN),
    "benign/Thumbs.db": (b"\xd0\xcf\x11\xe0", HIDDEN),
    "benign/.DS_Store": (b"\0\0\0\1Bud1", HIDDEN),
}


@pytest.mark.parametrize("file", PASSED_OVER)
def test_a_skipped_file_is_named_with_the_reason(file, folder):
    content, reason = PASSED_OVER[file]
    root = folder({"benign/a.png": encoded("PNG"), file: content})
    listed = list_folder(root)
    assert listed.images == {"benign/a": "benign/a.png"}
    assert list(listed.passed_over) == [file]
    assert listed.passed_over[file].startswith(reason)


def test_a_pipe_is_not_opened_and_a_broken_link_is_still_listed(folder):
    root = folder({"benign/a.png": encoded("PNG")})
    os.mkfifo(root / "benign/pipe.png")
    (root / "benign/link.png").symlink_to("nowhere.png")
    (root / "benign/copy.png").symlink_to("a.png")
    listed = list_folder(root)
    assert listed.passed_over == {"benign/pipe.png": "pipes or devices"}
    assert list(listed.images) == ["benign/a", "benign/copy", "benign/link"]
    with pytest.raises(UserError, match=r"link\.png cannot be read"):
        read_image(root / "benign/link.png")


def test_skipped_files_are_counted_by_reason_with_names():
    many = {f"benign/{k}.dcm": "in DICOM" for k in range(5)} | {"benign/a.txt": "a text file"}
    expected = "5 files (benign/0.dcm, benign/1.dcm, ...): in DICOM; 1 file (benign/a.txt): a text file"
    assert describe_skipped(many) == expected


def test_a_folder_without_images_says_what_it_holds_instead(folder):
    root = folder({"train/benign/x.png": encoded("PNG"), "train/malignant/y.png": encoded("PNG")})
    with pytest.raises(UserError, match=r"holds no images.*2 files \(train/benign/x.*: in subfolders"):
        read_index(root)
    (root / "benign").mkdir()
    (root / "benign/x.dcm").write_bytes(DICOM)
    with pytest.raises(UserError, match=r"1 file \(benign/x.dcm\): in DICOM, which training does not read"):
        read_index(root)


@pytest.fixture
def mixed(small_copy):
    """A phantom folder with one image as JPEG and some files that are none."""
    image = small_copy / "benign/benign (1).png"
    with Image.open(image) as opened:
        opened.convert("RGB").save(image.with_suffix(".jpg"), quality=95)
    image.unlink()
    (small_copy / "benign/a.dcm").write_bytes(DICOM)
    (small_copy / "normal/.DS_Store").write_bytes(b"x")
    return small_copy


def test_training_reports_skipped_files_once(mixed, data_config, caplog):
    caplog.set_level(logging.INFO)
    data = prepare_data(data_config(root=mixed).data, needs_masks=True)
    assert len(data.frame) == 12
    assert data.frame.set_index("id").loc["benign/benign (1).jpg", "masks"] == ("benign/benign (1)_mask.png",)
    messages = [record.getMessage() for record in caplog.records if "skipped: " in record.getMessage()]
    reason = "in DICOM, which training does not read: save each as PNG"
    assert messages == [f"{mixed}: skipped: 1 file (benign/a.dcm): {reason}."]


def test_a_whole_folder_gives_no_message(small_copy, data_config, caplog):
    prepare_data(data_config(root=small_copy).data, needs_masks=True)
    assert "skipped: " not in caplog.text


def test_the_audit_names_every_skipped_file(mixed, tmp_path, capsys):
    assert main([str(mixed), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]) == 0
    assert "Skipped: " in capsys.readouterr().out
    written = json.loads((tmp_path / "out/audit.json").read_text())
    assert written["passed_over"].keys() == {"benign/a.dcm", "normal/.DS_Store"}
    assert written["summary"]["passed_over"] == 2


@pytest.mark.parametrize("listed", ["benign/benign (1).jpg", "benign/benign (1)", "benign/benign (2).png"])
def test_images_are_left_out_by_id_or_path_with_or_without_ending(listed, mixed, data_config, tmp_path):
    (tmp_path / "out.csv").write_text(f"id\n{listed}\n")
    data = prepare_data(data_config(f"data.exclude={tmp_path / 'out.csv'}", root=mixed).data, needs_masks=True)
    assert len(data.frame) == 11
    assert not any(image.startswith(listed.partition(")")[0]) for image in data.frame["image"])


def test_a_tiff_of_several_pages_is_refused_and_not_cut_to_its_first(small_copy, data_config):
    pages = [Image.fromarray(np.roll(GREY, k)) for k in range(3)]
    pages[0].save(small_copy / "benign/pages.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match=r"benign/pages\.tif .* holds 3 pictures: save each in a separate file"):
        prepare_data(data_config(root=small_copy).data, needs_masks=False)


def test_ids_of_a_folder_of_png_stay_what_they_were(phantom):
    files = sorted(path.relative_to(phantom).as_posix() for path in phantom.glob("*/*.png") if "_mask" not in path.name)
    assert read_index(phantom)["id"].tolist() == sorted(file.removesuffix(".png") for file in files)
    assert pd.Series(read_index(phantom)["image"]).tolist() == [f"{id_}.png" for id_ in read_index(phantom)["id"]]
