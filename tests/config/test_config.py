"""Composition, names, identity, and what is refused before any compute."""

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from bus_lightning.config.identity import identity
from bus_lightning.config.rules import check, check_validation
from bus_lightning.config.run_names import older_name, run_name
from bus_lightning.config.schema import TRAIN, check_kinds
from bus_lightning.config.settle import with_images
from bus_lightning.config.stored import load_config, save_config
from bus_lightning.core.errors import UserError

CONF = Path(__file__).parents[2] / "conf"


def options(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


# What belongs to a `_target_`, which says itself what is wrong.
OPEN = ("data.sets.", "augment", "optimizer", "scheduler", "callbacks",
        "logger", "task.loss", "model.net", "model.debug_size", "model.imagenet", "task._target_",
        "trainer._target_", "trainer.strategy")  # fmt: skip


def keys(node, above=""):
    """List all keys of a config, with dots."""
    for name in node:
        yield f"{above}{name}"
        if not OmegaConf.is_missing(node, name) and isinstance(node[name], DictConfig):
            yield from keys(node[name], f"{above}{name}.")


@pytest.mark.parametrize(
    ("group", "option"),
    [(group, option) for group in ("model", "experiment", "sweep", "debug", "overlay", "preprocess", "augment",
     "optimizer", "scheduler", "logger", "callbacks", "data", "leak", "task", "trainer") for option in options(group)],
)  # fmt: skip
def test_every_option_of_every_group_composes_and_resolves_to_keys_and_values_that_are_checked(group, option):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        root = ["data.root=x"] if option == "folder" else []
        cfg = compose("train", overrides=[f"{group}={option}", *root])
    OmegaConf.to_container(cfg, resolve=True)
    check_kinds(cfg, TRAIN)
    unknown = [key for key in keys(cfg) if key not in TRAIN and not key.startswith(OPEN)]
    assert not unknown, "say in bus_lightning/config/schema.py what these keys may hold"


def test_the_model_chooses_its_task_and_the_task_the_papers_recipe(composed):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        classifier = compose("train", overrides=["model=deepcardinal50"])
        segmenter = compose("train", overrides=["model=u2net_lite"])
    assert classifier.optimizer._target_ == "torch.optim.Adam"
    assert (classifier.optimizer.lr, classifier.data.batch_size, classifier.trainer.max_epochs) == (1e-4, 16, 100)
    assert (classifier.scheduler.factor, classifier.scheduler.patience) == (0.1, 10)
    assert classifier.data.split.ratio == [11, 1, 3]
    assert classifier.data.size == 224
    assert segmenter.optimizer._target_ == "torch.optim.SGD"
    assert (segmenter.optimizer.lr, segmenter.optimizer.momentum) == (1e-3, 0.9)
    assert segmenter.optimizer.weight_decay == 5e-4
    assert (segmenter.data.batch_size, segmenter.data.split.ratio, segmenter.data.size) == (8, [12, 3], 320)
    assert "SoftDice" in segmenter.task.loss._target_
    assert segmenter.task.name == segmenter.group == "segmentation"


@pytest.mark.parametrize("group", ["experiment", "leak", "sweep", "debug"])
def test_a_recipe_that_would_have_no_effect_is_refused(group, tmp_path):
    file = tmp_path / group / "mine.yaml"
    file.parent.mkdir()
    chosen = [f"{group}=mine", f"hydra.searchpath=[file://{tmp_path}]"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        file.write_text("# @package _global_\ndata: {size: 96}\n")
        whole = compose("train", overrides=chosen)
        file.write_text("data: {size: 96}\n")
        without_effect = compose("train", overrides=chosen)
    check(whole)
    assert whole.data.size == 96
    with pytest.raises(UserError, match=rf"^The file in conf/{group}/ has no effect: make `# @package _global_`"):
        check(without_effect)


def test_the_command_line_wins_over_the_recipe():
    overrides = ["model=u2net_lite", "optimizer=adam", "data.batch_size=4", "data.split.ratio=[11,1,3]",
                 "scheduler=plateau"]  # fmt: skip
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=overrides)
    assert cfg.optimizer._target_ == "torch.optim.Adam"
    assert (cfg.data.batch_size, list(cfg.data.split.ratio), cfg.scheduler.patience) == (4, [11, 1, 3], 10)


def test_a_name_is_the_model_and_the_other_overrides_sorted():
    overrides = ["seed=1", "model=resnet50", "data.size=96", "group=x", "runs_dir=y", "logger=csv",
                 "hydra.verbose=true"]  # fmt: skip
    assert run_name("resnet50", overrides) == "resnet50__data.size-96__seed-1"
    assert run_name("resnet50", ["trainer.fast=True"]) == run_name("resnet50", ["trainer.fast=true"])


PLAIN = {  # overrides -> the name of versions up to 0.1
    "seed=1": "m__seed-1",
    "seed=-1": "m__seed--1",
    "data.size=96 seed=2": "m__data.size-96__seed-2",
    "optimizer.lr=1.0e-4": "m__optimizer.lr-1.0e-4",
    "+trainer.x_y=a_b": "m__trainer.x_y-a_b",
    "model.weights=null": "m__model.weights-null",
    "data.exclude=": "m__data.exclude-",
    "experiment=demo": "m__experiment-demo",
    "data.split.file=my-split.json": "m__data.split.file-my-split.json",
}


@pytest.mark.parametrize("words", PLAIN)
def test_plain_names_are_those_of_earlier_versions(words):
    assert run_name("m", words.split()) == older_name("m", words.split()) == PLAIN[words]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("model.weights=/a/b.pth", "model.weights=/a-b.pth"),
        ("model.weights=/a/b.pth", "model.weights=-a-b.pth"),
        ("model.weights=a b", "model.weights=a=b"),
        ("data.split.ratio=[4,1,1]", "data.split.ratio=[4,1-1]"),
        ("data.classes=[a,b]", "data.classes=a-b"),
        ("data.classes=[a,b]", "data.classes=-a-b-"),
        ("data.classes=[a,b]", "data.classes=[a-b]"),
        ("data.root=/é", "data.root=/ü"),
        ("data.root=1", "data.root='1'"),
        ("data.exclude=", "data.exclude=''"),
        ("~scheduler.factor", "scheduler.factor="),
        ("~scheduler=plateau", "scheduler=plateau"),
        ("a=b__c-d", "a=b c=d"),
        ("a=b_ c=d", "a=b _c=d"),
        ("a-b=c", "a=b-c"),
        ("model.weights=null", "model.weights=None"),
        ("data.root=" + "/a" * 80, "data.root=" + "/a" * 79 + "-a"),
        ("data.root=" + "a" * 200, "data.root=" + "a" * 201),
    ],
)
def test_two_values_never_give_one_name(first, second):
    names = [run_name("m", text.split(" ") if text.count("=") > 1 else [text]) for text in (first, second)]
    assert names[0] != names[1]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,120}", name) for name in names)
    assert [run_name("m", text.split(" ") if text.count("=") > 1 else [text]) for text in (first, second)] == names


