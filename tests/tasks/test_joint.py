"""One network with two heads answers both questions, and is shown next to those that answer one."""

import logging

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from recordings import read_recording
from test_evaluating import request
from torch import nn

from bus_lightning.config.build import build, build_net
from bus_lightning.core.errors import UserError
from bus_lightning.metrics.columns import cases_of_task
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.report.making import make_report
from bus_lightning.runs.table import collect
from bus_lightning.statistics.checks import find_problems
from bus_lightning.statistics.conditions import of_task, read_group
from bus_lightning.tasks.losses import JointLoss, SoftDiceLoss
from bus_lightning.training import fit, train
from bus_lightning.training.evaluate import evaluate_run

NET = "model=joint_unet"


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr(fit, "save_sheet", lambda *_: None)


@pytest.fixture
def finished_jointly(finished):
    """The folder of a joint run, without training: a classifier's probabilities and a segmenter's counts."""

    def make(*overrides, **options):
        tables = [
            pd.read_csv(finished(f"model={net}", f"group={net}", **options).cases) for net in ("resnet34", "unet")
        ]
        return finished(NET, *overrides, cases=tables[0].merge(tables[1], on=["id", "split", "label"]))

    return make


def test_the_joint_network_answers_both_questions(trained):
    run = trained(NET)
    cases = pd.read_csv(run.cases)
    probabilities, counts = ["prob_benign", "prob_malignant", "prob_normal"], ["tp", "fp", "fn", "tn"]
    lesions = ["lesions", "lesions_found", "lesions_well_found", "false_lesions"]
    assert list(cases) == ["id", "split", "label", *probabilities, *counts, "hd95", "surface_dice", *lesions]
    np.testing.assert_allclose(cases[probabilities].sum(axis=1), 1, atol=1e-5)
    assert {"auroc_macro", "dice_image", "accuracy", "accuracy_pooled"} <= run.metrics["test"].keys()
    assert run.status["score"] == pytest.approx(run.metrics["val"]["auroc_macro"])
    for row in cases.query("split == 'test'").itertuples():  # the kept masks are the answers that were counted
        assert np.asarray(Image.open(run.masks / f"{row.id}.png")).sum() == row.tp + row.fp
    history = set(pd.read_csv(run.history))
    assert {"train/accuracy", "train/tp_share", "val/auroc_macro", "val/dice_image", "val/accuracy_pooled"} <= history
    assert (run.figures / "test_samples.png").stat().st_size > 10_000
    (row,) = collect([run.path]).to_dict("records")
    assert all(row[score] is not None for score in ("accuracy", "auroc_macro", "dice_image", "majority"))


@pytest.mark.slow
def test_a_joint_run_has_no_heat_maps_and_says_so(trained, no_pictures, caplog):
    run = trained(NET)
    caplog.set_level(logging.INFO)
    options = {"methods": ["gradcam"], "images": 1, "integration_steps": 1, "occlusion_positions": 4, "random_seed": 0}
    evaluate_run(run, request(explain=True, explain_options=options))
    assert "no heat maps: they explain classifiers, and this run's task is joint" in caplog.text


def test_two_losses_are_weighed(composed):
    torch.manual_seed(0)
    logits = torch.randn(4, 1, 8, 8), torch.randn(4, 3)
    target = torch.randint(2, (4, 1, 8, 8)), torch.tensor([0, 1, 2, 1])
    weight = torch.tensor([1.0, 2.0, 3.0])
    of_mask = SoftDiceLoss()(logits[0], target[0])
    of_class = nn.CrossEntropyLoss(weight, label_smoothing=0.1)(logits[1], target[1])
    options = ["mask_weight=0.3", "class_weight=0.7", "label_smoothing=0.1"]
    loss = build(composed(NET, *(f"task.loss.{option}" for option in options)).task.loss, weight=weight)
    assert loss(logits, target).item() == pytest.approx((0.3 * of_mask + 0.7 * of_class).item())


