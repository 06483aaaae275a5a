"""Every key of the config holds what it can hold, or is refused in one line that names it, before any compute."""

import copy
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from test_config import keys

from bus_lightning.config.rules import check
from bus_lightning.config.schema import EVALUATE, TRAIN, check_kinds
from bus_lightning.core.errors import UserError
from bus_lightning.training.evaluate import patterns_of

CONF = Path(__file__).parents[2] / "conf"


def configured(*overrides, name="train"):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, overrides=list(overrides))


def with_value(cfg, text):
    """Set a key as the command line does."""
    override = OverridesParser.create().parse_override(text)
    changed = copy.deepcopy(cfg)
    OmegaConf.update(changed, override.key_or_group, override.value(), merge=False, force_add=True)
    return changed


def test_the_table_has_no_key_that_no_config_has():
    choices = ["model=joint_unet", "overlay=predicted_crop", "callbacks=early_stopping", "optimizer=sgd",
               "scheduler=cosine", "augment=scaled", "data=phantom", "task=joint"]  # fmt: skip
    more = ["scheduler=plateau", "model=u2net_lite"]
    warmup = ["scheduler=warmup_cosine"]
    known = {key for overrides in (choices, [*choices, *more], more, warmup) for key in keys(configured(*overrides))}
    assert set(TRAIN) <= known
    assert set(EVALUATE) == set(keys(configured("runs=x", "data.phantom={images:9,seed:0}", name="evaluate")))


WRONG = [
    "data.root=[a,b]", "data.root=5", "data.size=[320,240]", "data.size=-3", "data.size=0", "data.size=64.5",
    "data.size=big", "data.size=true", "data.classes=benign", "data.classes=[]", "data.classes=[benign,benign]",
    "data.classes=[0,1]", "seed=-1", "seed=1.5", "seed=99999999999", "seed=true", "seed=abc", "runs_dir=",
    "runs_dir=5", "runs_dir=null", "group=..", "group=.hidden", "group=a/b", "group=true", "name=a/b", "name=..",
    "name=",
    "name=x.old-1", "rerun=1", "rerun=yes", "rerun=no", "debug_size=null", "data.batch_size=0", "data.batch_size=2.5",
    "data.batch_size=8x", "data.workers=-1", "data.workers=true", "data.cache=[a]", "data.cache_gb=lots",
    "data.cache_gb=-1", "data.cache_gb=inf", "data.cache_gb=nan", "data.mean=[1,2]", "data.mean=0.5",
    "data.std=[0,1,1]",
    "data.std=[a,b,c]", "data.on_device=1", "data.phantom=5", "data.mistake=other", "data.resize=crop",
    "data.split.ratio=[a,b,c]", "data.split.ratio=4", "data.split.ratio=[4]", "data.split.ratio=[1,2,3,4]",
    "data.split.ratio=[4,-1,1]", "data.split.ratio=[true,1,1]", "data.split.seed=abc", "data.split.folds=1",
    "data.split.fold=-1", "data.split.fold=0.5", "data.split.val_from_train=-1", "data.split.cross_folds=two",
    "trainer.max_epochs=0", "trainer.max_epochs=-1", "trainer.max_epochs=1e2", "trainer.max_epochs=ten",
    "trainer.limit_val_batches=1.5", "trainer.limit_val_batches=-1", "trainer.limit_train_batches=0",
    "trainer.limit_test_batches=half", "trainer.gradient_clip_val=-1", "trainer.accumulate_grad_batches=0",
    "trainer.deterministic=maybe", "trainer.enable_progress_bar=1", "trainer.precision=[16]", "trainer.devices=-2",
    "trainer.profiler=1", "trainer.overfit_batches=-4", "preprocess.parts=train", "preprocess.parts=[trian]",
    "preprocess.denoise=3", "preprocess.denoise=wavelet", "preprocess.contrast=gamma", "overlay.style=arrow",
    "overlay.source=prediction", "overlay.color=red", "overlay.color=[1,2]", "overlay.color=[1,2,300]",
    "overlay.alpha=2",
    "overlay.parts=[all]", "optimizer.lr=abc", "optimizer.lr=-1", "optimizer.lr=nan", "optimizer.weight_decay=true",
    "scheduler.patience=-1", "scheduler.factor=x", "task.mode=most", "task.monitor=5", "model.weights=[a]",
    "model.net=5", "model.name=a/b", "model.name=50", "callbacks.step_seed=7",
    "callbacks.checkpoint.every_n_train_steps=0",
    "callbacks.wandb_epoch.images=-1", "logger.wandb=7", "logger.wandb.tags=small", "logger.wandb.tags=[[a]]",
    f"logger.wandb.tags=[{'x' * 65}]", "logger.wandb.watch=everything", f"logger.wandb.project={'x' * 129}",
    "logger.wandb.notes=[a]", "logger.wandb.image_names=no", "channels_last=1", "channels_last=maybe",
]  # fmt: skip


