"""Published data sets are read in the layouts that they have, with their quirks."""

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from tiny_sets import SIZE, draw_image, draw_mask, make_breast, make_bus_bra, make_bus_uclm, make_udiat

from bus_lightning.core.errors import UserError
from bus_lightning.data.index import read_mask
from bus_lightning.data.sources import breast, bus_bra, bus_uclm, busi, coco, folder, images_masks, nnunet, udiat
from bus_lightning.data.sources.guessing import guess_layout
from bus_lightning.data.sources.registry import SOURCES, get_source
from bus_lightning.data.sources.source_index import COLUMNS, NO_CLASS
from bus_lightning.data.splitting import make_split

BUS_BRA, BREAST, BUSI = (os.environ.get(name) for name in ("BUS_BRA_ROOT", "BREAST_ROOT", "BUSI_ROOT"))


def by_id(index):
    return index.frame.set_index("id").to_dict("index")


@pytest.mark.parametrize("name", SOURCES)
def test_each_source_has_a_card_and_refuses_an_empty_folder_in_one_line(tmp_path: Path, name):
    source = get_source(name)
    assert source.CARD.title
    table = {"table": tmp_path / "table.csv", "columns": {"image": "file"}}
    with pytest.raises(UserError) as refused:
        source.read(tmp_path, table)
    assert "\n" not in str(refused.value)
    assert str(tmp_path) in str(refused.value)


def test_bus_bra_keeps_both_halves_with_their_case(tmp_path: Path):
    index = bus_bra.read(make_bus_bra(tmp_path), {})
    rows = by_id(index)
    assert list(index.frame.columns[: len(COLUMNS)]) == list(COLUMNS)
    assert sorted(rows) == [
        f"bus_{case:04d}-{half}" for case in range(1, 5) for half in "lr" if (case, half) != (2, "r")
    ]
    assert rows["bus_0001-l"]["patient"] == rows["bus_0001-r"]["patient"] == "1"
    assert rows["bus_0003-r"] | {"parts_5": 0, "parts_10": 0} == {
        "image": "BUSBRA/Images/bus_0003-r.png", "masks": ("BUSBRA/Masks/mask_0003-r.png",), "class": "malignant",
        "patient": "3", "dataset": "bus_bra", "histology": "fibroadenoma", "birads": "5", "device": "GE Logiq 7",
        "side": "right", "parts_5": 0, "parts_10": 0,
    } | {"parts_10": 0}  # fmt: skip


def test_bus_bra_names_rows_without_files_and_files_without_rows(tmp_path: Path):
    index = bus_bra.read(make_bus_bra(tmp_path), {})
    assert index.missing == ["bus_0002-r", "bus_0005-l", "bus_0005-r"]
    assert index.skipped == {"BUSBRA/Images/bus_0099-l.png": "not in bus_data.csv"}


def test_a_published_fold_of_bus_bra_tests_the_images_of_its_number(tmp_path: Path):
    rows = by_id(bus_bra.read(make_bus_bra(tmp_path), {}))
    for case in range(1, 5):
        assert [part == "test" for part in rows[f"bus_{case:04d}-l"]["parts_5"]] == [k == case for k in range(1, 6)]
    assert set(rows["bus_0001-l"]["parts_5"]) == {"train", "val", "test"}


def test_flags_that_do_not_fit_the_fold_are_refused(tmp_path: Path):
    make_bus_bra(tmp_path)
    file = tmp_path / "BUSBRA" / "5-fold-cv.csv"
    file.write_text(file.read_text().replace("bus_0001-l,malignant,1,", "bus_0001-l,malignant,2,"))
    with pytest.raises(UserError, match="flags of bus_0001-l do not fit its fold, 2"):
        bus_bra.read(tmp_path, {})


