"""A sweep of folds takes every fold of the split, or one line says how, before the first job."""

import pytest
from composing import ROOT
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from bus_lightning.core.errors import UserError
from bus_lightning.launch.grids import check_grid
from bus_lightning.launch.plugins import prefer_our_configs


def check(*overrides, swept=""):
    prefer_our_configs()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", ["model=alexnet", *overrides], return_hydra_config=True)
    OmegaConf.set_readonly(config.hydra, False)
    config.hydra.overrides.task += [swept] if swept else []  # as -m keeps it
    check_grid(config)


@pytest.mark.parametrize(("folds", "every"), [(2, "0,1"), (7, "0,1,2,3,4,5,6")])
def test_a_sweep_of_another_number_of_folds_is_refused_with_its_folds(folds, every):
    line = f"data.split.fold=0,1,2,3,4: data.split.folds={folds} has the folds 0 to {folds - 1}: add "
    with pytest.raises(UserError) as refused:
        check("sweep=folds", f"data.split.folds={folds}")
    assert str(refused.value) == f"{line}data.split.fold={every}."


def test_the_usual_folds_and_those_that_the_command_names_are_taken():
    check("sweep=folds")
    check("sweep=folds", "data.split.folds=7", swept="data.split.fold=0,6")
    check("sweep=folds", "data.split.folds=3", swept="data.split.fold=1")  # replaces those of the sweep


def test_a_fold_that_there_is_not_is_refused_before_the_first_job():
    with pytest.raises(UserError, match=r"data.split.fold=2,3: data.split.folds=3 has the folds 0 to 2"):
        check("data.split.folds=3", swept="data.split.fold=2,3")
