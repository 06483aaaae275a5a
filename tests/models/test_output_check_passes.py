"""A network that answers in logits passes the check of its output, whatever they are, and is left as it was."""

import pytest
import torch
import torchvision
from checked_nets import Small, check, zeroed
from our_nets import NAMES, model_config, task
from test_heads import noise
from torch import Tensor, nn

from bus_lightning.config.build import build_net
from bus_lightning.models.output_check import check_output, shapes_of


@pytest.mark.parametrize("name", NAMES)
def test_every_network_of_ours_passes_in_training_and_in_evaluation(name):
    for seed, classes, channels in ((0, 2, 1), (1, 7, 4)):
        torch.manual_seed(seed)
        net, images = build_net(model_config(name, classes, channels), True), noise(channels, batch=3)
        for mode in (True, False):
            check_output(net.train(mode), images, shapes_of(task(name), images, classes))


@pytest.mark.parametrize("name", NAMES)
def test_every_network_of_ours_passes_with_a_head_of_zeros(name):
    net = build_net(model_config(name), True)
    with torch.no_grad():
        for layer in [module for module in net.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-9:]:
            if layer.out_channels == 1 if isinstance(layer, nn.Conv2d) else layer.out_features == 3:
                layer.weight.zero_()
                layer.bias.zero_()
    answer = net(noise(batch=2))
    assert not any(output.any() for output in ([answer] if isinstance(answer, Tensor) else answer)), "they are zeros"
    for mode in (True, False):
        check(net, task(name), mode, images=noise(batch=2))


@pytest.mark.parametrize("kind", ["classification", "segmentation"])
@pytest.mark.parametrize("end", [None, nn.ReLU(), nn.ReLU6(), nn.Softplus(), nn.Tanh(), nn.LeakyReLU()])
def test_answers_that_are_no_probabilities_pass(kind, end):
    for mode in (True, False):
        check(Small(kind, end), kind, mode)
    with torch.no_grad():
        within = Small(kind, nn.ReLU())
        within.head.weight.mul_(1e-3)
        within.head.bias.fill_(0.5)
        assert 0 < within(noise()).min() <= within(noise()).max() < 1, "untrained logits may lie there"
    check(within, kind)
    check(zeroed(Small(kind)), kind)
    with torch.no_grad():
        dead = Small(kind)
        dead.stem[1].weight.zero_()
        dead.stem[1].bias.fill_(-1)
    check(dead, kind)


@pytest.mark.parametrize("kind", ["classification", "segmentation"])
def test_a_factor_of_zero_after_the_last_layer_passes(kind):
    class Scaled(Small):
        def __init__(self) -> None:
            super().__init__(kind)
            self.factor = nn.Parameter(torch.zeros(()))

        def forward(self, image: Tensor) -> Tensor:
            return self.factor * super().forward(image).relu()

    check(Scaled(), kind)


def test_log_probabilities_of_classes_pass_because_their_loss_is_the_same():
    logits = torch.randn(4, 3, dtype=torch.float64)
    label = torch.tensor([0, 1, 2, 1])
    twice, once = (nn.functional.cross_entropy(scores, label) for scores in (logits.log_softmax(dim=1), logits))
    torch.testing.assert_close(twice, once)
    check(Small("classification", nn.LogSoftmax(dim=1)), "classification")


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5"])
def test_classifiers_of_a_library_pass(name):
    for mode in (True, False):
        check(getattr(torchvision.models, name)(num_classes=3), "classification", mode, images=noise(size=64, batch=2))


def test_a_check_leaves_a_network_and_the_random_stream_as_they_were():
    net = Small("classification", nn.Dropout())
    zeroed(net)  # so that the last layer is tried with other weights
    net.train()
    net.stem.eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    torch.manual_seed(3)
    check_output(net, noise(batch=4), {"class": (4, 3)})
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(3))
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
