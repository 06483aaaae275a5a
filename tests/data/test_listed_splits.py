"""A file may name the parts of a split; a list that makes no sense, or separates near-duplicates, is refused."""

import json

import pytest
from split_frames import ALONE, CLASS, FRAME, GROUPS, LESIONS

from bus_lightning.config.split_options import PARTS
from bus_lightning.core.errors import UserError
from bus_lightning.data.splitting import make_split


@pytest.fixture
def listed(tmp_path):
    """Split by a file of lists, of images that are all of one class unless a frame says otherwise."""

    def make(content, groups=ALONE, frame=LESIONS):
        path = tmp_path / "lists.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return make_split(frame, groups, "file", file=str(path))

    return make


def test_a_file_names_the_parts_and_leaves_the_rest_out(listed):
    split = listed({"train": ["benign/benign (2)", "benign/benign (1)"], "test": ["normal/normal (1)"]})
    assert (split.train, split.val, split.test) == (
        ["benign/benign (1)", "benign/benign (2)"],
        [],
        ["normal/normal (1)"],
    )
    assert set(split.groups) == set(split.part("all"))


def test_a_split_json_can_be_the_file(listed, tmp_path):
    split = make_split(FRAME, GROUPS)
    split.save(tmp_path / "split.json")
    assert listed((tmp_path / "split.json").read_text(), GROUPS).hash == split.hash


ONE, TWO, THREE = "benign/benign (1)", "benign/benign (2)", "normal/normal (1)"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"train": [ONE], "test": ["benign/benign (999)"]}, r"'benign/benign \(999\)' in test is not in the data"),
        ({"train": [ONE, TWO], "test": [TWO]}, r"'benign/benign \(2\)' is in two parts"),
        ({"train": [ONE], "val": [TWO], "test": [TWO]}, "in two parts"),
        ({"train": [ONE], "test": []}, "must not be empty"),
        ({"train": [ONE, 5], "test": [TWO]}, "is not JSON with the lists"),
        ([ONE, TWO], "is not JSON with the lists"),
        ("{", "is not JSON with the lists"),
    ],
)
def test_bad_lists_are_refused_in_one_line(content, complaint, listed):
    with pytest.raises(UserError, match=complaint) as caught:
        listed(content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_lists_that_separate_near_duplicates_are_refused_unless_they_say_so(held_out, listed, caplog):
    groups = ALONE | {TWO: ALONE[ONE]}
    content = {"train": [ONE], "val": ["benign/benign (9)"], "test": [THREE]}
    content[held_out] = [TWO]
    with pytest.raises(UserError, match=r"'benign/benign \(2\)' has a near-duplicate, or an image of its patient, in"):
        listed(content, groups)
    assert listed(content | {"method": "random"}, groups).method == "random"
    assert "1 of 2 held-out images" in caplog.text


def test_lists_with_near_duplicates_in_validation_and_test_are_refused_by_name(listed):
    content = {"train": ["benign/benign (9)"], "val": ["benign/benign (8)", TWO], "test": [ONE]}
    with pytest.raises(UserError, match=r"'benign/benign \(2\)' has a near-duplicate"):
        listed(content, ALONE | {TWO: ALONE[ONE]})


@pytest.mark.parametrize("part", PARTS)
def test_lists_without_a_class_in_a_part_are_refused_like_generated_splits(listed, part):
    whole = make_split(FRAME, GROUPS)
    lists = {name: whole.part(name) for name in PARTS}
    assert listed(lists, GROUPS, FRAME).hash == whole.hash
    lists[part] = [id_ for id_ in lists[part] if CLASS[id_] != "normal"]
    with pytest.raises(UserError, match=rf"'normal' has 133 images, and none of them in {part} of data.split.file="):
        listed(lists, GROUPS, FRAME)
    two = FRAME[FRAME["class"] != "normal"]
    lists = {name: [id_ for id_ in ids if CLASS[id_] != "normal"] for name, ids in lists.items()}
    assert listed(lists, GROUPS, two).method == "file"


def test_lists_need_no_validation(listed):
    whole = make_split(FRAME, GROUPS, ratio=[12, 3])
    assert not listed({"train": whole.train, "test": whole.test}, GROUPS, FRAME).val


def test_the_file_must_be_given_and_be_there():
    with pytest.raises(UserError, match=r"data.split.file=FILE.json"):
        make_split(FRAME, ALONE, "file")
    with pytest.raises(UserError, match=r"data.split.file=nowhere.json"):
        make_split(FRAME, ALONE, "file", file="nowhere.json")
