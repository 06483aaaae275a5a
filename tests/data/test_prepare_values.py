"""Which images are prepared, which messages say so, and the hash that names the choice."""

import logging

import numpy as np
import pytest
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data.index import read_image
from bus_lightning.data.phantom import MARKER
from bus_lightning.data.prepare import files_hash, prepare_data


def test_a_leftover_that_cannot_be_removed_does_not_stop_the_drawing(data_config, tmp_path):
    root = tmp_path / "drawn"
    (tmp_path / ".drawn.123").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".drawn.456").symlink_to(tmp_path / "elsewhere")  # not followed, and not removed
    cache = f"data.cache={tmp_path / 'cache'}"
    prepare_data(data_config("data.phantom={images: 12, seed: 0}", cache, root=root).data, needs_masks=True)
    assert (root / MARKER).is_file()
    assert not (tmp_path / ".drawn.123").exists()
    assert (tmp_path / "elsewhere").is_dir()


@pytest.fixture
def prepared(small_copy, data_config, caplog):
    caplog.set_level(logging.INFO)

    def make(*overrides, needs_masks=False, **options):
        return prepare_data(data_config(*overrides, root=small_copy).data, needs_masks, **options)

    return make


def test_the_content_names_the_files_and_then_the_choice_among_them(prepared, small_copy, tmp_path):
    (tmp_path / "list.csv").write_text("id\nbenign/benign (1)\n")
    whole, again, fewer = prepared(), prepared(), prepared(f"data.exclude={tmp_path / 'list.csv'}")
    other = prepared("data.classes=[benign,malignant]")
    assert whole.content == again.content
    assert len({whole.content, fewer.content, other.content}) == 3
    assert files_hash(whole.content) == files_hash(fewer.content) == files_hash(other.content)
    assert [len(part) for part in whole.content.split("-")] == [16, 16]
    assert files_hash(None) == ""
    spoil = small_copy / "normal/normal (1)_mask.png"
    assert not whole.has_changed(tmp_path)
    spoil.write_bytes(b"")
    assert whole.has_changed(tmp_path)
    broken = prepared()  # a mask that cannot be used changes the choice as well as the files
    assert files_hash(broken.content) != files_hash(whole.content)
    assert broken.content.partition("-")[2] != whole.content.partition("-")[2]


def test_an_image_is_left_out_by_any_of_its_names(prepared, tmp_path):
    names = ["benign/benign (1)", "malignant/malignant (1).png", " normal/normal (1) "]
    (tmp_path / "list.csv").write_text("\n".join(["id", *names]))
    left = prepared(f"data.exclude={tmp_path / 'list.csv'}").frame["id"].tolist()
    assert len(left) == 9
    assert not {"benign/benign (1)", "malignant/malignant (1)", "normal/normal (1)"} & set(left)


def test_an_id_leaves_out_its_image_and_not_one_with_another_extension(prepared, small_copy, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    Image.fromarray(picture).save(small_copy / "normal/normal (1).jpg")
    (tmp_path / "list.csv").write_text("id\nnormal/normal (1)\n")
    left = prepared(f"data.exclude={tmp_path / 'list.csv'}").frame["id"].tolist()
    assert "normal/normal (1).jpg" in left
    assert "normal/normal (1)" not in left


def test_two_pictures_of_one_name_never_share_a_mask(prepared, small_copy, tmp_path):
    first, second = small_copy / "benign/benign (1).png", small_copy / "benign/benign (1).jpg"
    image = read_image(first)
    Image.fromarray(image).save(second, quality=95)  # the same picture, which has the same mask
    assert len(prepared(needs_masks=True).frame) == 13
    Image.fromarray(np.random.default_rng(0).integers(0, 256, image.shape, dtype=np.uint8)).save(second)
    for options in ({"needs_masks": True}, {"uses_masks": True}):
        with pytest.raises(UserError) as refused:
            prepared(**options)
        assert str(refused.value).startswith(
            "benign/benign (1).png and benign/benign (1).jpg are different pictures, and benign/benign (1)_mask.png is "
        )
        assert "\n" not in str(refused.value)
    assert len(prepared().frame) == 13
    (tmp_path / "list.csv").write_text("id\nbenign/benign (1).jpg\n")
    assert len(prepared(f"data.exclude={tmp_path / 'list.csv'}", needs_masks=True).frame) == 12


def test_what_is_asked_for_by_id_is_taken_and_nothing_else(prepared, small_copy):
    ids = ["benign/benign (2)", "malignant/malignant (1)", "normal/normal (1)", "normal/normal (99)"]
    (small_copy / "benign/benign (3).png").write_bytes(b"")  # broken, and not asked for
    data = prepared(only=ids)
    assert data.frame["id"].tolist() == ids[:3]
    assert sorted(data.groups) == ids[:3]
    assert prepared(only=ids).content == data.content


@pytest.mark.parametrize(("needs", "uses", "times"), [(False, False, 0), (False, True, 1), (True, False, 1)])
def test_a_mask_read_by_rule_is_reported_where_masks_are_used(prepared, small_copy, caplog, needs, uses, times):
    with Image.open(small_copy / "benign/benign (1)_mask.png") as opened:
        inverted = 255 - np.array(opened.convert("L"))
    Image.fromarray(inverted).save(small_copy / "benign/benign (1)_mask.png")
    prepared(needs_masks=needs, uses_masks=uses)
    assert caplog.text.count("read by a rule (benign/benign (1)_mask.png: inverted)") == times


def test_skipped_files_are_reported_and_hidden_ones_are_not(prepared, small_copy, caplog):
    (small_copy / "benign/.hidden.png").write_bytes(b"x")
    prepared()
    assert "skipped" not in caplog.text
    (small_copy / "benign/notes.gif").write_bytes(b"GIF89a")
    prepared()
    assert caplog.text.count("skipped: ") == 1
    assert "notes.gif" in caplog.text
