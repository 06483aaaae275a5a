"""One run evaluated again in many ways: how many images count, and which runs."""

import shutil
from pathlib import Path

import pytest
from composing import compose_run
from omegaconf import OmegaConf
from test_evaluating import request

from bus_lightning.config.split_options import PARTS
from bus_lightning.core.errors import UserError
from bus_lightning.data.splits import load_split
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import fit, train
from bus_lightning.training.evaluate import evaluate_run, evaluate_runs


@pytest.fixture(scope="module")
def trained_run(phantom, audit_cache, tmp_path_factory):
    """A run that was trained on batches of four."""
    runs = tmp_path_factory.mktemp("evaluated")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "save_sheet", lambda *_: None)
        train.run(
            compose_run(["model=alexnet", "data.batch_size=4", "group=g", "name=one"], phantom, audit_cache, runs)
        )
    return RunDir(runs / "g/one")


@pytest.fixture
def run(trained_run, tmp_path):
    """A copy of the run whose config may be changed."""

    def make(**changes):
        copy = RunDir(Path(shutil.copytree(trained_run.path, tmp_path / "runs/g/one", dirs_exist_ok=True)))
        config = OmegaConf.load(trained_run.config)
        for key, value in changes.items():
            OmegaConf.update(config, key.replace("__", "."), value)
        OmegaConf.save(config, copy.config)
        return copy

    return make


@pytest.mark.parametrize(
    "limits", [{"trainer__limit_test_batches": 0.01, "trainer__limit_val_batches": 1},
               {"trainer__limit_val_batches": 0}, {"trainer__overfit_batches": 2}]
)  # fmt: skip
def test_an_evaluation_takes_all_images_whatever_limited_the_training(run, trained_run, limits):
    metrics = evaluate_run(run(**limits), request(part="all")).metrics
    split = load_split(trained_run.split)
    assert {part: metrics[part]["n"] for part in PARTS} == {part: len(split.part(part)) for part in PARTS}


def test_loss_and_metrics_are_those_of_all_images_whatever_the_batches(run, trained_run):
    metrics = evaluate_run(run(data__batch_size=5), request()).metrics["test"]
    assert metrics["loss"] == pytest.approx(trained_run.metrics["test"]["loss"], rel=1e-5)
    assert metrics["log_loss"] == pytest.approx(trained_run.metrics["test"]["log_loss"], rel=1e-5)
    assert metrics["n"] == len(load_split(trained_run.split).test)


def test_neither_old_folders_nor_unfinished_ones_are_evaluated(run, tmp_path, monkeypatch):
    again = run()
    old = tmp_path / "runs/g/one.old-20200101T000000"
    unfinished = tmp_path / "runs/g/two"
    for folder in (old, unfinished):
        shutil.copytree(again.path, folder)
    RunDir(unfinished).best.unlink()
    evaluate_runs(request(runs=str(tmp_path / "runs/g/*")))
    assert (again.path / "evaluations").is_dir()
    assert not (old / "evaluations").exists()
    assert not (unfinished / "evaluations").exists()
    shutil.rmtree(again.path)
    with pytest.raises(UserError, match=r"matches no run folder.*Try runs='"):
        evaluate_runs(request(runs=str(tmp_path / "runs/other/*")))
    (tmp_path / "a/b/c").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a/b/c")  # no runs are near
    with pytest.raises(UserError, match="Give folders such as"):
        evaluate_runs(request(runs=str(tmp_path / "a/b/c/*")))


@pytest.mark.slow
def test_what_a_run_skipped_in_training_is_skipped_in_its_evaluation(run, phantom_copy):
    tested = load_split(run().split).test[0]
    (phantom_copy / f"{tested}.png").write_bytes(b"")
    options = request(root=str(phantom_copy), split="own")
    with pytest.raises(UserError, match=r"\.png is empty"):
        evaluate_run(run(), options)
    assert evaluate_run(run(data__skip_unreadable=True), options).metrics["test"]["n"] == 13
    options.data.skip_unreadable = True
    assert evaluate_run(run(), options).metrics["test"]["n"] == 13


def test_a_mask_that_cannot_be_used_matters_where_it_is_drawn(run, phantom_copy):
    tested = next(id_ for id_ in load_split(run().split).test if not id_.startswith("normal"))
    (phantom_copy / f"{tested}_mask.png").write_bytes(b"")
    options = request(root=str(phantom_copy), split="own")
    assert evaluate_run(run(), options).metrics["test"]["n"] == 14
    with pytest.raises(UserError, match=r"_mask\.png"):
        evaluate_run(run(overlay__style="fill"), options)
