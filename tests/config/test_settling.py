"""A config is settled in one place, into copies; one table says what each key means."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from test_config import CONF, options

from bus_lightning.config.identity import KEYS, find_meaning, identity
from bus_lightning.config.run_names import naming_overrides
from bus_lightning.config.schema import TRAIN
from bus_lightning.config.settle import settle, with_images, with_names
from bus_lightning.core.errors import UserError


def leaves(node, above=""):
    """List the keys of a config that hold values; an empty group counts as one."""
    for name in node:
        value = None if OmegaConf.is_missing(node, name) else node[name]
        if isinstance(value, DictConfig) and len(value):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"


@pytest.mark.parametrize(
    ("group", "option"),
    [(group, option) for group in ("model", "experiment", "overlay", "preprocess", "callbacks", "data", "trainer",
     "logger", "task") for option in options(group)],
)  # fmt: skip
def test_the_table_says_what_each_key_of_a_config_means(group, option):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        root = ["data.root=x"] if option == "folder" else []
        cfg = compose("train", overrides=[f"{group}={option}", *root])
    unknown = [key for key in leaves(cfg) if find_meaning(key) is None]
    assert not unknown, "say in bus_lightning/config/identity.py what these keys mean"


def test_the_table_says_what_each_checked_key_means_and_names_no_other():
    groups = {key.rpartition(".")[0] for key in TRAIN}
    assert not [key for key in TRAIN if key not in groups and find_meaning(key) is None]
    outside = ("sweep", "hydra", "callbacks.", "trainer.", "data.phantom", "overlay.segmenters")
    assert not [key for key in KEYS if key.removesuffix(".*") not in TRAIN and not key.startswith(outside)]


def test_a_key_without_a_row_decides_and_is_named(composed):
    plain = composed()
    added = composed("+trainer.new=1", "+data.new=2")
    new = {key: value for key, value in identity(added).items() if key not in identity(plain)}
    assert new == {"trainer.new": 1, "data.new": 2}
    assert naming_overrides(["+trainer.new=1"]) == {"trainer.new": "1"}


def test_settling_changes_a_copy_alone(composed):
    cfg = composed("model=resnet34", "overlay=predicted_channel")
    before = OmegaConf.to_yaml(cfg)
    settled, named, known = settle(cfg, rules=2), with_names(cfg, "g", "n"), with_images(cfg, ["a", "b"], ["runs/one"])
    assert OmegaConf.to_yaml(cfg) == before
    assert (settled.data.channels, settled.preprocess.rules) == (4, 2)
    assert (named.group, named.name) == ("g", "n")
    assert (known.data.classes, known.data.num_classes, known.overlay.segmenters) == (["a", "b"], 2, ["runs/one"])


def test_a_number_of_classes_that_the_images_do_not_have_is_refused_and_not_replaced(composed):
    classes = ["benign", "malignant", "normal"]
    with pytest.raises(UserError, match=r"^data.num_classes=2, but the images have 3 .*data.classes=\[ben"):
        with_images(composed("data.num_classes=2"), classes, [])
    assert with_images(composed("data.num_classes=3"), classes, []).data.num_classes == 3


def test_an_overlay_for_other_tasks_is_removed_and_the_segmenter_evaluates_all_its_images(composed):
    cfg = composed("model=unet", "overlay=predicted", "overlay.tasks=[classification]", "trainer.limit_val_batches=2")
    settled = settle(cfg, rules=2)
    assert (settled.overlay.style, settled.overlay.source) == ("none", "ground_truth")
    assert set(settled.overlay) == {"style", "source", "parts", "color", "color_by_class", "alpha"}
    assert settled.trainer.limit_val_batches is None
    kept = settle(composed("model=unet", "trainer.limit_val_batches=2"), rules=1)
    assert (kept.trainer.limit_val_batches, kept.preprocess.rules) == (2, 1)
    assert settle(composed("preprocess.rules=1"), rules=2).preprocess.rules == 1
