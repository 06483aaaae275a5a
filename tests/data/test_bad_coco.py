"""A COCO file with a mistake is refused in one line before a mask is drawn."""

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_sources import make_coco
from tiny_sets import SIZE, draw_mask

from bus_lightning.core.errors import UserError
from bus_lightning.data.index import read_image, read_mask
from bus_lightning.data.sources import coco, outlines


def refuse(read) -> str:
    with pytest.raises(UserError) as refused:
        read()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def change(path: Path, edit) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def read_coco(root: Path):
    return coco.read(root, {"cache": root.parent / "cache"})


def refuse_coco(tmp_path: Path, edit) -> str:
    root = make_coco(tmp_path / "set")
    change(root / "annotations.json", edit)
    line = refuse(lambda: read_coco(root))
    assert "annotations.json" in line
    assert not (tmp_path / "cache").exists() or not any(tmp_path.glob("cache/*/*.png"))
    return line


def segmentation(value):
    def edit(content):
        content["annotations"][0]["segmentation"] = value

    return edit


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ([[1, 2, 3, 4]], "has no polygon that can be drawn: it needs a list of x, y of three or more points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "has no polygon that can be drawn"),
        ([[1, 2, 3, 4, "x", 6]], "has no polygon that can be drawn"),
        ("text", "has no polygon that can be drawn"),
        ([[1, 2, 3, 4, 5, 1e9]], "has points far outside of its image, 48 x 48"),
        ([[1, 2, 3, 4, 5, float("nan")]], "has points far outside of its image, 48 x 48"),
        ({"size": [SIZE, SIZE], "counts": [SIZE, SIZE]}, f"has run lengths of {2 * SIZE} pixels for {SIZE * SIZE}"),
        ({"size": [SIZE, SIZE], "counts": [-1, SIZE * SIZE + 1]}, "has no run lengths, a list of whole numbers"),
        ({"size": [SIZE, SIZE], "counts": "ooooooooooooo"}, "has compressed run lengths that cannot be read"),
        ({"size": [SIZE, SIZE], "counts": "\u00e9"}, "has compressed run lengths that cannot be read"),
        ({"size": [SIZE, SIZE], "counts": "1"}, "has run lengths of 1 pixels"),
        ({"counts": [SIZE * SIZE]}, "has another size than its image"),
    ],
)  # fmt: skip
def test_an_outline_that_does_not_fit_is_refused_before_it_reaches_the_decoder(
    tmp_path: Path, monkeypatch, value, line
):
    monkeypatch.setattr(outlines, "decode_run_lengths", lambda code: pytest.fail("decoded"))
    assert f"image 0, annotation 1 {line}" in refuse_coco(tmp_path, segmentation(value))


def test_an_outline_that_is_too_long_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(outlines, "_LONGEST", 50)
    assert "has an outline of 80 pixels: simplify it" in refuse_coco(tmp_path, lambda content: None)


def test_compressed_run_lengths_are_read_as_pycocotools_reads_them():
    codec = pytest.importorskip("pycocotools.mask")
    for seed, shape in enumerate([(48, 48), (7, 300), (300, 7), (1, 1)]):
        mask = (np.random.default_rng(seed).random(shape) > (0.5, 0.01, 0.99, 0)[seed]).astype(np.uint8)
        code = codec.encode(np.asfortranarray(mask))
        outline = {"size": list(shape), "counts": code["counts"].decode()}
        drawn = outlines.draw_outlines([{"id": 1, "segmentation": outline}], shape, "x")
        assert (drawn == mask).all()


def entry(kind, position, **changes):
    def edit(content):
        for key, value in changes.items():
            if value is None:
                del content[kind][position][key]
            else:
                content[kind][position][key] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (entry("images", 0, width=SIZE + 1), "is 49 x 48 pixels in the JSON, and 48 x 48 in"),
        (entry("images", 0, height=None), "is 48 x None pixels in the JSON"),
        (entry("images", 0, file_name=None), "image 0 has no file_name"),
        (entry("images", 0, file_name="../../x.png"), "leads out of"),
        (entry("images", 0, file_name="/etc/x.png"), "is a path of another machine or folder"),
        (entry("images", 0, id=[1]), "has no list 'images' of entries with an id"),
        (entry("images", 0, id=1), "the image id '1' is there more than once"),
        (entry("annotations", 0, image_id={}), "the images of 1 annotations are not among its images"),
        (entry("annotations", 0, category_id=7), "annotation 1 has a category that is not among the categories"),
        (entry("categories", 0, name=None), "category 1 has no name"),
        (
            lambda content: content["categories"].append({"id": 1, "name": "malignant"}),
            "the category id '1' is there more than once",
        ),
        (lambda content: content.pop("categories"), "has no list 'categories'"),
    ],
)
def test_a_coco_file_with_a_mistake_is_one_line(tmp_path: Path, edit, line):
    assert line in refuse_coco(tmp_path, edit)


