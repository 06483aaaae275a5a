"""The audit's page is one file that loads nothing, escapes every name, and shows no patient."""

import base64
import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from tiny_sets import draw_image, draw_mask, make_bus_bra

from bus_lightning.data.audit import audit_folder
from bus_lightning.data.audit_page import make_page
from bus_lightning.data.audit_pictures import choose_images, draw_small_picture
from bus_lightning.data.audited import AuditedSet
from bus_lightning.data.sources.registry import get_source, read_sets

HOSTILE = "<img src=x onerror=alert(1)> & {{ 7 * 7 }}"
PATIENT = "Mustermann-4711"


def audited(name: str, root, **options) -> AuditedSet:
    (dataset,) = read_sets({"sets": {name: {"source": options.pop("source", name)} | options}, "root": root})
    source = get_source(name if name in ("bus_bra", "folder", "busi") else "table")
    return AuditedSet(dataset, audit_folder(root, dataset.index, progress=False), source.CARD)


@pytest.fixture(scope="module")
def bus_bra(tmp_path_factory):
    return audited("bus_bra", make_bus_bra(tmp_path_factory.mktemp("set")))


@pytest.fixture
def hostile(tmp_path):
    """A table with names and classes that hold HTML, a patient, and a file that is no picture."""
    root = tmp_path / "set"
    draw_image(root / f"{HOSTILE}.png", 1)
    draw_image(root / "plain.png", 2)
    (root / f"broken {HOSTILE}.png").write_bytes(b"no picture")
    draw_mask(root / "m.png")
    rows = [f"{HOSTILE}.png;m.png;{HOSTILE};{PATIENT}", f"plain.png;;b;{PATIENT}", f"broken {HOSTILE}.png;;b;"]
    (root / "t.csv").write_text("\n".join(["file;mask;kind;patient", *rows]))
    columns = {"image": "file", "mask": "mask", "class": "kind", "patient": "patient"}
    return audited("table", root, table=str(root / "t.csv"), columns=columns)


def test_the_page_holds_the_card_and_what_does_not_fit(bus_bra):
    page = make_page([bus_bra], [])
    for text in (bus_bra.card.citation, bus_bra.card.homepage, *bus_bra.card.faults, "7 of 1,875", "1,064",
                 "Rows without a file: 3", "bus_0005-r", "not in bus_data.csv: 1", "GE Logiq 7",
                 "wrong for 2 of 60 images", "Do not publish this page."):  # fmt: skip
        assert text in page


def test_the_page_loads_nothing_and_runs_nothing(bus_bra, hostile):
    for each in (bus_bra, hostile):
        page = make_page([each], [])
        assert "<script" not in page
        assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
        assert set(re.findall(r'src="(.{5})', page)) == {"data:"}
        assert "url(" not in page
        assert "@import" not in page


def test_names_are_escaped_and_no_patient_is_shown(hostile):
    page = make_page([hostile], [])
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt; &amp; {{ 7 * 7 }}") >= 3  # picture, class, broken file
    assert PATIENT not in page
    assert "1 images have none" in page
    assert PATIENT not in str(hostile.to_json())


def test_a_broken_file_is_listed_and_has_no_picture(hostile):
    page = make_page([hostile], [])
    assert "<details open><summary>Unreadable: 1" in page
    assert "is not an image: replace the file" in page
    assert page.count("<figure>") == 2


def test_the_same_folder_gives_the_same_page(bus_bra):
    assert make_page([bus_bra], []) == make_page([bus_bra], [])


def test_near_duplicates_are_shown_those_with_several_classes_first(phantom):
    page = make_page([audited("folder", phantom)], [])
    first = page.partition('<div class="group">')[2].partition("</div>")[0]
    assert "benign/benign (9)" in first
    assert "malignant/malignant (9)" in first


def test_frames_that_two_sets_share_are_shown_side_by_side(bus_bra, hostile):
    pair = [("bus_bra/bus_0001-l", "table/plain")]
    page = make_page([bus_bra, hostile], pair)
    section = page.partition("The same frames in two sets")[2]
    assert "bus_bra and table" in section
    assert section.count("<figure>") == 2
    assert "bus_bra, malignant" in section
    assert "No image of bus_bra and table shows the same frame" in make_page([bus_bra, hostile], [])


def test_the_contact_sheet_takes_each_class_evenly():
    classes = ["a"] * 100 + ["b"] * 3 + ["c"] * 50
    chosen = choose_images(classes, 24)
    assert [sum(classes[i] == name for i in chosen) for name in "abc"] == [11, 3, 10]
    assert {0, 99, 100, 102, 103, 152} <= set(chosen)
    assert len(set(chosen)) == 24
    assert choose_images(["a", "b"], 24) == [0, 1]


def test_a_small_picture_has_the_outline_of_its_mask(tmp_path):
    Image.new("L", (640, 480), 40).save(tmp_path / "a.png")
    mask = np.zeros((480, 640), np.uint8)
    mask[100:300, 100:300] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    data, width, height = draw_small_picture(tmp_path, "a.png", ("m.png",))
    assert (width, height) == (320, 240)
    with Image.open(BytesIO(base64.b64decode(data.partition(",")[2]))) as image:
        pixels = np.array(image).astype(int)
    orange = pixels[..., 0] - pixels[..., 2] > 80
    assert orange[100, 45:55].any()
    assert orange[45:55, 100].any()
    assert not orange[70:130, 70:130].any()
    (tmp_path / "m.png").write_bytes(b"no picture")
    assert draw_small_picture(tmp_path, "a.png", ("m.png",)) is not None
    assert draw_small_picture(tmp_path, "m.png") is None