@pytest.fixture(scope="module")
def whole():
    return configured()


@pytest.mark.parametrize("override", WRONG)
def test_a_value_of_the_wrong_kind_is_refused_in_one_line_that_names_the_key_and_what_it_takes(whole, override):
    key = override.partition("=")[0]
    cfg = with_value(whole, override)
    with pytest.raises(UserError) as refused:
        check(cfg)
    line = str(refused.value)
    assert line.startswith(f"{key}=")
    assert "give " in line or " is unknown: choose " in line
    assert "\n" not in line


RIGHT = [
    "seed=null", "seed=4294967295", "data.classes=[benign,malignant]", "data.root=/a b", "name=5", "group=2026",
    "name=1.5", "data.split.ratio=[0.7,0.1,0.2]", "data.split.ratio=[4,1]", "trainer.limit_val_batches=0.5",
    "trainer.limit_val_batches=3", "trainer.limit_val_batches=1.0", "trainer.precision=64-true", "trainer.precision=32",
    "trainer.deterministic=warn", "optimizer.lr=0", "optimizer.lr=1e-30", "logger.wandb.tags=[1,2]",
    "logger.wandb.tags=[]", "logger.wandb.project=2026", "logger.wandb=null", "callbacks.progress=null",
    "data.workers=0", "data.cache_gb=0", "channels_last=true", "callbacks.wandb_epoch.images=0",
]  # fmt: skip


@pytest.mark.parametrize("override", RIGHT)
def test_a_value_that_can_be_used_is_taken(whole, override):
    check_kinds(with_value(whole, override), TRAIN)


@pytest.mark.parametrize("key", ["trainer", "data", "model", "task", "optimizer", "preprocess", "overlay", "runs_dir",
                                 "print_config", "data.split", "data.batch_size", "trainer.max_epochs",
                                 "model.net", "data.phantom.images", "data.phantom.seed"])  # fmt: skip
def test_what_is_needed_cannot_be_taken_out(whole, key):
    cfg = OmegaConf.create(OmegaConf.to_container(whole))
    cfg.data.phantom = {"images": 9, "seed": 0}
    parent, _, name = key.rpartition(".")
    del (OmegaConf.select(cfg, parent) if parent else cfg)[name]
    with pytest.raises(UserError, match=f"^{key} is missing"):
        check_kinds(cfg, TRAIN)


@pytest.mark.parametrize("key", ["logger", "callbacks", "scheduler", "augment", "seed", "name", "data.exclude",
                                 "data.split.fold", "trainer.limit_val_batches", "model.weights"])  # fmt: skip
def test_a_key_that_may_be_none_is_none_after_it_is_taken_out(whole, key):
    cfg = OmegaConf.create(OmegaConf.to_container(whole))
    parent, _, name = key.rpartition(".")
    del (OmegaConf.select(cfg, parent) if parent else cfg)[name]
    filled = check_kinds(cfg, TRAIN)
    assert not OmegaConf.select(filled, key)
    assert name in (OmegaConf.select(filled, parent) if parent else filled)
    assert name not in (OmegaConf.select(cfg, parent) if parent else cfg), "a check changes nothing"


PLACES = ["runs_dir", "protocol", "data.root", "data.table", "data.cache", "data.exclude", "data.split.file",
          "model.weights"]  # fmt: skip


@pytest.mark.parametrize("key", PLACES)
def test_a_path_may_begin_with_the_sign_of_the_home_folder(whole, key, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    checked = check_kinds(with_value(whole, f"{key}='~/a b/x'"), TRAIN)
    assert OmegaConf.select(checked, key) == "/home/me/a b/x"
    assert OmegaConf.select(check_kinds(with_value(whole, f"{key}='a~/x'"), TRAIN), key) == "a~/x"


def test_patterns_of_runs_may_begin_with_the_sign_of_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert patterns_of("~/runs/*") == ["/home/me/runs/*"]
    assert patterns_of(["~/a", "b~"]) == ["/home/me/a", "b~"]


@pytest.mark.parametrize("override", ["runs=5", "runs=[]", "runs=[5]", "part=1", "progress=yes", "explain=1",
                                      "data.root=[a]", "explain_options.images=0", "explain_options.methods=gradcam",
                                      "explain_options.random_seed=-1"])  # fmt: skip
def test_options_of_evaluate_are_checked_too(override):
    cfg = configured("runs=x", name="evaluate")
    with pytest.raises(UserError, match=f"^{override.partition('=')[0]}=.*: give "):
        check_kinds(with_value(cfg, override), EVALUATE)
