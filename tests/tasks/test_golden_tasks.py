"""What the tasks log and keep, with uneven batches and images of many shapes, compared with each image alone."""

import io

import cv2
import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_tasks import CLASSES, KINDS, Names, batches, loader, loss_of_each, make, samples, trainer
from torch import nn
from torch.nn import functional as F

from bus_lightning.core.errors import DivergedError, UserError
from bus_lightning.models.maps import predicted_mask
from bus_lightning.tasks.losses import DiceBCELoss, JointLoss
from bus_lightning.tasks.segmentation import SegmentationTask


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_of_an_evaluation_is_the_mean_over_images_though_batches_are_uneven(kind):
    task = make(kind)
    expected = np.mean(loss_of_each(task))
    for stage in ("validate", "test"):
        (logged,) = getattr(trainer(), stage)(task, loader(), verbose=False)
        name = {"validate": "val", "test": "test"}[stage]
        assert logged[f"{name}/loss"] == pytest.approx(expected, rel=1e-5)
        assert task.mean_loss == pytest.approx(expected, rel=1e-5)
        assert task.cases["id"].tolist() == [f"image {k}" for k in range(10)]
        assert task.cases["label"].tolist() == [CLASSES[k % 3] for k in range(10)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_logged_of_training_is_the_mean_over_the_images_of_the_epoch(kind):
    class Changed(pl.Callback):
        """Other weights in the second epoch, so that what is left of the first would show."""

        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                torch.manual_seed(5)
                for parameter in pl_module.parameters():
                    nn.init.normal_(parameter, std=0.5)

    task, running = make(kind), trainer(epochs=2, callbacks=[Changed()])
    running.fit(task, loader(), loader())
    assert running.callback_metrics["train/loss"] == pytest.approx(np.mean(loss_of_each(task)), rel=1e-5)
    if kind != "segmentation":
        named = [task.heads(task(batch["image"]))["class"].argmax(dim=1) == batch["label"] for batch in batches()]
        assert running.callback_metrics["train/accuracy"] == pytest.approx(float(torch.cat(named).float().mean()))
    if kind != "classification":
        answer, truth = (torch.cat(parts) for parts in zip(*[
            (task.heads(task(batch["image"]))["mask"] >= 0, batch["mask"] > 0.5) for batch in batches()
        ], strict=True))  # fmt: skip
        shares = {"tp": answer & truth, "fp": answer & ~truth, "fn": ~answer & truth, "tn": ~answer & ~truth}
        for name, pixels in shares.items():
            share = float(pixels.float().mean())
            assert 0 < share < 1
            assert running.callback_metrics[f"train/{name}_share"] == pytest.approx(share, rel=1e-5)


def test_deep_supervision_trains_on_every_side_output_and_scores_the_first():
    task, running = make("segmentation", deep_supervision=True), trainer()
    running.fit(task, loader(), loader())
    with torch.no_grad():
        each = [task.loss(task.net.side_logits(batch["image"]), batch["mask"]) for batch in batches((1,) * 10)]
    assert running.callback_metrics["train/loss"] == pytest.approx(float(torch.stack(each).mean()), rel=1e-5)
    first = torch.cat([task(batch["image"]) >= 0 for batch in batches()]) & torch.cat(
        [b["mask"] > 0 for b in batches()]
    )
    assert running.callback_metrics["train/tp_share"] == pytest.approx(float(first.float().mean()), rel=1e-5)
    (logged,) = trainer().test(task, loader(), verbose=False)
    assert logged["test/loss"] == pytest.approx(np.mean(loss_of_each(task)), rel=1e-5)
    with pytest.raises(UserError, match="side outputs"):
        SegmentationTask(
            deep_supervision=True, net=Names(), loss=DiceBCELoss(), classes=CLASSES, optimizer=torch.optim.SGD
        )


@pytest.mark.parametrize("kind", ["classification", "joint"])
def test_probabilities_are_the_softmax_over_the_classes_of_each_image(kind):
    task = make(kind)
    trainer().test(task, loader(), verbose=False)
    with torch.no_grad():
        logits = np.concatenate([task.heads(task(batch["image"]))["class"].numpy() for batch in batches()])
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert task.cases[[f"prob_{name}" for name in CLASSES]].to_numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["segmentation", "joint"])
def test_pixels_are_counted_at_the_resolution_of_each_image(kind):
    task = make(kind)
    trainer().validate(task, loader(), verbose=False)
    assert "hd95" in task.cases  # it is no epoch of a training
    trainer().test(task, loader(), verbose=False)
    for row, sample in zip(task.cases.to_dict("records"), samples(), strict=True):
        with torch.no_grad():
            square = task.heads(task(sample["image"][None]))["mask"][0, 0].sigmoid().numpy()
        top, left, height, width = sample["box"].tolist()
        shape = sample["full_mask"].shape
        answer = cv2.resize(square[top : top + height, left : left + width].copy(), shape[::-1]) >= 0.5
        truth = sample["full_mask"].numpy() > 0
        counted = {"tp": answer & truth, "fp": answer & ~truth, "fn": ~answer & truth, "tn": ~answer & ~truth}
        assert {name: row[name] for name in counted} == pytest.approx(
            {name: int(pixels.sum()) for name, pixels in counted.items()}, abs=1
        )
        assert row["tp"] + row["fp"] + row["fn"] + row["tn"] == truth.size
        kept = np.asarray(Image.open(io.BytesIO(task.predicted_masks[row["id"]])))
        assert kept.shape == shape
        assert (kept != answer).sum() <= 1
        assert np.isnan(row["hd95"]) == (not truth.any())