@pytest.mark.parametrize(("weights", "idle"), [((0, 1), "segmentation_head"), ((1, 0), "classification_head")])
def test_each_loss_reaches_the_shared_encoder_and_its_own_head(composed, weights, idle):
    cfg = composed(NET)
    cfg.data.num_classes = 3
    net = build_net(cfg.model, debug_size=True)
    target = torch.ones(2, 1, 64, 64), torch.tensor([0, 1])
    JointLoss(SoftDiceLoss(), *weights)(net(torch.randn(2, 3, 64, 64)), target).backward()
    reached = {
        part: any(parameter.grad.any() for parameter in getattr(net, part).parameters())
        for part in ("encoder", "segmentation_head", "classification_head")
    }
    assert reached == dict.fromkeys(reached, True) | {idle: False}


def test_a_joint_network_that_is_shown_the_true_mask_is_refused(composed):
    with pytest.raises(UserError, match="overlay=contour"):
        train.run(composed(NET, "overlay=contour"))


def test_joint_cases_have_the_metrics_of_both_tasks_and_say_which_accuracy_is_whose(finished_jointly):
    cases = pd.read_csv(finished_jointly().cases).assign(hd95=1.0)
    both = metrics_of(cases)
    pixels, classes = (metrics_of(cases_of_task(task, cases)) for task in ("segmentation", "classification"))
    assert pixels.keys() & classes.keys() == {"n", "undefined", "accuracy"}, "another name has two meanings"
    assert both == pixels | classes | {"accuracy_pooled": pixels["accuracy"]}
    assert both["accuracy"] == classes["accuracy"] != both["accuracy_pooled"]

    undefined = metrics_of(cases[cases["label"] == "normal"])["undefined"]
    assert undefined["dice_image"] == "no image with a lesion"
    assert undefined["auroc_macro"] == "no image of class benign, malignant"


@pytest.mark.slow
def test_a_report_shows_a_joint_network_among_classifiers_and_among_segmenters(finished, finished_jointly):
    joint = finished_jointly("group=grid")
    history = {f"{stage}/{name}": [0.1, 0.2] for stage in ("train", "val") for name in ("tp", "fp", "fn", "tn")}
    pd.read_csv(joint.history).assign(**history).to_csv(joint.history, index=False)
    finished("group=grid", "model=resnet50")
    finished("group=grid", "model=u2net_lite")
    tables = make_report([joint.path.parent]).parent / "tables"
    for task, rival in (("classification", "resnet50"), ("segmentation", "u2net_lite")):
        for table in (f"{task}_test", f"in_short_{task}"):
            assert sorted(pd.read_csv(tables / f"{table}.csv")["condition"]) == ["joint_unet", rival]
        assert pd.read_csv(tables / f"comparisons_{task}.csv")["verdict"].ne("not compared").all()
        every = pd.read_csv(tables / f"{task}_all_metrics.csv").set_index(["condition", "part", "metric"])["value"]
        expected = metrics_of(cases_of_task(task, pd.read_csv(joint.cases).query("split == 'test'")))["accuracy"]
        assert every["joint_unet", "test", "accuracy"] == pytest.approx(expected, abs=1e-4)
    assert pd.read_csv(tables / "costs.csv")["model"].str.startswith("joint_unet").sum() == 1


def test_a_joint_condition_is_checked_and_taken_as_each_of_its_tasks(finished_jointly):
    conditions = read_group(finished_jointly(sure=-3).path.parent).conditions
    assert {problem.kind for problem in find_problems(conditions)} == {"baseline"}
    for task, column in (("classification", "prob_normal"), ("segmentation", "tp")):
        (condition,) = of_task(conditions, task)
        assert (condition.task, condition.name) == (task, "joint_unet")
        assert {"prob_normal", "tp"} & set(condition.cases) == {column}


@pytest.mark.slow
def test_wandb_gets_charts_masks_and_scores_of_a_joint_run(trained, no_pictures):
    run = trained(NET, "logger=wandb")
    recorded = read_recording(run.path)
    assert {"test/roc_table", "test/auroc_macro_low", "test/dice_image_low"} <= recorded.summary.keys()
    shown = recorded.summary["test/images"]
    for caption, masks in zip(shown["captions"], shown["all_masks"], strict=True):
        assert f"ground truth {caption.partition('/')[0]}, prediction " in caption
        assert masks.keys() == {"ground_truth", "prediction"}
    columns, _ = recorded.table("test/cases")
    assert columns[:6] == ["image", "id", "label", "answer", "dice", "iou"]
