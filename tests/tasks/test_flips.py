"""Probabilities averaged over an image and its mirror image, in evaluations after training only."""

import numpy as np
import pytest
import torch
from tiny_tasks import CLASSES, KINDS, Both, Outlines, batches, loader, make, trainer
from torch import nn

from bus_lightning.models.averaging import average_over_flips, mean_logits


class LeftNames(nn.Module):
    """Name an image by its left half, so that the mirror image gets other probabilities."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, image):
        return self.head(image[..., : image.shape[-1] // 2].mean(dim=(2, 3)))


class LeftBoth(Both):
    def __init__(self):
        super().__init__()
        self.names = LeftNames()


NETS = {"classification": LeftNames, "segmentation": Outlines, "joint": LeftBoth}


def lopsided(kind, **options):
    """A task whose network is not symmetric."""
    task = make(kind, **options)
    torch.manual_seed(2)
    task.net = NETS[kind]()
    return task


def probabilities(heads):
    """Return the probabilities by head."""
    return {name: values.softmax(1) if name == "class" else values.sigmoid() for name, values in heads.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_the_mean_over_the_image_and_its_mirror_image(kind):
    task = lopsided(kind)
    image = batches()[0]["image"]
    with torch.no_grad():
        averaged = probabilities(task.heads(average_over_flips(task, image)))
        plain, mirrored = (probabilities(task.heads(task(view))) for view in (image, image.flip(-1)))
    for name, values in averaged.items():
        back = mirrored[name].flip(-1) if name == "mask" else mirrored[name]
        assert torch.allclose(values, (plain[name] + back) / 2, atol=1e-6)
        assert not torch.allclose(plain[name], back, atol=1e-3)


def test_the_mean_of_sure_predictions_is_finite_and_exact():
    sure, unsure = torch.tensor([[300.0, -300.0, 0.0]]), torch.zeros(1, 3)
    logits = mean_logits([sure, unsure])
    assert logits.isfinite().all()
    assert logits.softmax(1).tolist()[0] == pytest.approx([2 / 3, 1 / 6, 1 / 6])
    mask = mean_logits([torch.full((1, 1, 2, 2), 300.0), torch.full((1, 1, 2, 2), 200.0)])
    assert mask.isfinite().all()
    assert (mask.sigmoid() == 1).all()
    assert mean_logits([mask, -mask]).sigmoid().flatten().tolist() == pytest.approx([0.5] * 4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_cases_after_training_are_averaged_and_those_of_an_epoch_are_not(kind):
    plain, averaging = lopsided(kind), lopsided(kind, flips=True)
    cases = {}
    for name, task in (("plain", plain), ("averaging", averaging)):
        trainer().fit(task, loader(), loader())
        cases[name] = task.cases
    assert cases["plain"].equals(cases["averaging"])
    for stage in ("validate", "test"):
        for name, task in (("plain", plain), ("averaging", averaging)):
            getattr(trainer(), stage)(task, loader(), verbose=False)
            cases[name] = task.cases
        assert not cases["plain"].equals(cases["averaging"])
    if kind != "segmentation":
        expected = []
        with torch.no_grad():
            for batch in batches():
                views = (averaging.heads(averaging(view))["class"] for view in (batch["image"], batch["image"].flip(3)))
                expected.append(sum(logits.softmax(1) for logits in views) / 2)
        probabilities = cases["averaging"][[f"prob_{name}" for name in CLASSES]].to_numpy()
        assert probabilities == pytest.approx(torch.cat(expected).numpy(), abs=1e-6)
    image = batches()[0]["image"]
    with torch.no_grad():
        expected = averaging.heads(average_over_flips(averaging, image))
    for name, logits in averaging.predict_logits(image).items():
        assert torch.allclose(logits, expected[name], atol=1e-6)


def test_the_loss_of_an_evaluation_is_that_of_the_averaged_probabilities():
    task = lopsided("classification", flips=True)
    trainer().test(task, loader(), verbose=False)
    chosen = [row[f"prob_{row['label']}"] for row in task.cases.to_dict("records")]
    assert task.mean_loss == pytest.approx(-np.log(chosen).mean(), rel=1e-5)
