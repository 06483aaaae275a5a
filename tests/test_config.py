"""Composition, names, identity, and what is refused before any compute."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from bus_lightning.config import check, identity, run_name
from bus_lightning.errors import UserError

CONF = Path(__file__).parent.parent / "conf"


def options(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize(
    ("group", "option"),
    [(group, option) for group in ("model", "experiment", "sweep", "debug", "overlay", "preprocess", "augment",
     "optimizer", "scheduler", "logger", "callbacks", "data") for option in options(group)],
)  # fmt: skip
def test_every_option_of_every_group_composes_and_resolves(group, option):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        root = ["data.root=x"] if option == "folder" else []
        cfg = compose("train", overrides=[f"{group}={option}", *root])
    OmegaConf.to_container(cfg, resolve=True)


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


def test_the_command_line_wins_over_the_recipe():
    said = ["model=u2net_lite", "optimizer=adam", "data.batch_size=4", "data.split.ratio=[11,1,3]", "scheduler=plateau"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=said)
    assert cfg.optimizer._target_ == "torch.optim.Adam"
    assert (cfg.data.batch_size, list(cfg.data.split.ratio), cfg.scheduler.patience) == (4, [11, 1, 3], 10)


def test_a_name_is_the_model_and_the_other_overrides_sorted():
    said = ["seed=1", "model=resnet50", "data.size=96", "group=x", "runs_dir=y", "logger=csv", "hydra.verbose=true"]
    assert run_name("resnet50", said) == "resnet50__data.size-96__seed-1"
    assert run_name("resnet50", ["trainer.fast=True"]) == run_name("resnet50", ["trainer.fast=true"])


def test_a_name_has_only_safe_characters_and_an_end_that_tells_long_ones_apart():
    name = run_name("m", ["data.split.ratio=[11,1,3]", "data.root=/a b/é"])
    assert name == "m__data.root-a-b---__data.split.ratio--11-1-3-".replace("a-b---", "-a-b-")
    long = [run_name("m", [f"data.classes=[{'x' * 200}{end}]"]) for end in "ab"]
    assert long[0] != long[1]
    assert max(map(len, long)) <= 120


def test_identity_ignores_where_and_how_fast_and_sees_what_decides_numbers(composed):
    base = identity(composed())
    for other in ("data.workers=2", "logger=csv", "data.root=/elsewhere", "trainer.max_epochs=9", "trainer.devices=2"):
        assert identity(composed(other)) == base, other
    said = "seed=1 optimizer.lr=0.1 data.split.seed=1 overlay=fill augment=none data.size=32 preprocess=clean"
    for other in (*said.split(), "trainer.precision=bf16-mixed", "model=resnet34", "task.loss.label_smoothing=0.1"):
        assert identity(composed(other)) != base, other


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (["model=u2net_lite", "scheduler=plateau"], "val_from_train=1"),
        (["model=u2net_lite", "callbacks=early_stopping"], "Early stopping"),
        (["model=u2net_lite", "overlay=contour"], "overlay=none"),
        (["model=u2net_lite", "data.balance=class_weights"], "class_weights"),
        (["data.split.method=groupd"], "grouped"),
        (["data.balance=often"], "oversample"),
        (["data.channels=2"], "data.channels=2"),
        (["data.split.ratio=[1]"], "data.split.ratio"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(composed, said, named):
    with pytest.raises(UserError, match=named.replace("[", r"\[")) as error:
        check(composed(*said))
    assert "\n" not in str(error.value)


def test_a_sweeper_without_a_validation_score_is_refused(composed):
    with pytest.raises(UserError, match="no score to optimise"):
        check(composed("model=u2net_lite"), sweeps_score=True)
    check(composed("model=u2net_lite", "data.split.val_from_train=1"), sweeps_score=True)


def test_validation_from_train_allows_what_needs_validation(composed):
    check(composed("model=u2net_lite", "scheduler=plateau", "data.split.val_from_train=1"))