def test_a_probability_of_one_half_is_a_lesion():
    half = torch.full((1, 4, 4), 0.5)
    assert predicted_mask(half, [0, 0, 4, 4], (8, 6)).all()
    assert not predicted_mask(half - 1e-4, [0, 0, 4, 4], (8, 6)).any()


def test_while_training_the_outlines_are_not_compared():
    task = make("segmentation")
    trainer(epochs=3).fit(task, loader(), loader((4, 3)))
    assert "hd95" not in task.cases
    assert task.predicted_masks == {}
    assert len(task.cases) == 7  # of the last epoch alone
    assert task.mean_loss == pytest.approx(np.mean(loss_of_each(task, 7)), rel=1e-5)
    for _ in range(2):
        trainer().test(task, loader(), verbose=False)
        assert len(task.cases) == len(task.predicted_masks) == 10


def test_an_undefined_metric_is_logged_as_no_number_and_a_defined_one_as_it_is():
    task = make("classification")
    (logged,) = trainer().validate(task, loader((2,)), verbose=False)  # of two of three classes
    assert np.isnan(logged["val/auroc_macro"])
    right = (task.cases[[f"prob_{n}" for n in CLASSES]].to_numpy().argmax(axis=1) == [0, 1]).mean()
    assert logged["val/accuracy"] == pytest.approx(right)