@pytest.mark.parametrize("value", ["/ward 3/jane/w.pth", "'/ward 3/jane/w.pth'", "[/jane/w.pth]", r"C:\jane\w.pth"])
def test_a_name_shows_no_folder_of_a_path(value):
    assert re.fullmatch(r"m__model\.weights-+w\.pth-+[0-9a-f]{8}", run_name("m", [f"model.weights={value}"]))


def test_the_same_values_give_one_name_however_they_are_written():
    assert run_name("m", ["b=2", "+a=[1,2]"]) == run_name("m", ["++a=[1,2]", "b=2"])
    assert run_name("m", ["a=True"]) == run_name("m", ["a=true"])


def test_older_names_are_what_earlier_versions_wrote():
    overrides = ["data.split.ratio=[11,1,3]", "data.root=/a b/é", "model.weights=None", "seed=1"]
    assert older_name("m", overrides) == "m__data.root--a-b-__data.split.ratio--11-1-3-__model.weights-null__seed-1"
    assert older_name("m", ["~scheduler"]) == "m__scheduler-"
    assert len(older_name("m", [f"data.classes=[{'x' * 200}]"])) == 120


def test_identity_ignores_where_and_how_fast_and_sees_what_decides_numbers(composed):
    base = identity(composed())
    shows = ["++callbacks.progress._target_=lightning.pytorch.callbacks.TQDMProgressBar",
             "callbacks.wandb_epoch.images=3", "callbacks.wandb_epoch=null",
             "callbacks.checkpoint.every_n_train_steps=3",
             "+callbacks.rates._target_=lightning.pytorch.callbacks.LearningRateMonitor",
             "+callbacks.all._target_=lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint"]  # fmt: skip
    for other in ("data.workers=2", "logger=csv", "data.root=/elsewhere", "trainer.max_epochs=9", "trainer.devices=2",
                  "data.resize_masks=true", "data.drop_conflicts=true",
                  "callbacks.progress=null", *shows):  # fmt: skip
        assert identity(composed(other)) == base, other
    decisive = "seed=1 optimizer.lr=0.1 data.split.seed=1 overlay=fill augment=none data.size=32 preprocess=clean"
    trains = ["trainer.accumulate_grad_batches=2", "trainer.limit_val_batches=1", "trainer.gradient_clip_val=1",
              "+trainer.check_val_every_n_epoch=2", "scheduler=none", "scheduler=cosine", "scheduler.factor=0.5",
              "scheduler.patience=3", "callbacks.step_seed=null", "callbacks=ema", "callbacks=early_stopping",
              "+callbacks.x._target_=mine.ModelCheckpoint",
              "+callbacks.x._target_=lightning.pytorch.callbacks.GradientAccumulationScheduler"]  # fmt: skip
    for other in (*decisive.split(), "trainer.precision=bf16-mixed", "model=resnet34", "task.loss.label_smoothing=0.1",
                  *trains):  # fmt: skip
        assert identity(composed(other)) != base, other
    assert identity(composed("callbacks=ema")) != identity(composed("callbacks=ema", "callbacks.ema.decay=0.5"))


