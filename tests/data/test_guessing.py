"""A folder that no source can read gets one sentence: what it holds, and what to do."""

from pathlib import Path

import pytest
from tiny_sets import draw_image

from bus_lightning.data.file_kinds import PICTURES
from bus_lightning.data.sources.guessing import guess_layout
from bus_lightning.data.sources.registry import read_sets
from bus_lightning.data.sources.source_index import LayoutError


def make(root: Path, *files: str) -> Path:
    for seed, file in enumerate(files):
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in PICTURES:
            draw_image(path, seed)
        else:
            path.write_text("x")
    return root


ADVICE = {
    "equal names": (
        ["images/a.jpg", "images/b.jpg", "masks/a.jpg", "masks/b.jpg"],
        "{root} has 2 .jpg in images/, 2 .jpg in masks/: images/ and masks/ have 2 equal names: try data=images_masks.",
    ),
    "equal names with an ending": (["Image/a.png", "GT/a_mask.png"], "have 1 equal names: try data=images_masks."),
    "one level deeper": (["data/images/a.png", "data/masks/a.png"], "try data=images_masks data.root={root}/data."),
    "other names of masks": (["images/a.png", "masks/mask_a.png"], "differ (a, mask_a): name images and masks"),
    "folders in parts": (
        ["trainval-image/0.jpg", "trainval-image/1.jpg", "trainval-mask/0.jpg", "trainval-mask/1.jpg",
         "test-image/0.jpg", "test-mask/0.jpg", "label4trainval.csv"],
        "try data=images_masks data.images=trainval-image data.masks=trainval-mask.",
    ),
    "parts with folders": (
        ["train/images/a.png", "train/labels/a.png", "test/images/b.png", "test/labels/b.png"],
        "test, train have their own folders of images and masks: name images, masks and parts in a table",
    ),
    "classes with folders": (
        ["benign/images/x.png", "benign/mask/x_mask.png", "malignant/images/y.png", "malignant/mask/y_mask.png"],
        "if benign, malignant are classes with folders of images and masks, try data=folder.",
    ),
    "classes too deep": (
        ["archive/benign/a.png", "archive/malignant/b.png"],
        "if benign, malignant are classes, try data=folder data.root={root}/archive.",
    ),
    "all in one folder": (["a.png", "a_mask.png"], "try data=folder, or name them in a table, data=table"),
    "images and a mask by prefix": (["Test_Image_7.png", "mask_7.png"], "has 2 .png in its top folder: move"),
    "a table": (["img/benign(0).png", "label.csv"], "try data=table data.table={root}/label.csv"),
    "a folder of sets of nnU-Net": (
        ["Dataset001/imagesTr/a_0000.png", "Dataset001/labelsTr/a.png", "Dataset001/dataset.json"],
        "try data=nnunet data.root={root}/Dataset001.",
    ),
    "DICOM": (["series/1.dcm", "series/2.DCM"], "has pictures in DICOM only (2 in all), which training does not read"),
    "an archive": (["set.zip"], "has no pictures, but the archive set.zip: unpack it."),
    "videos": (["a.mp4"], "has no pictures, but videos (1 in all): save their frames as PNG"),
    "other files": (["readme.txt"], "only other files, such as readme.txt: set data.root=FOLDER."),
    "nothing": ([], "{root} is empty: set data.root=FOLDER."),
}  # fmt: skip


@pytest.mark.parametrize("name", ADVICE)
def test_the_message_names_what_a_folder_holds_and_what_to_do(tmp_path: Path, name: str):
    files, expected = ADVICE[name]
    line = guess_layout(make(tmp_path, *files))
    assert expected.format(root=tmp_path) in line
    assert line.startswith(f"{tmp_path} ")
    assert line.endswith(".")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("bus_bra", ["images/bus_0001-l.png", "bus_data.csv"]),
        ("bus_uclm", ["Images/ALWI_000.png", "INFO.csv"]),
        ("udiat", ["original/000001.png", "DatasetB.xlsx"]),
        ("breast", ["case001.png", "case001_tumor.png", "clinical.xlsx", "mine.xlsx"]),
        ("nnunet", ["Dataset001/imagesTr/a_0000.png", "Dataset001/dataset.json"]),
    ],
)
def test_no_message_advises_the_source_that_has_failed(tmp_path: Path, source: str, files: list[str]):
    options = {"sets": {source: {"source": source}}, "root": str(make(tmp_path, *files))}
    with pytest.raises(LayoutError, match=r"published with\.$|data\.root=\S+Dataset001\.$") as refused:
        read_sets(options)
    assert f"try data={source}." not in str(refused.value)


def test_files_of_the_system_are_not_counted(tmp_path: Path):
    make(tmp_path, "images/a.png", "images/._a.png", "masks/a.png", "masks/Thumbs.db", "__MACOSX/images/a.png")
    assert guess_layout(tmp_path).startswith(f"{tmp_path} has 1 .png in images/, 1 .png in masks/: ")


def test_many_folders_are_not_all_listed(tmp_path: Path):
    make(tmp_path, *(f"case{number}/a.png" for number in range(20)))
    assert "and pictures in 14 more folders: " in guess_layout(tmp_path)