def test_breast_counts_the_masks_of_the_tumour_alone_and_reads_millimetres(tmp_path: Path):
    index = breast.read(make_breast(tmp_path), {})
    rows = by_id(index)
    below = "BrEaST-Lesions_USG-images_and_masks"
    assert rows["case001"]["masks"] == (f"{below}/case001_tumor.png",)
    assert rows["case002"]["masks"] == (f"{below}/case002_tumor1.png", f"{below}/case002_tumor2.png")
    assert rows["case003"]["masks"] == ()
    assert rows["case003"]["class"] == "normal"
    assert rows["case001"]["mm_per_pixel"] == (0.078125, 0.078125)
    assert [rows[name]["birads"] for name in sorted(rows)] == ["2", "4b", "1"]
    assert index.missing == ["case004"]
    assert index.skipped == {f"{below}/case001_other1.png": "masks of other structures than the tumour"}
    mask = read_mask(tmp_path, rows["case002"]["masks"], (SIZE, SIZE))
    assert mask.sum() == 20 * 20 + 8 * 8  # alpha is opaque everywhere and does not count


def test_bus_uclm_reads_semicolons_and_gives_the_class_to_the_image(tmp_path: Path):
    rows = by_id(bus_uclm.read(make_bus_uclm(tmp_path), {}))
    assert [rows[name]["class"] for name in sorted(rows)] == ["benign", "malignant", "normal", "benign"]
    assert [rows[name]["patient"] for name in sorted(rows)] == ["ALWI", "ALWI", "COPE", "COPE"]
    assert [rows[name]["parts_1"] for name in sorted(rows)] == [("train",)] * 2 + [("test",)] * 2
    assert [rows[name]["doppler"] for name in sorted(rows)] == [False, True, True, True]
    assert rows["COPE_000"]["masks"] == ()
    assert read_mask(tmp_path, rows["ALWI_001"]["masks"], (SIZE, SIZE)).sum() == 400  # red
    assert read_mask(tmp_path, rows["ALWI_000"]["masks"], (SIZE, SIZE)).sum() == 400  # green


def test_udiat_ignores_the_legend_next_to_the_data(tmp_path: Path):
    index = udiat.read(make_udiat(tmp_path), {})
    assert index.frame["id"].tolist() == ["000001", "000002", "000295"]
    assert index.frame["class"].tolist() == ["benign", "malignant", "benign"]
    assert index.frame["masks"].tolist()[2] == ("Dataset B/BUS/GT/000295.png",)


def test_a_folder_with_parts_above_its_classes_has_the_published_split(tmp_path: Path):
    for number, place in enumerate(
        ("train/benign", "train/malignant", "valid/benign", "test/benign", "test/malignant")
    ):
        draw_image(tmp_path / place / "a.png", number)
        draw_mask(tmp_path / place / "a_mask.png")
    (tmp_path / "__MACOSX/train/benign").mkdir(parents=True)  # of a zip that was packed on macOS
    (tmp_path / "__MACOSX/train/benign/._a.png").write_bytes(b"x")
    rows = by_id(folder.read(tmp_path, {}))
    assert {name: row["parts_1"] for name, row in rows.items()} == {
        "train/benign/a": ("train",), "train/malignant/a": ("train",), "valid/benign/a": ("val",),
        "test/benign/a": ("test",), "test/malignant/a": ("test",),
    }  # fmt: skip
    assert rows["valid/benign/a"]["class"] == "benign"
    assert rows["valid/benign/a"]["masks"] == ("valid/benign/a_mask.png",)


def test_a_split_that_is_made_although_the_data_name_one_says_so(tmp_path: Path, caplog):
    caplog.set_level(logging.INFO)
    for number, place in enumerate(("train", "test")):
        for name in "ab":
            draw_image(tmp_path / place / "benign" / f"{name}.png", number)
    frame = folder.read(tmp_path, {}).frame
    groups = {id_: number for number, id_ in enumerate(frame["id"])}
    make_split(frame, groups, ratio=[1, 1])
    assert "grouped does not use the split that the data name (named parts): add data.split.method=publ" in caplog.text
    caplog.clear()
    assert make_split(frame, groups, "published").test == ["test/benign/a", "test/benign/b"]
    make_split(frame.drop(columns="parts_1"), groups, ratio=[1, 1])
    assert "does not use the split" not in caplog.text


def test_a_class_named_test_is_a_class(tmp_path: Path):
    draw_image(tmp_path / "test" / "a.png", 1)
    draw_image(tmp_path / "other" / "a.png", 2)
    assert set(folder.read(tmp_path, {}).frame["class"]) == {"test", "other"}


