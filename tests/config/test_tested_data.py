"""An evaluation takes every option that chooses images, and refuses those of the training."""

import pytest
from omegaconf import OmegaConf

from bus_lightning.config.schema import EVALUATE
from bus_lightning.config.tested_data import refuse_idle_options, refuse_training_options, with_tested_data
from bus_lightning.core.errors import UserError


@pytest.mark.parametrize(
    "override", ["data.size=32", "data.split.fold=1", "+data.batch_size=2", "~data.cache", "data.mean=[0,0,0]"]
)
def test_options_of_the_training_are_refused_and_not_ignored(override):
    key = override.strip("+~").partition("=")[0]
    with pytest.raises(UserError, match=rf"an evaluation takes {key} from each run: leave it out"):
        refuse_training_options(["data=bus_bra", "data.root=x", override])


def test_every_option_that_chooses_images_is_taken():
    refuse_training_options([f"data.{key.partition('.')[2]}=x" for key in EVALUATE if key.startswith("data.")])
    refuse_training_options(["data=[busi,bus_bra]", "data.sets.busi.root=x", "runs=data.size=3", "split=own"])


def test_an_option_that_the_tested_data_do_not_read_is_refused():
    run = OmegaConf.create({"data": {"sets": {"table": {"source": "table"}}, "table": "own.csv"}})
    tested = OmegaConf.create({"root": "/x", "table": "x.csv"})
    with pytest.raises(UserError, match=r"data\.table=x\.csv is not read with data=folder: it needs data=table"):
        with_tested_data(run, tested)
    assert with_tested_data(run, OmegaConf.create({"root": "/x"})).data.table is None


@pytest.mark.parametrize("override", ["robustness_options.strengths=[3]", "+explain_options.images=5"])
def test_an_option_of_a_measurement_that_is_not_asked_for_is_refused(override):
    switch = override.strip("+").partition("_")[0]
    with pytest.raises(UserError, match=rf" has no effect without {switch}=true: add it\.$"):
        refuse_idle_options(["runs=a", override], OmegaConf.create({"explain": False, "robustness": False}))
    refuse_idle_options(["runs=explain_options.x", override], OmegaConf.create({"explain": True, "robustness": True}))


def test_each_group_of_options_has_the_switch_that_its_name_says():
    groups = [key for key in EVALUATE if key.endswith("_options")]
    assert groups
    assert {key.removesuffix("_options") for key in groups} <= EVALUATE.keys()
