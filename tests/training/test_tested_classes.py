"""The classes that an evaluation names are those of its images and of the run, or one line says which is wrong."""

import pytest
from composing import ROOT
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from bus_lightning.core.errors import UserError
from bus_lightning.runs.finished import open_run
from bus_lightning.training.evaluate import settle_tested
from bus_lightning.training.tested_images import find_images


@pytest.mark.parametrize("model", ["alexnet", "u2net_lite"])
def test_a_class_that_the_images_do_not_have_is_named_with_those_that_they_have(finished, small_phantom, model):
    run = open_run(finished(f"model={model}").path)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("evaluate", ["runs=x", f"data.root={small_phantom}", "data.classes=[Malignant,benign]"])
    line = r"data.classes: no images of class 'Malignant' in .*; it has benign, malignant, normal"
    with pytest.raises(UserError, match=line):
        find_images(run, settle_tested(run.config, cfg), cfg)
