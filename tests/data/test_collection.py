"""Several data sets in one run: ids carry the set's name, patients stay whole across sets, sets are tested whole."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf
from tiny_sets import draw_image, make_bus_bra, make_bus_uclm

from bus_lightning.core.errors import UserError
from bus_lightning.data import collection
from bus_lightning.data.index import read_image, read_mask
from bus_lightning.data.phantom import draw_phantom
from bus_lightning.data.prepare import prepare_data

DEFAULT = Path(__file__).parents[2] / "conf" / "data" / "default.yaml"


@pytest.fixture(scope="session")
def two_phantoms(tmp_path_factory):
    """Two folders of 24 phantom images with the same names and other pixels; tests that change them take copies."""
    above = tmp_path_factory.mktemp("two")
    for seed, name in ((0, "first"), (1, "second")):
        draw_phantom(above / name, images=24, seed=seed)
    return above


@pytest.fixture
def two_copies(two_phantoms, tmp_path):
    return Path(shutil.copytree(two_phantoms, tmp_path / "copies"))


def config_of(cache, sets, **options):
    own = {name: {"source": "folder", "classes": None} | options for name, options in sets.items()}
    return OmegaConf.merge(OmegaConf.load(DEFAULT), {"sets": own, "cache": str(cache)}, options)


def prepare(cache, above, names=("first", "second"), sets=None, **options):
    sets = sets or {name: {"root": str(above / name)} for name in names}
    return prepare_data(config_of(cache, sets, **options), needs_masks=False)


def copy_image(above, source="first/benign/benign (1)", target="second/benign/other"):
    """Copy an image and its mask into the other set, under another name."""
    for end in (".png", "_mask.png"):
        shutil.copy(above / f"{source}{end}", above / f"{target}{end}")


def test_ids_begin_with_the_name_of_the_set_and_every_file_is_found(two_phantoms, audit_cache):
    prepared = prepare(audit_cache, two_phantoms)
    assert len(prepared.frame) == 48
    assert prepared.frame["id"].is_unique
    assert prepared.frame["id"].is_monotonic_increasing
    for name, own in prepared.frame.groupby("dataset"):
        assert own["id"].str.startswith(f"{name}/").all()
        row = own.iloc[0]
        alone = two_phantoms / name / f"{row['id'].partition('/')[2]}.png"
        image = read_image(prepared.root / row["image"])
        assert (image == read_image(alone)).all()
        assert read_mask(prepared.root, row["masks"], image.shape[:2]).any()


def test_a_single_set_keeps_its_ids_its_paths_and_its_hash(two_phantoms, audit_cache):
    """As a config of an earlier version reads the folder, which names no sets."""
    single = prepare(audit_cache, two_phantoms, names=["first"])
    older = OmegaConf.merge(OmegaConf.load(DEFAULT), {"root": str(two_phantoms / "first"), "cache": str(audit_cache)})
    del older.sets
    before = prepare_data(older, needs_masks=False)
    assert single.frame["id"].tolist() == before.frame["id"].tolist()
    assert single.frame["id"].str.startswith(("benign/", "malignant/", "normal/")).all()
    assert single.frame["image"].tolist() == before.frame["image"].tolist()
    assert (single.content, single.groups) == (before.content, before.groups)


@pytest.mark.parametrize("seed", range(5))
def test_a_renamed_copy_in_another_set_stays_in_the_part_of_its_original(two_copies, audit_cache, seed):
    copy_image(two_copies)
    prepared = prepare(audit_cache, two_copies)
    original, copy = "first/benign/benign (1)", "second/benign/other"
    assert prepared.groups[original] == prepared.groups[copy]
    split = prepared.split(OmegaConf.create({"method": "grouped", "ratio": [2, 1, 1], "seed": seed}))
    assert [{original, copy} <= set(split.part(part)) for part in ("train", "val", "test")].count(True) == 1


def test_a_copy_of_a_tested_image_is_not_trained_on(two_copies, audit_cache, caplog):
    copy_image(two_copies)
    prepared = prepare(audit_cache, two_copies)
    split = prepared.split(OmegaConf.create({"method": "grouped", "ratio": [2, 1, 1]}), test=["second"])
    assert split.test == sorted(id_ for id_ in prepared.frame["id"] if id_.startswith("second/"))
    assert "first/benign/benign (1)" not in split.part("all")
    assert len(split.part("all")) == len(prepared.frame) - 1
    assert "1 images show a frame or a patient of the tested sets" in caplog.text


def test_equal_numbers_of_patients_in_two_sets_are_two_patients(tmp_path, audit_cache):
    """Cases 1 to 4 of BUS-BRA, and the same numbers in a copy with other pixels."""
    make_bus_bra(tmp_path / "one")
    make_bus_bra(tmp_path / "two")
    for number, file in enumerate(sorted((tmp_path / "two").rglob("Images/*.png"))):
        draw_image(file, 500 + number, "L")
    sets = {name: {"source": "bus_bra", "root": str(tmp_path / name)} for name in ("one", "two")}
    prepared = prepare(audit_cache, tmp_path, sets=sets)
    groups = {name: {prepared.groups[id_] for id_ in own["id"]} for name, own in prepared.frame.groupby("dataset")}
    assert groups["one"].isdisjoint(groups["two"])
    assert len(groups["one"]) == prepared.frame.loc[prepared.frame["dataset"] == "one", "patient"].nunique() == 4


def test_classes_are_those_of_all_sets_and_a_set_may_lack_one(two_phantoms, tmp_path, audit_cache):
    make_bus_uclm(tmp_path)
    sets = {
        "uclm": {"source": "bus_uclm", "root": str(tmp_path), "classes": ["benign", "malignant"]},
        "first": {"root": str(two_phantoms / "first"), "classes": ["normal", "malignant", "benign"]},
    }
    prepared = prepare(audit_cache, tmp_path, sets=sets)
    assert prepared.classes == ["benign", "malignant", "normal"]  # in the order in which the sets name them
    chosen = prepare(audit_cache, tmp_path, sets=sets, classes=["malignant", "benign"])
    assert chosen.classes == ["malignant", "benign"]
    assert set(chosen.frame["dataset"]) == {"uclm", "first"}
    with pytest.raises(UserError, match="no images of class 'cyst'"):
        prepare(audit_cache, tmp_path, sets=sets, classes=["cyst", "benign"])


def test_the_hash_of_the_files_stays_when_a_folder_moves_and_changes_with_a_file(two_copies, audit_cache):
    before = prepare(audit_cache, two_copies)
    moved = two_copies.with_name("elsewhere")
    two_copies.rename(moved)
    after = prepare(audit_cache, moved)
    assert after.content == before.content
    assert not after.has_changed(audit_cache)
    copy_image(moved, target="second/benign/benign (1)")
    assert after.has_changed(audit_cache)
    assert prepare(audit_cache, moved).content != before.content


def test_a_mask_that_a_classifier_does_not_need_does_not_tie_the_hash_to_a_place(two_copies, audit_cache):
    (two_copies / "second/benign/benign (2)_mask.png").write_bytes(b"no picture")
    before = prepare(audit_cache, two_copies)
    moved = two_copies.with_name("elsewhere")
    two_copies.rename(moved)
    assert prepare(audit_cache, moved).content == before.content


def test_ids_without_the_name_of_their_set_are_explained(two_phantoms, audit_cache, tmp_path, caplog):
    pd.DataFrame({"id": ["benign/benign (2)"]}).to_csv(tmp_path / "out.csv", index=False)
    prepare(audit_cache, two_phantoms, exclude=str(tmp_path / "out.csv"))
    assert "1 ids are not in the data, such as 'benign/benign (2)'; of several data sets, an id begins" in caplog.text


def test_the_order_in_which_sets_are_named_changes_no_image_and_no_hash(two_phantoms, audit_cache):
    forward, backward = (
        prepare(audit_cache, two_phantoms, names) for names in (["first", "second"], ["second", "first"])
    )
    assert forward.content == backward.content
    assert forward.frame["id"].tolist() == backward.frame["id"].tolist()


def test_what_was_found_about_the_sets_is_not_computed_again(two_copies, tmp_path, monkeypatch):
    copy_image(two_copies)
    before = prepare(tmp_path / "cache", two_copies)

    def refuse(*arguments, **options):
        raise AssertionError("was compared or decoded again")

    monkeypatch.setattr("bus_lightning.data.audit.audit_folder", refuse)
    monkeypatch.setattr(collection, "same_frames", refuse)
    monkeypatch.setattr(collection, "FileLock", refuse)  # the cache may belong to another user
    again = prepare(tmp_path / "cache", two_copies)
    assert again.groups == before.groups
    assert again.fingerprints == before.fingerprints


@pytest.mark.parametrize("name", ["second/benign/benign (2)", "second/benign/benign (2).png"])
def test_an_image_of_one_of_several_sets_is_left_out_by_its_id(two_phantoms, audit_cache, tmp_path, name):
    pd.DataFrame({"id": [name]}).to_csv(tmp_path / "out.csv", index=False)
    prepared = prepare(audit_cache, two_phantoms, exclude=str(tmp_path / "out.csv"))
    ids = set(prepared.frame["id"])
    assert "second/benign/benign (2)" not in ids
    assert "first/benign/benign (2)" in ids
    assert len(ids) == 47


def test_words_of_any_source_are_mapped_to_classes_and_dropped(two_phantoms, audit_cache):
    words = {"class": {"healthy": ["NORMAL "], "lesion": ["benign", "malignant"]}}
    prepared = prepare(audit_cache, two_phantoms, map=words)
    assert sorted(prepared.frame["class"].unique()) == ["healthy", "lesion"]
    assert (prepared.frame["class"] == "healthy").equals(prepared.frame["id"].str.contains("/normal/"))
    dropped = prepare(audit_cache, two_phantoms, drop={"class": ["Normal"]})
    assert sorted(dropped.frame["class"].unique()) == ["benign", "malignant"]
    with pytest.raises(UserError, match="normal"):  # a word that the map does not name
        prepare(audit_cache, two_phantoms, map={"class": {"lesion": ["benign", "malignant"]}})


def test_classes_in_capitals_lack_scores_and_the_option_that_renames_them_is_named(two_copies, audit_cache, caplog):
    (two_copies / "second" / "benign").rename(two_copies / "second" / "Benign")
    roots = {"second": {"root": str(two_copies / "second")}}
    assert "Benign" in set(prepare(audit_cache, two_copies, sets=roots).frame["class"])
    (option,) = re.findall(r"data\.map\.class=({.*?})'", caplog.text)
    caplog.clear()
    renamed = prepare(audit_cache, two_copies, sets=roots, map={"class": OmegaConf.create(option)})
    assert set(renamed.frame["class"]) == {"benign", "malignant", "normal"}
    assert "data.map.class" not in caplog.text


def test_a_map_of_one_set_is_not_that_of_another(two_phantoms, audit_cache):
    roots = {name: {"root": str(two_phantoms / name)} for name in ("first", "second")}
    roots["second"] |= {"map": {"class": {"benign": ["normal", "benign"], "malignant": ["malignant"]}}}
    prepared = prepare(audit_cache, two_phantoms, sets=roots)
    assert set(prepared.frame.loc[prepared.frame["dataset"] == "first", "class"]) == {"benign", "malignant", "normal"}
    assert set(prepared.frame.loc[prepared.frame["dataset"] == "second", "class"]) == {"benign", "malignant"}


def test_a_broken_file_of_several_sets_is_named_by_its_path(two_copies, audit_cache):
    file = two_copies / "second" / "benign" / "benign (1).png"
    file.write_bytes(b"")
    with pytest.raises(UserError, match=r"second/benign/benign \(1\)\.png"):
        prepare(audit_cache, two_copies)
    prepared = prepare(audit_cache, two_copies, skip_unreadable=True)
    assert "second/benign/benign (1)" not in set(prepared.frame["id"])
    assert len(prepared.frame) == 47


def test_one_folder_under_two_names_is_one_set_of_images(two_phantoms, audit_cache):
    """Every image is its own copy in the other set, so nothing is left to train on when one of the two is tested."""
    sets = {name: {"root": str(two_phantoms / "first")} for name in ("one", "two")}
    prepared = prepare(audit_cache, two_phantoms, sets=sets)
    assert all(prepared.groups[f"one/{id_}"] == prepared.groups[f"two/{id_}"]
               for id_ in prepare(audit_cache, two_phantoms, names=["first"]).frame["id"])  # fmt: skip
    with pytest.raises(UserError, match="none would be in train"):
        prepared.split(OmegaConf.create({"method": "grouped", "ratio": [2, 1, 1]}), test=["two"])


def test_a_broken_jpeg_of_several_sets_is_left_out(two_copies, audit_cache):
    """Its id is the name of the file."""
    (two_copies / "second" / "benign" / "other.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"second/benign/other\.jpg is not an image"):
        prepare(audit_cache, two_copies)
    assert len(prepare(audit_cache, two_copies, skip_unreadable=True).frame) == 48


def test_a_class_in_two_spellings_in_two_sets_is_refused(two_copies, audit_cache):
    (two_copies / "second" / "benign").rename(two_copies / "second" / "Benign")
    with pytest.raises(UserError, match=r"data='\[first,second\]' has a class in several spellings \(Benign: 14, ben"):
        prepare(audit_cache, two_copies)


def test_a_set_without_any_image_of_the_chosen_classes_is_refused(two_copies, audit_cache):
    shutil.rmtree(two_copies / "second" / "benign")
    shutil.rmtree(two_copies / "second" / "malignant")
    with pytest.raises(UserError, match=r"second has no image of the classes benign, malignant; it has normal: leave"):
        prepare(audit_cache, two_copies, classes=["benign", "malignant"])


@pytest.mark.parametrize("name", ["a/b", "..", "../x", "", "a b", "a\nb"])
def test_the_name_of_a_set_is_the_name_of_a_folder(two_phantoms, audit_cache, name):
    """Ids begin with it, and the audit makes a folder of it."""
    sets = {name: {"root": str(two_phantoms / "first")}, "second": {"root": str(two_phantoms / "second")}}
    with pytest.raises(UserError, match=r"data.sets names a data set '.*': give it a name: letters, digits"):
        prepare(audit_cache, two_phantoms, sets=sets)


def test_a_missing_folder_is_named_with_the_option_that_gives_it(two_phantoms, audit_cache):
    """`data.root` is refused for several sets, and for a set that has a folder itself."""
    gone = {"source": "folder", "root": str(two_phantoms / "gone")}
    for others in ({}, {"second": {"root": str(two_phantoms / "second")}}):
        with pytest.raises(UserError, match=r"gone \(data.sets.first.root\). Set data.sets.first.root=FOLDER or "):
            prepare(audit_cache, two_phantoms, sets={"first": gone, **others})
    with pytest.raises(UserError, match=r"gone \(data.root\). Set data.root=FOLDER or FIRST_ROOT"):
        prepare(audit_cache, two_phantoms, sets={"first": gone | {"root": None}}, root=gone["root"])


def test_a_set_of_which_all_images_are_left_out_is_refused(two_phantoms, audit_cache, tmp_path):
    """It would be a test part without images."""
    ids = [id_ for id_ in prepare(audit_cache, two_phantoms).frame["id"] if id_.startswith("second/")]
    pd.DataFrame({"id": ids}).to_csv(tmp_path / "out.csv", index=False)
    with pytest.raises(UserError, match=r"No image of the data set second is left after data.exclude, drop_conflicts"):
        prepare(audit_cache, two_phantoms, exclude=str(tmp_path / "out.csv"))


@pytest.mark.parametrize(
    ("words", "classes", "expected"),
    [
        ({"good": ["benign"], "bad": ["malignant"], "none": ["normal"]}, ["good", "bad"], ["good", "bad"]),
        ({"good": ["benign"], "bad": ["malignant"], "none": ["normal"]}, None, ["bad", "good", "none"]),
        ({"lesion": ["benign", "malignant"], "healthy": ["normal"]}, ["malignant", "benign", "normal"],
         ["healthy", "lesion"]),
    ],
)  # fmt: skip
def test_the_classes_of_a_set_are_chosen_and_ordered_by_its_option_also_after_a_map(
    words, classes, expected, two_phantoms, audit_cache
):
    own = {"root": str(two_phantoms / "first"), "map": {"class": words}, "classes": classes}
    assert prepare(audit_cache, two_phantoms, sets={"first": own}).classes == expected
