"""The options of `predict`: how the kept weights of a run predict, in its training and when it is evaluated again."""

import shutil

import pandas as pd
import pytest
from composing import compose_run
from omegaconf import OmegaConf
from test_evaluating import request

from bus_lightning.config.identity import identity
from bus_lightning.config.stored import load_config
from bus_lightning.core.errors import OccupiedError
from bus_lightning.runs.evaluations import find_evaluations
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import fit, train
from bus_lightning.training.evaluate import evaluate_run

RUN = ["model=alexnet", "group=g", "name=run"]


@pytest.fixture(scope="module")
def run(phantom, audit_cache, tmp_path_factory):
    """A classifier that was tested with flips."""
    runs = tmp_path_factory.mktemp("flips")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "save_sheet", lambda *_: None)
        train.run(compose_run([*RUN, "predict.flips=true"], phantom, audit_cache, runs))
    return RunDir(runs / "g/run")


def test_a_run_is_tested_and_evaluated_with_its_own_flips(run):
    assert load_config(run.config).predict.flips is True
    again = evaluate_run(run, request(predict={"flips": None}))
    assert again.metrics["test"] == run.metrics["test"]
    plain = evaluate_run(run, request(predict={"flips": False}))
    assert plain.metrics["test"]["log_loss"] != run.metrics["test"]["log_loss"]
    assert plain.path.name == f"{again.path.name}-flips-false"
    assert plain.status["predict"] == {"flips": False}
    kept = pd.read_csv(again.cases)
    assert not kept.equals(pd.read_csv(plain.cases))
    found = [folder.path for folder in find_evaluations(run)]
    assert again.path in found
    assert plain.path not in found  # a report would take it for the run's own


def test_the_kept_epoch_is_chosen_without_flips(run, phantom, audit_cache, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "save_sheet", lambda *_: None)
    train.run(compose_run(RUN, phantom, audit_cache, tmp_path))
    plain = RunDir(tmp_path / "g/run")
    assert plain.history.read_bytes() == run.history.read_bytes()
    assert plain.metrics["test"] != run.metrics["test"]
    assert evaluate_run(plain, request(predict={"flips": True})).metrics["test"] == run.metrics["test"]


def test_runs_with_and_without_flips_are_different_experiments(run, phantom, audit_cache, tmp_path):
    copy = RunDir(shutil.copytree(run.path, tmp_path / "g/run"))
    with pytest.raises(OccupiedError, match=r"predict\.flips \(folder: True, requested: False\)"):
        train.run(compose_run(RUN, phantom, audit_cache, tmp_path))
    older = OmegaConf.load(copy.config)
    del older["predict"]
    OmegaConf.save(older, copy.config)
    assert identity(load_config(copy.config))["predict.flips"] is False