def test_two_folders_are_matched_by_name_with_or_without_an_ending(tmp_path: Path):
    for number, name in enumerate(("a", "b", "c")):
        draw_image(tmp_path / "Images" / f"{name}.jpg", number)
    draw_mask(tmp_path / "Masks" / "a.png")
    draw_mask(tmp_path / "Masks" / "b_mask.bmp")
    draw_mask(tmp_path / "Masks" / "z.png")
    index = images_masks.read(tmp_path, {})
    assert index.frame["masks"].tolist() == [("Masks/a.png",), ("Masks/b_mask.bmp",), ()]
    assert index.frame["class"].tolist() == [NO_CLASS] * 3
    assert index.orphans == ["Masks/z.png"]


def test_all_numbered_masks_of_an_image_are_taken_and_pictures_in_subfolders_are_named(tmp_path: Path):
    draw_image(tmp_path / "images" / "a.png", 1)
    draw_image(tmp_path / "images" / "more" / "b.png", 2)
    for end in ("_mask_0", "_Mask_2", "_mask_10"):
        draw_mask(tmp_path / "masks" / f"a{end}.png")
    draw_mask(tmp_path / "masks" / "a_other_1.png")
    index = images_masks.read(tmp_path, {})
    assert index.frame["masks"].tolist() == [("masks/a_mask_0.png", "masks/a_Mask_2.png", "masks/a_mask_10.png")]
    assert index.orphans == ["masks/a_other_1.png"]
    assert index.skipped == {"images/more/b.png": "in subfolders"}


def test_folders_whose_names_do_not_match_are_refused(tmp_path: Path):
    draw_image(tmp_path / "images" / "a.png", 1)
    draw_mask(tmp_path / "masks" / "x.png")
    with pytest.raises(UserError, match=r"no mask in masks has the name of an image in images .such as a and x."):
        images_masks.read(tmp_path, {})


def make_nnunet(root: Path, labels: dict[str, int]) -> Path:
    for number, value in enumerate((1, 2, 0)):
        draw_image(root / "imagesTr" / f"case{number}_0000.png", number, "L")
        draw_mask(root / "labelsTr" / f"case{number}.png", value)
    (root / "dataset.json").write_text(json.dumps({"labels": labels, "channel_names": {"0": "US"}}))
    splits = [{"train": ["case0", "case1"], "val": ["case2"]}, {"train": ["case2"], "val": ["case0", "case1"]}]
    (root / "splits_final.json").write_text(json.dumps(splits))
    return root


def test_nnunet_labels_become_classes_and_its_splits_become_folds(tmp_path: Path):
    index = nnunet.read(make_nnunet(tmp_path, {"background": 0, "benign": 1, "malignant": 2}), {})
    assert index.frame["class"].tolist() == ["benign", "malignant", "normal"]
    assert index.frame["parts_2"].tolist() == [("train", "test"), ("train", "test"), ("test", "train")]
    assert [read_mask(tmp_path, masks, (SIZE, SIZE)).sum() for masks in index.frame["masks"]] == [400, 400, 0]


def test_an_nnunet_label_that_the_json_does_not_name_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"label of case1 has the value 2, which .*dataset.json does not name"):
        nnunet.read(make_nnunet(tmp_path, {"background": 0, "tumour": 1}), {})


def make_coco(root: Path, name: str = "malignant") -> Path:
    pytest.importorskip("pycocotools")
    images, annotations = [], []
    for number in range(3):
        draw_image(root / "images" / f"frame{number}.png", number)
        images.append({"id": number, "file_name": f"frame{number}.png", "height": SIZE, "width": SIZE, "video_id": 7})
    annotations.append({"id": 1, "image_id": 0, "category_id": 1, "segmentation": [[10, 10, 30, 10, 30, 30, 10, 30]]})
    counts = [10 * SIZE + 10, 20, SIZE - 20, 20, SIZE * SIZE - 11 * SIZE - 30]
    annotations.append(
        {"id": 2, "image_id": 1, "category_id": 2, "segmentation": {"size": [SIZE, SIZE], "counts": counts}}
    )
    categories = [{"id": 1, "name": "benign"}, {"id": 2, "name": name}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(content))
    return root


