"""Sweeps are one command each: what jobs they stand for, and what a search asks for."""

import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from bus_lightning.config.data_sets import list_tested_sets
from bus_lightning.config.rules import check
from bus_lightning.config.run_names import run_name
from bus_lightning.config.settle import settle
from bus_lightning.data.augment import Augmentation
from bus_lightning.data.phantom import draw_phantom
from bus_lightning.launch.grids import check_grid
from bus_lightning.launch.plugins import prefer_our_configs

ROOT = Path(__file__).parents[2]


def configured(*overrides, hydra=False):
    prefer_our_configs()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", overrides=list(overrides), return_hydra_config=hydra)


def jobs_of(*overrides):
    """Return the jobs of a sweep: name of its run -> its config."""
    hydra = configured(*overrides, hydra=True).hydra
    assert hydra.mode.name == "MULTIRUN"
    swept = [f"{key}={value}" for key, value in hydra.sweeper.params.items()]
    (batch,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides([*swept, *overrides]), None)
    configs = [configured(*job) for job in batch]
    jobs = {run_name(cfg.model.name, job): cfg for cfg, job in zip(configs, batch, strict=True)}
    assert len(jobs) == len(batch)  # each has its own folder
    return jobs


def test_the_papers_sweep_is_its_classifiers_and_its_segmenter():
    jobs = jobs_of("sweep=paper")
    assert list(jobs) == ["resnet34_pretrained", "resnet34", "resnet50", "alexnet", "deepcardinal50", "u2net_lite"]
    assert [cfg.task.name for cfg in jobs.values()] == 5 * ["classification"] + ["segmentation"]


def test_the_segmentation_sweep_is_the_segmenters():
    jobs = jobs_of("sweep=segmentation")
    assert list(jobs) == ["u2net_lite", "u2net", "unet"]
    assert {cfg.task.name for cfg in jobs.values()} == {"segmentation"}
    assert {cfg.group for cfg in jobs.values()} == {"segmentation"}


def test_seeds_share_a_split_and_nothing_else():
    jobs = jobs_of("sweep=seeds", "model=resnet50")
    assert list(jobs) == [f"resnet50__seed-{seed}" for seed in range(5)]
    assert {cfg.data.split.seed for cfg in jobs.values()} == {0}
    assert {cfg.model.name for cfg in jobs.values()} == {"resnet50"}


def test_folds_are_five_parts_of_one_split():
    jobs = jobs_of("sweep=folds", "model=resnet50")
    assert [(cfg.data.split.folds, cfg.data.split.fold) for cfg in jobs.values()] == [(5, fold) for fold in range(5)]
    assert {(cfg.seed, cfg.data.split.seed) for cfg in jobs.values()} == {(0, 0)}


def test_two_stages_train_all_segmenters_before_the_first_classifier():
    jobs = list(jobs_of("sweep=two_stage").values())
    assert [cfg.task.name for cfg in jobs] == 4 * ["segmentation"] + 4 * ["classification"]
    assert [cfg.data.split.cross_fold for cfg in jobs] == 2 * [None, 0, 1, 2]
    assert {tuple(cfg.data.split.ratio) for cfg in jobs} == {(11, 1, 3)}
    assert configured("sweep=two_stage", hydra=True).hydra.sweeper.max_batch_size == 4


def test_each_data_set_is_left_out_once_and_the_run_is_named_after_it():
    jobs = jobs_of("sweep=leave_one_dataset_out", "model=resnet34")
    assert list(jobs) == [f"resnet34__data.test-{name}" for name in ("busi", "bus_bra", "breast")]
    for cfg, tested in zip(jobs.values(), ("busi", "bus_bra", "breast"), strict=True):
        check(cfg)
        assert list_tested_sets(cfg.data) == [tested]
        assert set(cfg.data.sets) == {"busi", "bus_bra", "breast"}
        assert cfg.data.classes == ["benign", "malignant"]