def test_the_config_of_an_older_run_lacks_keys_and_is_the_same_experiment(composed, tmp_path):
    cfg = with_images(composed(), ["benign", "malignant", "normal"], [])
    save_config(cfg, tmp_path / "config.yaml")
    older = OmegaConf.load(tmp_path / "config.yaml")
    for group, names in {
        "data": ["cache_gb", "on_device", "mistake"],
        "data.split": ["cross_folds", "cross_fold"],
        "callbacks": ["step_seed"],
        "trainer": ["limit_val_batches"],
        "model": ["weights"],
    }.items():
        for name in names:  # fmt: skip
            OmegaConf.select(older, group).pop(name)
    older.callbacks.early_stopping = None  # as versions up to 0.1 had it
    OmegaConf.save(older, tmp_path / "older.yaml")
    read = load_config(tmp_path / "older.yaml")
    assert identity(read) == identity(cfg)
    assert (read.data.cache_gb, read.data.on_device, read.data.mistake) == (20, None, None)
    assert (read.data.split.cross_folds, read.data.split.cross_fold) == (None, None)
    older.data.cache_gb, older.data.mistake = 3, "mask_files"  # what is there stays
    OmegaConf.save(older, tmp_path / "older.yaml")
    assert load_config(tmp_path / "older.yaml").data.cache_gb == 3
    assert identity(load_config(tmp_path / "older.yaml")) != identity(cfg)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["model=u2net_lite", "scheduler=plateau"], "val_from_train=1"),
        (["model=u2net_lite", "callbacks=early_stopping"], "Early stopping"),
        (["model=u2net_lite", "overlay=contour"], "overlay=none"),
        (["overlay=fill", "overlay.source=predicted"], "use overlay=predicted, .* overlay.style=fill"),
        (["overlay=predicted", "overlay.tasks=[clasification]"], "overlay.tasks=[clasification]: give a list of tasks"),
        (["model=u2net_lite", "data.balance=class_weights"], "class_weights"),
        (["data.split.method=groupd"], "grouped"),
        (["data.balance=often"], "oversample"),
        (["trainer.devices=0"], "at least 1"),
        (["+trainer.callbacks=[a]"], r"use \+callbacks.NAME"),
        (["+trainer.logger=false"], "logger=csv"),
        (["+trainer.plugins=[a]"], "ignored"),
        (["+trainer.enable_checkpointing=false"], "leave it out"),
        (["data.split.file=mine.json"], "needs data.split.method=file"),
        (["data.split.method=file", "data.split.file=x", "data.split.val_from_train=1"], "no effect with.*method=file"),
        (["data.split.method=file", "data.split.file=x", "data.split.folds=5"], "split.folds has no effect with.*file"),
        (["data.split.method=file", "data.split.file=x", "data.split.fold=0"], "split.fold has no effect with.*file"),
        (["data.split.method=published", "data.split.val_from_train=1"], "no effect with.*method=published"),
        (["data.split.method=published", "data.split.seed=1"], "split.seed=1 has no effect with.*method=published"),
        (["data.split.method=file", "data.split.file=x", "data.split.seed=2"], "split.seed=2 has no effect with.*file"),
        (["data.channels=2"], "data.channels=2"),
        (["data.split.ratio=[1]"], "data.split.ratio"),
        (["+trainer.max_steps=3"], "max_epochs"),
        (["+trainer.max_time=00:00:00:01"], "max_epochs"),
        (["+trainer.fast_dev_run=1"], "debug=fast"),
        (["+trainer.barebones=true"], "debug=profile"),
        (["+trainer.val_check_interval=0.5"], "check_val_every_n_epoch"),
        (["+trainer.val_check_interval=1"], "check_val_every_n_epoch"),
        (["+trainer.check_val_every_n_epoch=3", "trainer.max_epochs=2"], "from 1 to 2"),
        (["+trainer.check_val_every_n_epoch=null"], "from 1 to 1"),
        (["trainer.max_epochs=0"], "at least 1"),
        (["trainer.max_epochs=-1"], "at least 1"),
        (["trainer.limit_train_batches=0"], "at least 1"),
        (["trainer.limit_test_batches=0.0"], "at least 1"),
        (["trainer.limit_val_batches=0"], "limit_val_batches=0 turns it off"),
        (["trainer.precision=transformer-engine"], "bf16-mixed"),
        (["trainer.precision=16-true"], r"\+optimizer.eps=1e-4"),
        (["trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1"], "fused=false"),
        (["+data.sise=96"], "data.sise is unknown: choose from size"),
        (["+data.split.foo=1"], "data.split.foo is unknown: choose from cross_fold"),
        (["+preprocess.foo=1"], "preprocess.foo is unknown: choose from contrast, denoise"),
        (["+overlay.colour=[1,2,3]"], "overlay.colour is unknown: choose from color"),
        (["+predict.flip=true"], "predict.flip is unknown: choose from flips"),
        (["+data.map.klass={a: [b]}"], "data.map.klass is unknown: choose from class"),
        (["data=phantom", "+data.phantom.image=9"], "data.phantom.image is unknown: choose from images"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(composed, overrides, named):
    with pytest.raises(UserError, match=named.replace("[", r"\[")) as error:
        check(composed(*overrides))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "overrides",
    [["+trainer.max_steps=-1"], ["+trainer.max_time=null"], ["+trainer.fast_dev_run=false"], ["+trainer.min_epochs=1"],
     ["+trainer.val_check_interval=1.0"], ["+trainer.check_val_every_n_epoch=2", "trainer.max_epochs=2"],
     ["trainer.gradient_clip_val=1", "trainer.precision=64-true"],
     ["trainer.limit_val_batches=0", "scheduler=none"], ["trainer.limit_test_batches=1"]],
)  # fmt: skip
def test_options_of_the_trainer_that_work_are_let_through(composed, overrides):
    check(composed(*overrides))


def test_a_sweeper_without_a_validation_score_is_refused(composed):
    with pytest.raises(UserError, match="A search needs a validation set"):
        check(composed("model=u2net_lite"), sweeps_score=True)
    check(composed("model=u2net_lite", "data.split.val_from_train=1"), sweeps_score=True)


def test_validation_from_train_allows_what_needs_validation(composed):
    check(composed("model=u2net_lite", "scheduler=plateau", "data.split.val_from_train=1"))


def test_a_split_that_is_read_may_have_validation_images_and_a_line_names_its_own_cure_if_it_has_none(composed):
    for method, cure in (("published", "use data.split.method=grouped"), ("file", r"the list val of .*=mine\.json")):
        file = ["data.split.file=mine.json"] * (method == "file")
        cfg = composed("model=u2net_lite", "scheduler=plateau", f"data.split.method={method}", *file)
        check(cfg)
        check_validation(cfg, True, False)
        with pytest.raises(UserError, match=f"and this split has none: .*{cure}.* Or use scheduler=none"):
            check_validation(cfg, False, False)