def test_coco_polygons_and_run_lengths_become_masks_and_a_video_is_one_patient(tmp_path: Path):
    root = make_coco(tmp_path / "set")
    frame = coco.read(root, {"cache": tmp_path / "cache"}).frame
    assert frame["class"].tolist() == ["benign", "malignant", "normal"]
    assert frame["patient"].tolist() == ["video 7"] * 3
    assert [read_mask(root, masks, (SIZE, SIZE)).sum() for masks in frame["masks"]] == [400, 40, 0]


def test_a_coco_image_that_is_missing_is_named_and_one_that_is_annotated_only_is_refused(tmp_path: Path):
    root = make_coco(tmp_path / "set")
    (root / "images" / "frame2.png").unlink()
    assert coco.read(root, {"cache": tmp_path / "cache"}).missing == ["frame2"]
    content = json.loads((root / "annotations.json").read_text())
    content["images"].pop(1)
    (root / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(
        UserError, match=r"the images of 1 annotations are not among its images .annotation 2 has image_id 1."
    ):
        coco.read(root, {"cache": tmp_path / "cache"})


def test_run_lengths_of_another_size_are_refused(tmp_path: Path):
    root = make_coco(tmp_path / "set")
    content = json.loads((root / "annotations.json").read_text())
    content["annotations"][1]["segmentation"]["size"] = [100_000, 100_000]
    (root / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"image 1, annotation 2 has another size than its image, 48 x 48"):
        coco.read(root, {"cache": tmp_path / "cache"})


@pytest.mark.parametrize(
    ("make", "name"),
    [(make_bus_bra, "bus_bra"), (make_breast, "breast"), (make_bus_uclm, "bus_uclm"), (make_udiat, "udiat"),
     (lambda root: make_nnunet(root, {"background": 0}), "nnunet")],
)  # fmt: skip
def test_a_layout_that_a_source_cannot_read_names_the_one_that_can(tmp_path: Path, make, name):
    assert guess_layout(make(tmp_path)).endswith(f"try data={name}.")


@pytest.mark.skipif(not BUS_BRA, reason="BUS_BRA_ROOT is not set")
def test_the_real_bus_bra_is_read():
    index = bus_bra.read(Path(BUS_BRA or ""), {})
    assert (index.frame["masks"].map(len) == 1).all()
    assert set(index.frame["class"]) == {"benign", "malignant"}
    assert not index.skipped
    assert not index.orphans
    counts = len(index.frame), index.frame["patient"].nunique()
    assert counts in [(946, 535), (bus_bra.CARD.counts["images"], bus_bra.CARD.counts["patients"])]  # half, or all
    assert index.missing == []
    for folds in (5, 10):
        assert [parts.count("test") for parts in index.frame[f"parts_{folds}"]] == [1] * len(index.frame)


@pytest.mark.skipif(not BREAST, reason="BREAST_ROOT is not set")
def test_the_real_breast_is_read():
    index = breast.read(Path(BREAST or ""), {})
    assert len(index.frame) + len(index.missing) == breast.CARD.counts["images"]
    assert len(index.frame) in (109, breast.CARD.counts["images"])  # the part that tests have, or all
    assert not index.orphans
    assert (index.frame["masks"].map(len) == 0).sum() == (index.frame["class"] == "normal").sum() == 4
    sizes = np.array(index.frame["mm_per_pixel"].tolist())
    assert (sizes > 0.03).all()
    assert (sizes < 0.3).all()


@pytest.mark.busi
@pytest.mark.skipif(not BUSI, reason="BUSI_ROOT is not set")
def test_the_real_busi_is_read():
    index = busi.read(Path(BUSI or ""), {})
    counts = index.frame["class"].value_counts().to_dict() | {"images": len(index.frame)}
    assert counts == dict(busi.CARD.counts)
    assert (index.frame["masks"].map(len) > 1).sum() == 17
    assert index.frame["masks"].map(len).sum() == 798


def test_a_pipe_and_a_text_are_skipped_with_the_reason(tmp_path: Path):
    draw_image(tmp_path / "images" / "a.png", 1)
    (tmp_path / "images" / "notes.txt").write_text("x")
    os.mkfifo(tmp_path / "images" / "b.png")
    draw_mask(tmp_path / "masks" / "a.png")
    assert images_masks.read(tmp_path, {}).skipped == {
        "images/notes.txt": "not a picture", "images/b.png": "pipes or devices",
    }  # fmt: skip
