"""Splits: reviewable, repeatable, and near-duplicates stay together."""

import json
import logging

import pandas as pd
import pytest
from split_frames import ALONE, COUNTS, FRAME, GROUPS, classes, is_partition, sizes

from bus_lightning.config.split_options import PARTS, shares
from bus_lightning.core.errors import UserError
from bus_lightning.data.index import read_index
from bus_lightning.data.splits import load_split
from bus_lightning.data.splitting import make_split


def test_random_gives_the_sizes_of_the_paper():
    assert sizes(make_split(FRAME, ALONE, "random", ratio=[11, 1, 3])) == (572, 52, 156)
    assert sizes(make_split(FRAME, ALONE, "random", ratio=[12, 3])) == (624, 0, 156)


@pytest.mark.parametrize("method", ["grouped", "stratified", "random"])
@pytest.mark.parametrize("seed", [0, 7])
def test_the_test_part_is_the_same_with_and_without_validation(method, seed):
    def split(**options):
        return make_split(FRAME, GROUPS, method, seed, **options)

    three = split(ratio=[11, 1, 3])
    assert three.test == split(ratio=[12, 3]).test == split(ratio=[12, 3], val_from_train=2).test
    assert split(ratio=[12, 3], val_from_train=1).hash == three.hash
    assert is_partition(three)


@pytest.mark.parametrize("method", ["grouped", "stratified"])
@pytest.mark.parametrize("seed", range(4))
def test_every_part_has_each_class_in_proportion(method, seed):
    split = make_split(FRAME, GROUPS, method, seed)
    for part, share in zip(PARTS, (11 / 15, 1 / 15, 3 / 15), strict=True):
        for kind, number in classes(split.part(part)).items():
            assert abs(number - share * COUNTS[kind]) <= (2 if method == "grouped" else 1), (part, kind)


@pytest.mark.parametrize("seed", range(4))
def test_no_group_of_near_duplicates_is_in_two_parts(seed):
    split = make_split(FRAME, GROUPS, "grouped", seed)
    train, val, test = ({GROUPS[id_] for id_ in split.part(part)} for part in PARTS)
    assert not train & val
    assert not train & test
    assert not val & test
    assert sum(sizes(split)) == 780


def test_same_seed_same_ids_on_every_machine():
    pairs = {id_: number // 2 for id_, number in ALONE.items()}
    made = {method: make_split(FRAME, pairs, method).hash for method in ("grouped", "stratified", "random")}
    assert made == {"grouped": "2a15172ba9eafe5c", "stratified": "55db939a58dfe326", "random": "0db1118926062c27"}
    assert make_split(FRAME, pairs, "random", seed=1).hash != made["random"]


@pytest.mark.parametrize("method", ["grouped", "stratified", "random"])
def test_neither_the_order_of_the_rows_nor_the_numbers_of_the_groups_matter(method):
    shuffled = FRAME.sample(frac=1, random_state=1)
    renumbered = {id_: 5000 - GROUPS[id_] for id_ in shuffled["id"]}
    assert make_split(shuffled, renumbered, method).hash == make_split(FRAME, GROUPS, method).hash


@pytest.mark.parametrize("method", ["grouped", "stratified", "random"])
def test_the_folds_partition_the_data_and_each_is_tested_once(method):
    folds = [make_split(FRAME, GROUPS, method, folds=5, fold=fold) for fold in range(5)]
    assert sorted(id_ for split in folds for id_ in split.test) == sorted(FRAME["id"])
    for split in folds:
        assert is_partition(split)
        assert len(split.val) == pytest.approx((780 - len(split.test)) / 12, abs=4)
        assert len(split.test) == pytest.approx(156, abs=4)
        if method == "grouped":
            assert not {GROUPS[id_] for id_ in split.val} & {GROUPS[id_] for id_ in split.train}
        if method != "random":
            assert all(classes(split.test)[kind] == pytest.approx(COUNTS[kind] / 5, abs=3) for kind in COUNTS)


@pytest.mark.parametrize(
    "options", [{"folds": 5}, {"folds": 5, "fold": 5}, {"folds": 5, "fold": -1}, {"folds": 1, "fold": 0}, {"fold": 2}]
)
def test_a_fold_that_does_not_exist_is_refused(options):
    with pytest.raises(UserError, match=r"data.split.fold"):
        make_split(FRAME, ALONE, **options)


@pytest.mark.parametrize("method", ["random", "stratified"])
def test_methods_that_separate_near_duplicates_warn_with_their_number(method, caplog):
    with caplog.at_level(logging.WARNING):
        split = make_split(FRAME, GROUPS, method)
    trained = {GROUPS[id_] for id_ in split.train}
    number = sum(GROUPS[id_] in trained for id_ in split.val + split.test)
    assert 40 < number < 110
    assert f"'{method}': {number} of 208 held-out images have a near-duplicate in training" in caplog.text


def test_grouped_splits_and_data_without_near_duplicates_do_not_warn(caplog):
    make_split(FRAME, GROUPS, "grouped")
    make_split(FRAME, ALONE, "random")
    assert not caplog.text


@pytest.mark.parametrize(
    "ratio", [[1], [1, 2, 3, 4], [0, 1], [5, 0], [11, 1, 0], [-1, 3], [11, -1, 3], [], 5, "12:3", ["a", "b"]]
)
def test_nonsense_ratios_are_refused(ratio):
    with pytest.raises(UserError, match=r"data.split.ratio=.*\[11,1,3\]"):
        shares(ratio)


@pytest.mark.parametrize("val_from_train", [-1, 12, 99])
def test_validation_cannot_take_more_than_training_has(val_from_train):
    with pytest.raises(UserError, match="take from 0 to 11"):
        shares([12, 3], val_from_train)


def test_val_from_train_moves_training_parts_to_validation():
    assert shares([12, 3], 1) == shares([11, 1, 3]) == (11, 1, 3)
    assert shares([11, 1, 3], 2) == (9, 3, 3)


def test_an_unknown_method_is_refused():
    with pytest.raises(UserError, match="grouped, stratified, random, file"):
        make_split(FRAME, ALONE, "by_patient")


@pytest.mark.parametrize("method", ["grouped", "stratified", "random"])
def test_a_class_with_too_few_images_for_the_ratio_is_refused(method):
    few = FRAME[(FRAME["class"] != "normal") | (FRAME.index > len(FRAME) - 3)]
    with pytest.raises(UserError, match=r"'normal' has too few images \(2\).*val"):
        make_split(few, ALONE, method)


def test_a_class_whose_images_are_few_groups_is_refused_with_their_number_and_the_options():
    one_patient = ALONE | dict.fromkeys(FRAME.loc[FRAME["class"] == "normal", "id"], 0)
    with pytest.raises(UserError, match=r"'normal' has too few images \(133, in 1 group of patients.*=\[2, 1"):
        make_split(FRAME, one_patient, ratio=[2, 1, 1])
    with pytest.raises(UserError, match=r"in 1 group of .*data.split.folds=5: none would be in test.*these options"):
        make_split(FRAME, one_patient, ratio=[4, 1], folds=5, fold=1)
    with pytest.raises(UserError, match=r"'normal' has too few images \(2\).*change the ratio"):
        make_split(FRAME[(FRAME["class"] != "normal") | (FRAME.index > len(FRAME) - 3)], one_patient, "stratified")


def test_a_split_is_read_back_as_it_was_written(tmp_path):
    split = make_split(FRAME, GROUPS)
    split.save(tmp_path / "split.json")
    assert load_split(tmp_path / "split.json") == split
    assert split.groups == GROUPS


def test_equal_split_files_share_their_memory_and_each_of_them_is_still_checked(tmp_path, caplog):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    for path in (first, second):
        make_split(FRAME, GROUPS, "random").save(path)
    kept = load_split(first)
    caplog.clear()
    assert load_split(second) is kept
    assert "have a near-duplicate in training" in caplog.text
    make_split(FRAME, GROUPS, "random", seed=1).save(second)
    assert load_split(second) != kept


def moved(content):
    content["train"].append(content["test"].pop())


def forgotten(content):
    del content["groups"][content["test"][0]]


def regrouped(content):
    content["groups"][content["test"][0]] = content["groups"][content["train"][0]]


def emptied(content):
    content["val"] = None


def without_hash(content):
    del content["hash"]


@pytest.mark.parametrize("edit", [moved, forgotten, regrouped, emptied, without_hash])
def test_an_edited_split_is_refused(edit, tmp_path):
    path = tmp_path / "split.json"
    make_split(FRAME, GROUPS).save(path)
    kept = load_split(path)
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"split.json|divides near-duplicates"):
        load_split(path)
    assert kept == make_split(FRAME, GROUPS)


