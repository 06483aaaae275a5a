"""The report compares classifiers that see masks with the one that sees none, and calls the true mask a leak."""

from dataclasses import replace

import pytest
from omegaconf import OmegaConf

from bus_lightning.report.mask_section import mask_section
from bus_lightning.statistics.conditions import read_group
from bus_lightning.statistics.summary import summarise

NET = "model=resnet34"


@pytest.fixture
def group(finished):
    """A classifier without a mask, with a segmenter's, with the true one; and one that is cross-fitted."""
    run = finished(NET, "name=alone", sure=1.0)
    finished(NET, "name=predicted", "overlay=predicted", sure=1.5)
    finished(NET, "name=told", "overlay=contour", sure=4.0)
    finished(NET, "name=part", "overlay=predicted", "data.split.cross_folds=2", "data.split.cross_fold=0")
    return read_group(run.path.parent)


def table_of(group):
    test = {
        condition.name: summarise(condition, "test")
        for condition in group.conditions
        if condition.task == "classification"
    }
    section = mask_section(group.conditions, test, {})
    return section.items[0].frame if section else None


def test_masks_are_compared_with_none_and_the_true_one_is_called_a_leak(group):
    table = table_of(group)
    assert list(table["whose mask"]) == ["-", "the segmenter's", "the ground truth: a leak, an upper bound"]
    gains = table["macro AUC, minus that of the image alone"]
    assert gains[0] == "-"
    assert 0 < float(gains[2].split()[0]) < 0.5
    assert float(gains[1].split()[0]) < float(gains[2].split()[0])


def test_a_classifier_with_masks_is_compared_with_the_one_without_on_the_same_data_set(group):
    own = table_of(group)
    assert "data set" not in own
    sets = {"folder": {"source": "folder"}}
    others = [
        replace(each, name=f"a-{each.name}", files="of another set", config=OmegaConf.merge(each.config))
        for each in group.conditions
        if each.task == "classification"
    ]
    for other in others:
        other.config.data.sets = sets
    table = table_of(replace(group, conditions=[*others, *group.conditions]))
    gains = table["macro AUC, minus that of the image alone"]
    assert sorted(gains) == sorted([*own[gains.name]] * 2)
    assert table["data set"].nunique() == 2


def test_a_classifier_that_was_trained_by_another_recipe_is_no_comparison(group):
    def alone_with(key, value):
        config = OmegaConf.merge(next(each.config for each in group.conditions if each.name == "alone"))
        OmegaConf.update(config, key, value, merge=False, force_add=True)
        others = [replace(each, config=config) if each.name == "alone" else each for each in group.conditions]
        return list(table_of(replace(group, conditions=others))["whose mask"])

    assert "-" in alone_with("trainer.accelerator", "cuda")  # the same recipe
    assert "-" not in alone_with("optimizer.lr", 0.5)
    assert "-" not in alone_with("augment", {"noise": {"std": 0.1}})


def test_a_condition_without_test_images_is_not_in_the_table(group):
    def without_tests(name):
        cut = [each.cases[(each.name != name) | (each.cases["split"] == "val")] for each in group.conditions]
        pairs = zip(group.conditions, cut, strict=True)
        return table_of(replace(group, conditions=[replace(each, cases=cases) for each, cases in pairs]))

    assert list(without_tests("alone")["whose mask"]) == list(table_of(group)["whose mask"])[1:]
    assert without_tests("predicted") is None


def test_without_a_segmenters_mask_there_is_no_such_table(finished):
    run = finished(NET, "name=alone")
    assert table_of(read_group(run.path.parent)) is None
