"""A share of the batches is at least one of them, in training, in the evaluation after it and in a later one."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from test_config import CONF

from bus_lightning.config.limits import are_limited, at_least_one_batch
from bus_lightning.training.evaluate import evaluate_run

EVALUATE = {"part": "test", "split": None, "explain": False, "progress": False,
            "data": {"root": None, "skip_unreadable": False}}  # fmt: skip


@pytest.mark.parametrize(
    ("trainer", "images", "expected"),
    [
        ({"limit_val_batches": 0.5}, {"val": 16}, {"limit_val_batches": 1}),
        ({"limit_val_batches": 0.5}, {"val": 3}, {"limit_val_batches": 1}),
        ({"limit_val_batches": 0.5}, {"val": 32}, {}),
        ({"limit_test_batches": 0.1}, {"test": 144}, {"limit_test_batches": 1}),
        ({"limit_train_batches": 0.1}, {"train": 17}, {"limit_train_batches": 1}),
        ({"overfit_batches": 0.01}, {"train": 17}, {"overfit_batches": 1}),
        ({"overfit_batches": 0.25}, {"train": 200, "val": 16}, {"overfit_batches": 3}),
        ({"overfit_batches": 0.25}, {"train": 200, "val": 0}, {"overfit_batches": 3}),
        ({"overfit_batches": 0.25}, {"train": 200, "val": 64}, {}),
        ({"overfit_batches": 4}, {"train": 200, "val": 16}, {}),
        ({"overfit_batches": 0.0}, {"train": 200, "val": 16}, {}),
        ({"limit_val_batches": 1}, {"val": 3}, {}),
        ({"limit_val_batches": 1.0}, {"val": 3}, {}),
        ({"limit_val_batches": None, "limit_test_batches": 2}, {"val": 3, "test": 3}, {}),
        ({"limit_val_batches": 0.5, "limit_test_batches": 0.5}, {"test": 3}, {"limit_test_batches": 1}),
    ],
)
def test_a_share_below_one_batch_is_one_batch(trainer, images, expected):
    assert at_least_one_batch(OmegaConf.create(trainer), images, batch_size=16) == expected


@pytest.mark.parametrize(
    ("limits", "named"),
    [({}, None), ({"limit_test_batches": None}, None), ({"limit_test_batches": 1.0}, None),
     ({"limit_test_batches": 1}, "trainer.limit_test_batches=1"), ({"overfit_batches": 0.0}, None),
     ({"limit_val_batches": 0.5}, "trainer.limit_val_batches=0.5"),
     ({"overfit_batches": 4}, "trainer.overfit_batches=4")],
)  # fmt: skip
def test_a_limit_that_keeps_a_run_from_evaluating_every_image_is_named(limits, named):
    assert are_limited(OmegaConf.create(limits)) == named


def test_a_run_on_shares_of_few_images_trains_tests_and_is_evaluated_again(trained):
    limits = [f"trainer.limit_{part}_batches=0.01" for part in ("train", "val", "test")]
    run = trained("model=resnet34", "data.batch_size=16", *limits)
    assert (run.metrics["val"]["n"], run.metrics["test"]["n"]) == (5, 14)
    for part in ("test", "val", "train", "all"):
        again = evaluate_run(run, OmegaConf.create(EVALUATE | {"part": part})).metrics
        assert again[part]["n"] > 0
        if part == "test":
            assert again["test"] == run.metrics["test"]


def test_a_share_of_the_batches_is_learnt_by_heart_also_if_it_is_no_batch_of_the_validation_images(trained):
    limits = ["data.batch_size=4", "data.size=32", "trainer.overfit_batches=0.3", "augment=none", "scheduler=none"]
    assert trained("model=resnet34", *limits).is_complete


@pytest.mark.parametrize("more", [["model=u2net_lite"], ["model=resnet34", "trainer.limit_val_batches=0"]])
def test_a_run_without_validation_that_learns_by_heart_validates_nothing(trained, more):
    """Lightning would validate on as many batches as it learns, and warn that there are none."""
    run = trained(*more, "data.batch_size=4", "data.size=32", "trainer.overfit_batches=2", "scheduler=none")
    assert "val/loss" not in run.read_history()
    assert run.metrics["val"]["n"] == 0


def test_the_debugging_of_a_tenth_runs_on_phantoms_with_the_papers_recipe(trained):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        limits = compose("train", overrides=["debug=limit"]).trainer
    assert (limits.limit_train_batches, limits.limit_val_batches) == (0.1, 0.5)
    run = trained("model=resnet50", "debug=limit", "data.size=32", "trainer.max_epochs=1", "data.split.ratio=[11,1,3]")
    assert run.is_complete