@pytest.mark.busi
def test_busi_has_the_sizes_of_the_paper_and_near_duplicates_stay_together(busi, busi_audit):
    frame, groups = read_index(busi), busi_audit.groups
    assert sizes(make_split(frame, groups, "random", ratio=[11, 1, 3])) == (572, 52, 156)
    assert sizes(make_split(frame, groups, "random", ratio=[12, 3])) == (624, 0, 156)
    split = make_split(frame, groups, "grouped")
    parts = [{groups[id_] for id_ in split.part(part)} for part in PARTS]
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert sizes(split) == pytest.approx((572, 52, 156), abs=6)


@pytest.mark.parametrize("method", ["grouped", "stratified"])
def test_cross_folds_divide_the_training_images_and_leave_the_test_images_out(method):
    whole = make_split(FRAME, GROUPS, method)
    folds = [make_split(FRAME, GROUPS, method, cross_folds=3, cross_fold=fold) for fold in range(3)]
    assert sorted(id_ for fold in folds for id_ in fold.test) == whole.train
    assert all(sorted(fold.train + fold.test) == whole.train and fold.val == whole.val for fold in folds)
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= 0.1 * len(whole.train)
    assert make_split(FRAME, GROUPS, method, cross_folds=3).hash == whole.hash


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cross_fold": 0}, "needs data.split.cross_folds"),
        ({"cross_folds": 3, "cross_fold": 3}, "cross_fold from 0 to 2; it is 3"),
        ({"cross_folds": 1, "cross_fold": 0}, "cross_folds=1 needs at least 2"),
        ({"cross_folds": 2, "cross_fold": 0, "method": "file"}, "does not work with data.split.method=file"),
    ],
)
def test_cross_folds_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        make_split(FRAME, GROUPS, **options)


def test_a_set_without_the_published_split_of_another_is_refused_and_single_images_are_counted(caplog):
    parts = [("train",), ("test",), ("train",), ("test",)]
    frame = pd.DataFrame({"id": list("abcd"), "class": ["benign", "benign", "malignant", "malignant"]})
    frame = frame.assign(dataset="bus_uclm", parts_1=parts)
    more = pd.DataFrame({"id": list("ef"), "class": ["benign", "malignant"], "dataset": "busi"})
    groups = {id_: number for number, id_ in enumerate("abcdef")}
    with pytest.raises(UserError, match="the data set busi has no published split: leave it out, or use"):
        make_split(pd.concat([frame, more], ignore_index=True), groups, "published")
    split = make_split(pd.concat([frame, more.assign(dataset="bus_uclm")], ignore_index=True), groups, "published")
    assert (split.train, split.test) == (["a", "c"], ["b", "d"])
    assert "2 of 6 images are in no part of the published split, and are left out." in caplog.text
