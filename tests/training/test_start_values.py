"""What a new head is, in numbers: which weight it is, how wide it is drawn, and that only its scale is changed."""

import copy
from functools import partial

import pytest
import torch
from test_heads import above, noise, started
from tiny_tasks import Loud
from torch import Tensor, nn

from bus_lightning.models.heads import draw_head, has_outputs, is_wide
from bus_lightning.tasks.classification import ClassificationTask
from bus_lightning.training.start_checks import check_logits, start_small


class Turned(nn.Module):
    """Its head multiplies features from the left: the matrix has a row per feature and a column per class."""

    def __init__(self, features: int = 400) -> None:
        super().__init__()
        self.stem, self.weight = nn.Conv2d(3, features, 3), nn.Parameter(torch.randn(features, 3))

    def forward(self, image: Tensor) -> Tensor:
        return self.stem(image).relu().mean(dim=(2, 3)) @ self.weight


def test_a_head_may_be_a_transposed_matrix():
    net, line = started(Turned, 3, noise(size=16))
    assert "initialised the head weight again" in line
    assert above(net, noise(size=16, seed=2)) < 1.05


def test_the_outputs_of_a_matrix_are_on_either_axis_and_those_of_a_kernel_on_the_first():
    matrix, kernel = torch.zeros(3, 16), torch.zeros(3, 16, 1, 1)
    assert has_outputs(matrix, 3)
    assert has_outputs(matrix.T, 3)
    assert has_outputs(kernel, 3)
    assert not has_outputs(kernel, 16)


def test_a_head_is_drawn_by_its_inputs_and_never_wider_than_a_hundredth():
    torch.manual_seed(0)
    for features, spread in ((16, 0.01), (400, 0.005)):
        turned = Turned(features)
        draw_head(turned, ["weight"], classes=3)
        assert float(turned.weight.detach().std()) == pytest.approx(spread, rel=0.25)
        plain = nn.Sequential(nn.Linear(features, 3))
        draw_head(plain, ["0.weight"], classes=3)
        assert float(plain[0].weight.detach().std()) == pytest.approx(spread, rel=0.25)
        assert not plain[0].bias.any()


def test_a_head_is_wide_from_five_quarters_of_the_usual_spread_on():
    net = nn.Sequential(nn.Linear(10_000, 3))
    for times, wide in ((1.2, False), (1.3, True)):
        nn.init.uniform_(net[0].weight, -times / 100, times / 100)
        assert is_wide(net, ["0.weight"], classes=3) is wide


def test_a_drawn_head_is_halved_and_otherwise_as_drawn():
    torch.manual_seed(0)
    net = Loud()
    drawn = copy.deepcopy(net)
    draw_head(drawn, ["head.weight"], classes=3)
    task = ClassificationTask(net=net, loss=nn.CrossEntropyLoss(), classes=["a", "b", "c"],
                              optimizer=partial(torch.optim.SGD, lr=0.1))  # fmt: skip
    images = noise(size=16)
    start_small(task, images, check_logits(task, images, "classification"), None, again=Loud)
    halvings = torch.log2(drawn.head.weight / net.head.weight).detach()
    assert halvings.unique().numel() == 1
    assert halvings[0, 0] >= 1
    assert float(halvings[0, 0]) == round(float(halvings[0, 0]))


def test_a_new_head_on_loaded_weights_starts_small_in_evaluation_too():
    class Loaded(nn.Module):
        """Its normalisation has gathered a small variance, so that only in evaluation mode its features are large."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.norm, self.head = nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Linear(16, 3)
            self.norm.running_var.fill_(1e-4)

        def forward(self, image: Tensor) -> Tensor:
            return self.head(self.norm(self.stem(image)).relu().mean(dim=(2, 3)))

    net, line = started(Loaded, 3, noise(size=16), drawn=["head.weight", "head.bias"])
    assert "initialised the head head.weight again" in line
    assert above(net, noise(size=16), training=False) < 1.05
