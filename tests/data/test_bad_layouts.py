"""A layout with a mistake is refused in one line before anything is drawn or trained, and no read is endless."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from test_sources import make_nnunet
from tiny_sets import SIZE, draw_image, draw_mask, make_breast, make_bus_bra, make_bus_uclm, make_udiat

from bus_lightning.core.errors import UserError
from bus_lightning.data import walking
from bus_lightning.data.audit import audit_folder
from bus_lightning.data.index import read_mask
from bus_lightning.data.sources import breast, bus_bra, bus_uclm, coco, folder, nnunet, table, udiat
from bus_lightning.data.sources.guessing import guess_layout
from bus_lightning.data.walking import walk

NAMES = {"background": 0, "benign": 1, "malignant": 2}


def refuse(read) -> str:
    with pytest.raises(UserError) as refused:
        read()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def refuse_stream(stream):
    raise UserError("announces too much")


def change(path: Path, edit) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("case", ["several channels", "no picture", "no label", "no pictures", "twice", "both parts"])
def test_an_nnunet_folder_with_a_mistake_is_one_line(tmp_path: Path, case):
    root = make_nnunet(tmp_path, NAMES)
    label = root / "labelsTr" / "case0.png"
    if case == "several channels":
        Image.new("RGB", (SIZE, SIZE)).save(label)
        line = "case0.png has 3 channels: a label has one"
    elif case == "no picture":
        label.write_text("x")
        line = "case0.png is not an image: replace the file."
    elif case == "no label":
        change(root / "dataset.json", lambda content: content.update(labels={"0": "background", "1": "benign"}))
        line = "has no labels such as {background: 0, benign: 1}: write them so"
    elif case == "no pictures":
        for file in (root / "imagesTr").iterdir():
            file.rename(file.with_suffix(".nii.gz"))
        change(root / "dataset.json", lambda content: content.update(file_ending=".nii.gz"))
        line = "in imagesTr with labels of the same CASE in labelsTr; its files end in .nii.gz: save them as PNG"
    elif case == "twice":
        change(root / "dataset.json", lambda content: content["labels"].update(cyst=1))
        line = "names the label 1 twice"
    else:
        change(root / "splits_final.json", lambda content: content[0]["val"].append("case0"))
        line = "fold 0 names case0 both in train and in val"
    assert line in refuse(lambda: nnunet.read(root, {}))


def test_an_nnunet_label_whose_header_announces_too_much_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch):
    root = make_nnunet(tmp_path, NAMES)
    monkeypatch.setattr(nnunet, "checked", refuse_stream)
    assert "case0.png cannot be read: announces too much" in refuse(lambda: nnunet.read(root, {}))


def test_an_nnunet_image_without_a_label_is_left_out_with_the_reason(tmp_path: Path):
    root = make_nnunet(tmp_path, NAMES)
    (root / "labelsTr" / "case1.png").unlink()
    (root / "splits_final.json").unlink()
    index = nnunet.read(root, {})
    assert index.frame["id"].tolist() == ["case0", "case2"]
    assert index.skipped == {"imagesTr/case1_0000.png": "images without a label in labelsTr"}


def make_two_folders(root: Path, masks: str = "masks", ending: str = "") -> Path:
    for number, kind in enumerate(("Benign", "Malignant")):
        for name in ("01", "02"):
            draw_image(root / kind / "images" / f"{name}.png", number)
            draw_mask(root / kind / masks / f"{name}{ending}.png")
    return root


@pytest.mark.parametrize(("masks", "ending"), [("masks", ""), ("mask", "_mask")])
def test_classes_with_a_folder_of_images_and_one_of_masks_are_read(tmp_path: Path, masks, ending):
    root = make_two_folders(tmp_path, masks, ending)
    draw_mask(root / "Benign" / masks / "01_mask_1.png")
    draw_image(root / "normal" / "images" / "03.png", 9)
    index = folder.read(root, {})
    rows = index.frame.set_index("id")
    assert rows["class"].tolist() == ["Benign", "Benign", "Malignant", "Malignant", "normal"]
    assert rows.loc["Benign/images/01", "masks"] == (
        f"Benign/{masks}/01{ending}.png",
        f"Benign/{masks}/01_mask_1.png",
    )
    assert rows.loc["normal/images/03", "masks"] == ()
    assert index.skipped == {}
    assert index.orphans == []
    assert read_mask(root, rows.loc["Malignant/images/02", "masks"], (SIZE, SIZE)).sum() == 400


def test_a_folder_that_holds_all_images_once_more_is_left_out_with_a_line(tmp_path: Path):
    root = make_two_folders(tmp_path)
    draw_image(root / "All" / "images" / "1.png", 0)
    draw_mask(root / "All" / "masks" / "1.png")
    index = folder.read(root, {})
    assert set(index.frame["class"]) == {"Benign", "Malignant"}
    assert index.notes == ["All is left out: it holds the images of the other folders once more."]
    assert index.skipped == {"All/images/1.png": "once more in All", "All/masks/1.png": "once more in All"}


def test_two_folders_per_class_may_lie_below_parts(tmp_path: Path):
    for part in ("train", "test"):
        make_two_folders(tmp_path / part)
    frame = folder.read(tmp_path, {}).frame
    assert frame["parts_1"].value_counts().to_dict() == {("train",): 4, ("test",): 4}
    assert frame["masks"].tolist()[0] == ("test/Benign/masks/01.png",)


def test_a_set_with_one_folder_of_images_is_not_read_as_classes(tmp_path: Path):
    root = make_bus_uclm(tmp_path)
    assert "holds no images" in refuse(lambda: folder.read(root, {}))


def test_a_folder_of_two_folders_per_class_is_recognised(tmp_path: Path):
    assert guess_layout(make_two_folders(tmp_path)).endswith("try data=folder.")


@pytest.mark.parametrize(
    ("make", "source", "table_name", "name"),
    [(make_bus_bra, bus_bra, "BUSBRA/bus_data.csv", "ID 'bus_0001-l'"),
     (make_bus_uclm, bus_uclm, "BUS-UCLM/INFO.csv", "image 'ALWI_000.png'")],
)  # fmt: skip
def test_a_row_that_occurs_twice_is_refused(tmp_path: Path, make, source, table_name, name):
    path = make(tmp_path) / table_name
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[1]]))
    assert f"the {name} is there more than once" in refuse(lambda: source.read(tmp_path, {}))


@pytest.mark.parametrize(
    ("make", "source", "column"), [(make_breast, breast, "Image_filename"), (make_udiat, udiat, "Image")]
)
def test_a_row_of_a_workbook_that_occurs_twice_is_refused(tmp_path: Path, make, source, column):
    import openpyxl

    root = make(tmp_path)
    (path,) = root.rglob("*.xlsx")
    book = openpyxl.load_workbook(path)
    page = book.worksheets[0]
    (position,) = (cell.column for cell in page[1] if cell.value == column)
    page.cell(3, position).value = page.cell(2, position).value
    book.save(path)
    assert "is there more than once" in refuse(lambda: source.read(root, {}))


def test_a_missing_class_in_a_published_table_is_refused(tmp_path: Path):
    path = make_bus_bra(tmp_path) / "BUSBRA" / "bus_data.csv"
    path.write_text(path.read_text().replace("bus_0001-l,1,fibroadenoma,malignant", "bus_0001-l,1,fibroadenoma,"))
    assert "gives bus_0001-l no class (1 such images)" in refuse(lambda: bus_bra.read(tmp_path, {}))


def test_a_fold_that_is_no_number_is_one_line(tmp_path: Path):
    path = make_bus_bra(tmp_path) / "BUSBRA" / "5-fold-cv.csv"
    path.write_text(path.read_text().replace("bus_0001-l,malignant,1,", "bus_0001-l,malignant,one,"))
    assert "row 2: the flags of bus_0001-l do not fit its fold, one" in refuse(lambda: bus_bra.read(tmp_path, {}))


def test_a_missing_mask_of_breast_is_named_with_its_row(tmp_path: Path):
    root = make_breast(tmp_path)
    next(root.rglob("case002_tumor2.png")).unlink()
    assert "row 3: the mask case002_tumor2.png is not in" in refuse(lambda: breast.read(root, {}))


def test_a_mask_of_another_size_is_found_before_training(tmp_path: Path):
    draw_image(tmp_path / "us" / "a.png", 1)
    (tmp_path / "gt").mkdir()
    Image.new("1", (SIZE, SIZE // 2)).save(tmp_path / "gt" / "a.png")
    (tmp_path / "t.csv").write_text("File,M\nus/a.png,gt/a.png\n")
    index = table.read(tmp_path, {"table": tmp_path / "t.csv", "columns": {"image": "File", "mask": "M"}})
    audit = audit_folder(tmp_path, index, progress=False)
    assert audit.problems["mask_size_mismatch"] == ["gt/a.png"]
    assert audit.broken["gt/a.png"].startswith("gt/a.png is 48x24 pixels but its image 48x48. Fix the mask")


def test_a_walk_ends_at_a_number_and_a_depth_and_follows_no_link(tmp_path: Path, monkeypatch):
    for name in ("b/2.txt", "a/1.txt", "3.txt", ".hidden/4.txt", "a/.5.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a" / "self")
    os.mkfifo(tmp_path / "pipe")
    names = [path.relative_to(tmp_path).as_posix() for path in walk(tmp_path)]
    assert names == ["3.txt", "pipe", "a/1.txt", "a/self", "b/2.txt"]
    assert "has more than 3 files and folders: set data.root" in refuse(lambda: list(walk(tmp_path, 3)))
    monkeypatch.setattr(walking, "DEEPEST", 1)
    (tmp_path / "b" / "c" / "d").mkdir(parents=True)
    assert "lies more than 1 folders deep: set data.root" in refuse(lambda: list(walk(tmp_path)))


@pytest.mark.parametrize("read", [breast.read, coco.read, folder.read])
def test_no_reader_walks_through_a_whole_disk(tmp_path: Path, monkeypatch, read):
    monkeypatch.setattr(walking, "DEEPEST", 2)
    (tmp_path / "class" / "1" / "2" / "3" / "4" / "5").mkdir(parents=True)
    assert "folders deep: set data.root to the folder of the data set" in refuse(lambda: read(tmp_path, {}))
