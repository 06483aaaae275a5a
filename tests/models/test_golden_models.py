"""Networks for other channels answer what the network for colours answers, when its weights are brought over."""

import math

import pytest
import torch
from torch import nn

from bus_lightning.models.classifiers import alexnet, resnet
from bus_lightning.models.u2net import u2net_lite
from bus_lightning.models.weights import load_weights

BUILDERS = {
    "resnet": lambda channels: resnet("basic", [1, 1, 1, 1], 3, channels),
    "resnext": lambda channels: resnet("bottleneck", [1, 1, 1, 1], 3, channels, groups=4, width_per_group=8),
    "alexnet": lambda channels: alexnet(3, channels, hidden=32),
    "u2net_lite": lambda channels: u2net_lite(channels, width=8),
}


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_weights_for_colours_answer_as_before_for_any_number_of_channels(name, channels):
    torch.manual_seed(0)
    colour, other = BUILDERS[name](3).eval(), BUILDERS[name](channels).eval()
    lines = load_weights(other, colour.state_dict(), "file").lines
    phrase = {1: "summed", 3: None, 4: "by a channel of zeros"}[channels]
    assert [phrase in line for line in lines] == ([] if phrase is None else [True])
    image = torch.rand(2, channels, 70, 90)
    shown = image[:, :3] if channels > 1 else image.expand(-1, 3, -1, -1)
    with torch.no_grad():
        # The fourth channel, a mask, has no effect until it is trained.
        torch.testing.assert_close(other(image), colour(shown), rtol=1e-3, atol=1e-4)
    first = [next(name for name, kept in net.state_dict().items() if kept.ndim == 4) for net in (colour, other)]
    assert first[0] == first[1]
    assert other.state_dict()[first[1]].shape[1] == channels


@pytest.mark.parametrize("channels", [1, 4])
def test_a_first_convolution_for_other_channels_is_drawn_as_torchvision_draws_it(channels):
    torch.manual_seed(0)
    weight = resnet("basic", [1, 1, 1, 1], 3, channels).conv1.weight
    assert float(weight.detach().std()) == pytest.approx(math.sqrt(2 / (64 * 7 * 7)), rel=0.05)
    assert abs(float(weight.detach().mean())) < 2e-3


def test_alexnet_has_the_dropout_and_the_width_that_were_asked_for():
    net = alexnet(5, dropout=0.15, hidden=24)
    assert [module.p for module in net.modules() if isinstance(module, nn.Dropout)] == [0.15, 0.15]
    assert [(m.in_features, m.out_features) for m in net.modules() if isinstance(m, nn.Linear)] == [
        (9216, 24), (24, 24), (24, 5),
    ]  # fmt: skip
    plain = alexnet(5)
    assert [module.p for module in plain.modules() if isinstance(module, nn.Dropout)] == [0.5, 0.5]
    assert [m.out_features for m in plain.modules() if isinstance(m, nn.Linear)] == [4096, 4096, 5]