def test_damaged_masks_of_coco_are_drawn_again(tmp_path: Path, caplog):
    root = make_coco(tmp_path / "set")
    masks = [Path(mask) for masks in read_coco(root).frame["masks"] for mask in masks]
    whole = [mask.read_bytes() for mask in masks]
    read_coco(root)
    assert caplog.text == ""
    draw_mask(masks[0], box=(0, 0, 5, 5))  # as large, and of another lesion
    read_coco(root)
    assert [mask.read_bytes() for mask in masks] == whole
    assert "the masks are drawn again: one is missing, or its checksum differs" in caplog.text


def test_an_image_that_a_camera_has_turned_has_its_outlines_as_it_is_shown(tmp_path: Path):
    root, turned = make_coco(tmp_path / "set"), Image.Exif()
    turned[0x0112] = 6  # to be shown with a quarter turn
    Image.new("RGB", (30, SIZE)).save(root / "images/frame0.png", exif=turned)

    def state_upright_size(content):
        content["images"][0] |= {"height": 30, "width": SIZE}
        content["annotations"][0]["segmentation"] = [[10, 10, 30, 10, 30, 20, 10, 20]]

    change(root / "annotations.json", state_upright_size)
    row = read_coco(root).frame.iloc[0]
    shape = read_image(root / row["image"]).shape[:2]
    assert shape == (30, SIZE)
    assert read_mask(root, row["masks"], shape)[10:20, 10:30].all()


def test_images_without_a_video_are_not_of_one_patient(tmp_path: Path):
    root = make_coco(tmp_path / "set")
    change(root / "annotations.json", lambda content: [image.update(video_id=None) for image in content["images"]])
    assert read_coco(root).frame["patient"].tolist() == ["", "", ""]


def test_the_id_of_a_coco_image_never_becomes_a_path(tmp_path: Path):
    root = make_coco(tmp_path / "set")
    name = "../../evil"

    def edit(content):
        content["images"][0]["id"] = content["annotations"][0]["image_id"] = name

    change(root / "annotations.json", edit)
    read_coco(root)
    assert not list(tmp_path.rglob("*evil*"))
    assert len(list((tmp_path / "cache").glob("coco-*/*.png"))) == 2


def test_a_coco_box_gives_a_class_without_a_mask(tmp_path: Path):
    root = make_coco(tmp_path / "set")
    change(root / "annotations.json", entry("annotations", 0, segmentation=[]))
    index = read_coco(root)
    assert index.frame["masks"].map(len).tolist() == [0, 1, 0]
    assert index.frame["class"].tolist() == ["benign", "malignant", "normal"]
    assert index.notes == ["1 of 2 annotations have no outline: they give only the class."]


def test_an_image_with_an_outline_of_one_lesion_and_a_box_of_another_has_no_mask(tmp_path: Path):
    root = make_coco(tmp_path / "set")
    box = {"id": 3, "image_id": 0, "category_id": 1, "bbox": [1, 1, 5, 5], "segmentation": []}
    change(root / "annotations.json", lambda content: content["annotations"].append(box))
    index = read_coco(root)
    assert index.frame["masks"].map(len).tolist() == [0, 1, 0]
    assert index.notes[-1] == "1 images have no mask: only a part of their annotations has an outline."


def test_coco_images_are_found_next_to_their_json(tmp_path: Path):
    root = make_coco(tmp_path / "set")
    (root / "images").rename(root / "train")
    (root / "annotations.json").rename(root / "train" / "annotations.json")
    assert read_coco(root).frame["image"].tolist() == [f"train/frame{number}.png" for number in range(3)]


def test_coco_categories_are_mapped_and_all_unknown_ones_are_counted(tmp_path: Path):
    root = make_coco(tmp_path / "set", name="cancer")
    options = {"cache": tmp_path / "cache", "map": {"class": {"benign": []}}}
    assert "categories has values that data.map.class does not name (cancer: 1)" in refuse(
        lambda: coco.read(root, options)
    )


def test_masks_that_another_job_draws_meanwhile_are_not_drawn_again(tmp_path: Path, monkeypatch):
    root, made = make_coco(tmp_path / "set"), []

    def other_job(place):
        if not made:
            made.append(place)
            read_coco(root)
            monkeypatch.setattr(coco, "draw_outlines", lambda *_: pytest.fail("drawn again"))
        return nullcontext()

    monkeypatch.setattr(coco, "FileLock", other_job)
    assert all(Path(mask).is_file() for masks in read_coco(root).frame["masks"] for mask in masks)
    assert made


def test_a_missing_pycocotools_is_named_with_its_install_command(tmp_path: Path, monkeypatch):
    root = make_coco(tmp_path / "set")
    monkeypatch.setitem(__import__("sys").modules, "pycocotools", None)
    line = refuse(lambda: read_coco(root))
    assert line == "data=coco needs pycocotools, which is not installed: pip install 'bus_lightning[coco]'"