def test_a_schedule_steps_once_per_epoch_and_a_plateau_watches_the_validation_loss():
    made = {}

    def step(optimizer):
        made["step"] = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
        return made["step"]

    def plateau(optimizer):
        made["plateau"] = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        return made["plateau"]

    def sgd(parameters):
        return torch.optim.SGD(parameters, lr=1e-9)

    trainer(epochs=3).fit(make("classification", optimizer=sgd, scheduler=step), loader(), loader())
    assert made["step"].last_epoch == 3
    assert made["step"].get_last_lr() == pytest.approx([1e-10])
    task = make("classification", optimizer=sgd, scheduler=plateau)
    trainer().fit(task, loader(), loader((4, 3)))
    assert made["plateau"].best == pytest.approx(np.mean(loss_of_each(task, 7)), rel=1e-4)
    assert np.mean(loss_of_each(task, 7)) != pytest.approx(np.mean(loss_of_each(task)), rel=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_that_of_an_evaluation_in_float32_by_head(kind):
    task = make(kind)
    task.trainer = trainer()
    task.net.register_module("noise", nn.Dropout(0.9))
    task.train()
    image = torch.stack([sample["image"] for sample in samples(3)])
    answers = task.predict_logits(image)
    assert not task.training
    assert set(answers) == {"classification": {"class"}, "segmentation": {"mask"}, "joint": {"class", "mask"}}[kind]
    for name, logits in answers.items():
        assert logits.dtype == torch.float32
        assert torch.equal(logits, task.heads(task(image))[name])


def test_a_training_loss_that_is_no_number_stops_the_training():
    with pytest.raises(DivergedError, match=r"training loss is (nan|inf) in epoch 0"):
        trainer().fit(make("classification", loss=lambda logits, label: logits.sum() * np.inf), loader(), loader())


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_memory_layout_is_the_one_that_was_chosen(channels_last):
    seen = []
    task = make("segmentation", channels_last=channels_last)
    task.net.sides.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    image = torch.rand(2, 3, 8, 10)
    for called in (task, task.net.side_logits if not channels_last else task):
        called(image)
        assert seen[-1].is_contiguous(memory_format=layout)
    assert task.net.sides.weight.is_contiguous(memory_format=layout)


def test_a_joint_loss_weighs_the_mask_the_classes_and_smooths_the_labels():
    torch.manual_seed(2)
    masks, names = torch.randn(3, 1, 5, 7), torch.randn(3, 3)
    truth, labels = (torch.rand(3, 1, 5, 7) > 0.6).float(), torch.tensor([2, 0, 0])
    weight = torch.tensor([0.2, 1.0, 3.0])
    loss = JointLoss(DiceBCELoss(), 0.7, 1.9, label_smoothing=0.2, weight=weight)
    logs = F.log_softmax(names, dim=1)
    smooth = 0.8 * F.one_hot(labels, 3) + 0.2 / 3
    cross = -(smooth * logs * weight).sum() / weight[labels].sum()
    assert float(loss((masks, names), (truth, labels))) == pytest.approx(
        0.7 * float(DiceBCELoss()(masks, truth)) + 1.9 * float(cross), rel=1e-5
    )
    plain = JointLoss(DiceBCELoss())((masks, names), (truth, labels))
    assert float(plain) == pytest.approx(float(DiceBCELoss()(masks, truth) + F.cross_entropy(names, labels)), rel=1e-5)
    parts = [float(DiceBCELoss(*weights)(masks, truth)) for weights in ((1, 0), (0, 1))]
    assert float(DiceBCELoss()(masks, truth)) == pytest.approx(np.mean(parts))


CLASSES_SAY = {"accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro", "auroc_macro"}
PIXELS_SAY = {"tp", "fp", "fn", "tn", "precision", "recall", "iou_pooled", "dice_pooled", "iou_image", "dice_image",
              "false_alarm_rate"}  # fmt: skip
LOGGED = {"classification": CLASSES_SAY, "segmentation": PIXELS_SAY | {"accuracy"}}
LOGGED["joint"] = CLASSES_SAY | PIXELS_SAY | {"accuracy_pooled"}


@pytest.mark.parametrize("kind", KINDS)
def test_each_evaluation_logs_the_loss_and_the_same_metrics(kind):
    for stage, name in (("validate", "val"), ("test", "test")):
        (logged,) = getattr(trainer(), stage)(make(kind), loader(), verbose=False)
        assert set(logged) == {f"{name}/{metric}" for metric in LOGGED[kind] | {"loss"}}


def test_an_epoch_under_way_goes_on_with_its_sums_though_there_were_other_processes():
    task = make("classification")
    task.trainer = trainer()
    task._sums, task._images = {"loss": torch.tensor(7.5), "accuracy": torch.tensor(3.0)}, 6
    kept = {}
    task.on_save_checkpoint(kept)
    again = make("classification")
    again.trainer = trainer()
    again.on_load_checkpoint(kept)
    assert {name: float(total) for name, total in again._sums.items()} == {"loss": 7.5, "accuracy": 3.0}
    assert again._images == 6
    # Of three processes, each with its share; and of an older version, which kept none.
    shares = {"epoch_sums": {"loss": torch.tensor([2.0, 3.0, 5.0])}, "epoch_images": torch.tensor([4, 5, 3])}
    again.on_load_checkpoint(shares)
    assert (float(again._sums["loss"]), again._images) == (10, 12)
    again.on_load_checkpoint({})
    assert (again._sums, again._images) == ({}, 0)