def test_the_sets_that_are_left_out_are_those_of_the_command():
    hydra = configured("sweep=leave_one_dataset_out", "data=[busi,bus_uclm]", hydra=True)
    assert hydra.hydra.sweeper.params["data.test"] == "busi,bus_uclm"
    check_grid(hydra)
    assert set(hydra.data.sets) == {"busi", "bus_uclm"}


@pytest.mark.parametrize("values", ["busi,bus_bra", "[busi],[bus_bra]"])
def test_the_tested_sets_can_be_swept_by_hand(values):
    (batch,) = BasicSweeper.split_arguments(
        OverridesParser.create().parse_overrides([f"data.test={values}", "data=[busi,bus_bra]"]), None
    )
    configs = [settle(configured(*job), rules=2) for job in batch]
    assert [list(cfg.data.test) for cfg in configs] == [["busi"], ["bus_bra"]]
    assert len({run_name("resnet34", job) for job in batch}) == 2


def test_every_job_of_a_sweep_is_shown_and_none_is_trained(tmp_path):
    overrides = ["-m", "sweep=leave_one_dataset_out", "data=[busi,bus_bra]", f"runs_dir={tmp_path}", "--cfg", "job"]
    shown = subprocess.run([sys.executable, "train.py", *overrides], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert [yaml.safe_load(job)["data"]["test"] for job in shown.stdout.split("---")] == ["busi", "bus_bra"]
    assert not list(tmp_path.iterdir())


@pytest.mark.nightly
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_each_data_set_is_tested_by_a_run_that_is_trained_on_the_others(phantom, audit_cache, tmp_path, launcher):
    other = tmp_path / "other"
    draw_phantom(other, images=36, seed=1)
    overrides = ["sweep=leave_one_dataset_out", "data=[busi,udiat]", "model=resnet34", "data.sets.udiat.source=folder",
                 f"data.sets.busi.root={phantom}", f"data.sets.udiat.root={other}", f"data.cache={audit_cache}",
                 "data.size=32", "debug_size=true", "trainer.max_epochs=1", "logger=none",
                 f"runs_dir={tmp_path / 'runs'}", "data.split.ratio=[2,1,1]", f"hydra/launcher={launcher}"]  # fmt: skip
    done = subprocess.run([sys.executable, "train.py", *overrides], cwd=ROOT, capture_output=True, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    splits = [
        json.loads(file.read_text()) for file in (tmp_path / "runs" / "leave_one_dataset_out").glob("*/split.json")
    ]
    sets = [{part: {id_.partition("/")[0] for id_ in split[part]} for part in ("train", "test")} for split in splits]
    assert sorted(sets, key=str) == [{"train": {"busi"}, "test": {"udiat"}}, {"train": {"udiat"}, "test": {"busi"}}]


@pytest.mark.parametrize("sweep", [file.stem for file in (ROOT / "conf" / "sweep").glob("*.yaml")])
def test_every_sweep_runs_as_a_grid_without_m(sweep):
    """A sweep file without `hydra.mode` would train one job and say nothing."""
    assert configured(f"sweep={sweep}", hydra=True).hydra.mode.name == "MULTIRUN"


@pytest.mark.parametrize("model", ["resnet34", "u2net_lite"])
@pytest.mark.parametrize("how", ["sweep=search", "hydra/sweeper=optuna"])
def test_a_search_looks_for_the_highest_validation_score(how, model):
    cfg = configured(how, f"model={model}", "data.split.val_from_train=1", hydra=True)
    assert cfg.hydra.sweeper.direction == "maximize"
    assert cfg.task.mode == "max"
    assert cfg.task.monitor.startswith("val/")


@pytest.mark.parametrize("how", ["sweep=search", "hydra/sweeper=optuna"])
def test_a_search_for_a_score_that_is_best_when_low_looks_for_the_lowest(how):
    from hydra.utils import instantiate

    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    cfg = configured(how, "model=resnet34", "task.monitor=val/loss", "task.mode=min", hydra=True)
    assert instantiate(cfg.hydra.sweeper).sweeper.direction == "minimize"


@pytest.mark.parametrize(("strength", "rate", "decay"), [(0.25, 1e-5, 1e-6), (2.0, 1e-2, 1e-2)])
def test_every_value_of_a_search_is_valid_up_to_its_bounds(strength, rate, decay):
    params = configured("sweep=search", hydra=True).hydra.sweeper.params
    values = {"augment": "scaled", "augment.strength": strength, "optimizer.lr": rate, "optimizer.weight_decay": decay}
    assert set(params) == set(values)
    for key, value in values.items():
        if key != "augment":
            low, high = (float(bound) for bound in params[key].rpartition("(")[2].rstrip(")").split(","))
            assert low <= value <= high
    cfg = configured("sweep=search", "model=resnet34", *(f"{key}={value}" for key, value in values.items()))
    check(cfg, sweeps_score=True)
    Augmentation(OmegaConf.to_container(cfg.augment))
    assert (cfg.augment.strength, cfg.optimizer.lr, cfg.optimizer.weight_decay) == (strength, rate, decay)


class Trials:
    """Stands in for a launcher: takes trials in, and gives each a score that its parameters decide."""

    def __init__(self, trained, stop_before=None):
        self.trained, self.stop_before, self.number = trained, stop_before, count()

    def launch(self, job_overrides, initial_job_idx):
        from hydra.core.utils import JobReturn, JobStatus

        returned = []
        for job in job_overrides:
            if next(self.number) == self.stop_before:
                raise SystemExit(143)
            name = run_name("resnet34", job)
            options = {key: float(value) for key, _, value in (part.partition("=") for part in job) if "." in key}
            score = -abs(np.log10(options["optimizer.lr"]) + 3) - options["augment.strength"]
            self.trained.setdefault(name, score)  # as a run that is complete keeps its score
            returned.append(JobReturn(overrides=job, status=JobStatus.COMPLETED, _return_value=self.trained[name]))
        return returned


@pytest.fixture
def search(tmp_path):
    """Search with a stand-in for the launcher; name of the runs -> score, in the order in which they were asked for."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")

    def go(trained, trials, stop_before=None):
        from hydra.utils import instantiate

        hydra = configured("sweep=search", f"hydra.sweeper.n_trials={trials}", f"runs_dir={tmp_path}", hydra=True)
        sweeper = instantiate(hydra.hydra.sweeper).sweeper
        (tmp_path / "search").mkdir(exist_ok=True)
        sweeper.config, sweeper.hydra_context = hydra, "none"
        sweeper.launcher = Trials(trained, stop_before)
        sweeper.sweep(["model=resnet34"])
        return list(trained)

    return go


@pytest.mark.filterwarnings("ignore:.*SQLAlchemy 2.0")  # on behalf of Optuna 2.10
def test_the_same_search_again_asks_for_the_same_trials_and_goes_on_where_it_was_stopped(search):
    whole = search({}, trials=14)
    assert len(set(whole)) == 14
    begun = {}
    with pytest.raises(SystemExit):
        search(begun, trials=14, stop_before=12)
    assert list(begun) == whole[:12]
    assert search(begun, trials=14) == whole
    assert search(begun, trials=16)[:14] == whole  # and more trials follow on what is there


@pytest.mark.nightly
def test_a_search_trains_and_again_trains_only_what_is_new(phantom, audit_cache, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")

    def go(trials):
        overrides = ["sweep=search", "model=alexnet", f"data.root={phantom}", f"data.cache={audit_cache}",
                     "data.size=64", "debug_size=true", "trainer.max_epochs=1", "logger=none", f"runs_dir={tmp_path}",
                     f"hydra.sweeper.n_trials={trials}"]  # fmt: skip
        return subprocess.run([sys.executable, "train.py", *overrides], cwd=ROOT, capture_output=True, text=True,
                              env=os.environ | {"OMP_NUM_THREADS": "1"})  # fmt: skip

    assert go(2).returncode == 0
    again = go(3)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("complete, skipped") == 2
    assert again.stderr.count(": starting") == 1
    best = yaml.safe_load((tmp_path / "search" / "optimization_results.yaml").read_text())
    assert set(best["best_params"]) == {"optimizer.lr", "optimizer.weight_decay", "augment.strength"}
