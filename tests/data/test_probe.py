"""The probe finds labels that were drawn into images, and is quiet where none are."""

import logging

import pytest

from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.prepare import prepare_data
from bus_lightning.data.probe import SUSPICIOUS, label_in_input


def probed(data_config, *overrides):
    cfg = data_config(*overrides)
    prepared = prepare_data(cfg.data, needs_masks=False)
    split = prepared.split(cfg.data.split)
    module = BusDataModule(prepared, split, cfg, full_masks=False)
    return label_in_input(module.parts["train"], split.groups)


def test_a_contour_in_a_colour_per_class_gives_the_label_away(data_config):
    colors = "overlay.color_by_class=[[0,255,0],[255,0,0],[0,0,255]]"
    drawn, bare = probed(data_config, "overlay.style=contour", colors)
    assert drawn > 0.95
    assert drawn - bare >= SUSPICIOUS


def test_without_an_overlay_both_numbers_are_the_same(data_config):
    drawn, bare = probed(data_config)
    assert drawn == bare


def test_too_few_groups_of_a_class_have_no_probe(data_config):
    cfg = data_config()
    prepared = prepare_data(cfg.data, needs_masks=False)
    split = prepared.split(cfg.data.split)
    module = BusDataModule(prepared, split, cfg, full_masks=False)
    one_group = dict.fromkeys(split.groups, 0)
    assert label_in_input(module.parts["train"], one_group) is None


def test_training_warns_before_it_starts_and_keeps_the_numbers(trained, caplog):
    with caplog.at_level(logging.WARNING):
        run = trained("model=alexnet", "leak=contour_by_class", "data.batch_size=32")
    warned = [record.message for record in caplog.records if "20 statistics" in record.message]
    assert len(warned) == 1
    assert run.status["probe_auc"] - run.status["probe_auc_without_overlay"] >= SUSPICIOUS


@pytest.mark.parametrize("options", [[], ["overlay.style=contour", "overlay.parts=[test]"]])
def test_a_run_whose_training_images_carry_nothing_is_not_probed(trained, options):
    run = trained("model=alexnet", "data.batch_size=32", *options)
    assert "probe_auc" not in run.status
