"""The options of `predict`: how the kept weights of a run predict, in its training and when it is evaluated again."""

import shutil
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from composing import compose_run
from omegaconf import OmegaConf
from PIL import Image
from test_evaluating import request

from bus_lightning.config.identity import identity
from bus_lightning.config.rules import check
from bus_lightning.config.stored import load_config
from bus_lightning.core.errors import DamagedError, OccupiedError, UserError
from bus_lightning.metrics.columns import BEFORE_RULE, COUNTS
from bus_lightning.metrics.no_lesion import choose_rule, without_rule
from bus_lightning.runs.cases import read_cases
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
    paths = [folder.path for folder in find_evaluations(run)]
    assert again.path in paths
    assert plain.path not in paths  # a report would take it for the run's own


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


SEGMENTER = ["model=unet", "group=g", "name=segmenter", "data.split.ratio=[11,3,4]", "data.size=32"]


@pytest.fixture(scope="module")
def segmenter(phantom, audit_cache, tmp_path_factory):
    """A segmenter with the no-lesion rule."""
    runs = tmp_path_factory.mktemp("rule")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "save_sheet", lambda *_: None)
        train.run(
            compose_run([*SEGMENTER, "predict.no_lesion=0.02", "trainer.max_epochs=4"], phantom, audit_cache, runs)
        )
    return RunDir(runs / "g/segmenter")


def test_the_rule_of_a_run_is_that_of_its_validation_cases(segmenter):
    cases = read_cases(segmenter.cases)
    rule = choose_rule(cases[cases["split"] == "val"], 0.02)
    assert segmenter.status["lesion_rule"] == asdict(rule)
    assert rule.least_score > 0
    doubtful = cases["lesion_score"] < rule.least_score
    assert doubtful[cases["split"] == "test"].any()
    assert not cases.loc[doubtful, ["tp", "fp"]].to_numpy().any()
    assert cases.loc[doubtful, ["tp_before_rule", "fp_before_rule"]].to_numpy().any()
    for row in cases.itertuples():
        mask = np.asarray(Image.open(segmenter.masks / f"{row.id}.png"))
        assert mask.sum() == row.tp + row.fp


@pytest.mark.slow
def test_an_evaluation_takes_the_rule_of_the_run_and_chooses_none(segmenter, small_phantom):
    again = evaluate_run(segmenter, request(predict={"flips": None, "no_lesion": None}))
    assert again.metrics["test"] == segmenter.metrics["test"]
    other = read_cases(evaluate_run(segmenter, request(small_phantom, split="all")).cases)
    doubtful = other["lesion_score"] < segmenter.status["lesion_rule"]["least_score"]
    assert (other.loc[doubtful, ["tp", "fp"]] == 0).all(axis=None)
    assert other.loc[~doubtful, COUNTS].equals(other.loc[~doubtful, BEFORE_RULE.values()].set_axis(COUNTS, axis=1))
    plain = evaluate_run(segmenter, request(predict={"no_lesion": False}))
    assert plain.path.name == f"{again.path.name}-no_lesion-false"
    before = without_rule(read_cases(again.cases))
    assert read_cases(plain.cases)[list(COUNTS)].equals(before[list(COUNTS)])
    with pytest.raises(UserError, match=r"chosen with predict.flips=false: add predict.no_lesion=false"):
        evaluate_run(segmenter, request(predict={"flips": True}))


def test_a_run_whose_rule_is_lost_is_not_evaluated_without_it(segmenter, tmp_path):
    copy = RunDir(shutil.copytree(segmenter.path, tmp_path / "copy"))
    copy.update_status(lesion_rule=None)
    with pytest.raises(DamagedError, match="lacks lesion_rule"):
        evaluate_run(copy, request())
    copy.update_status(lesion_rule={"least_score": 2.0})
    with pytest.raises(DamagedError, match="lesion_rule is"):
        evaluate_run(copy, request())


@pytest.mark.slow
def test_without_the_rule_a_run_is_bit_for_bit_the_same(segmenter, phantom, audit_cache, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "save_sheet", lambda *_: None)
    train.run(compose_run([*SEGMENTER, "trainer.max_epochs=4"], phantom, audit_cache, tmp_path))
    plain = RunDir(tmp_path / "g/segmenter")
    assert plain.history.read_bytes() == segmenter.history.read_bytes()
    assert "lesion_rule" not in plain.status
    cases = read_cases(plain.cases)
    assert not {"lesion_score", *BEFORE_RULE.values()} & set(cases)
    assert cases[list(COUNTS)].equals(without_rule(read_cases(segmenter.cases))[list(COUNTS)])


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["model=alexnet", "predict.no_lesion=0.005"], "classifiers predict no mask"),
        (["model=u2net_lite", "predict.no_lesion=0.005"], "needs a validation set, and this split has none"),
        (
            ["model=joint_unet", "predict.no_lesion=0", "trainer.limit_val_batches=0"],
            "limit_val_batches=0 turns it off",
        ),
        (["model=unet", "predict.no_lesion=true"], "give one of false, or a number from 0 to 1"),
    ],
)
def test_a_rule_that_cannot_be_chosen_is_refused_before_any_compute(composed, options, line):
    scheduler = ["scheduler=none"] if "model=joint_unet" in options else []
    with pytest.raises(UserError, match=line):
        check(composed(*options, *scheduler))
