"""What every network promises; one test per property, over all files of conf/model."""

import copy

import pytest
import torch
from hydra.utils import instantiate
from our_nets import NAMES, debug_net, images, model_config, task
from torch import Tensor, nn

from bus_lightning.core.errors import UserError
from bus_lightning.models.classifiers import resnet

# Small networks wait for each other's threads longer than they compute, on a busy machine.
torch.set_num_threads(1)


def heads(net: nn.Module, image: Tensor) -> list[Tensor]:
    """The logits of a network, those of the mask first where it has two heads."""
    answer = net(image)
    return [answer] if isinstance(answer, Tensor) else list(answer)


def answer_shapes(name: str, batch: int, height: int, width: int) -> list[tuple[int, ...]]:
    shapes = {"segmentation": (batch, 1, height, width), "classification": (batch, 3)}
    return list(shapes.values()) if task(name) == "joint" else [shapes[task(name)]]


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_a_file_names_its_model_and_its_parts(name: str) -> None:
    model = model_config(name)
    assert set(model) == {"name", "net", "debug_size", "weights", "imagenet"}
    assert model.name == name
    assert task(name) in {"classification", "segmentation", "joint"}
    assert model.weights in {None, "imagenet"}
    assert model.weights is None or model.imagenet is not None


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_has_a_logit_per_class_or_per_pixel(name: str) -> None:
    net = debug_net(name)
    with torch.no_grad():
        answer = heads(net, 100 * images(2, 3, 64, 64))  # so large that untrained weights give large logits
    assert [logits.shape for logits in answer] == answer_shapes(name, 2, 64, 64)
    for logits in answer:
        assert logits.isfinite().all()
        # Neither a sigmoid nor a softmax: somewhere a value outside [0, 1].
        assert ((logits < 0) | (logits > 1)).any()


@pytest.mark.parametrize("name", NAMES)
def test_another_image_size_works(name: str) -> None:
    net = debug_net(name)
    with torch.no_grad():
        answer = heads(net, images(1, 3, 96, 128))
    assert [logits.shape for logits in answer] == answer_shapes(name, 1, 96, 128)


@pytest.mark.parametrize("name", NAMES)
def test_grey_images_of_one_channel_work(name: str) -> None:
    net = debug_net(name, channels=1)
    with torch.no_grad():
        answer = heads(net, images(2, 1, 64, 64))
    assert [logits.shape for logits in answer] == answer_shapes(name, 2, 64, 64)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_finite_gradient(name: str) -> None:
    net = copy.deepcopy(debug_net(name)).train()
    answer = heads(net, images(4, 3, 64, 64))
    torch.stack([(logits * images(*logits.shape)).sum() for logits in answer]).sum().backward()
    for parameter_name, parameter in net.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_gives_the_same_answer_twice(name: str) -> None:
    net = debug_net(name)
    with torch.no_grad():
        first, second = heads(net, images(2, 3, 64, 64)), heads(net, images(2, 3, 64, 64))
        alone = heads(net, images(2, 3, 64, 64)[:1])
    for answer, repeated, single in zip(first, second, alone, strict=True):
        assert torch.equal(answer, repeated)
        # Nor does an image's answer depend on the rest of its batch.
        torch.testing.assert_close(single, answer[:1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "with_1000_classes", "with_3_classes"),
    [
        ("deepcardinal50", 25_028_904, 22_986_051),
        ("resnet50", 25_557_032, 23_514_179),
        ("resnet101", 44_549_160, 42_506_307),
        ("resnet34", 21_797_672, 21_286_211),
        ("resnet34_pretrained", 21_797_672, 21_286_211),
        ("alexnet", 61_100_840, 57_016_131),
        ("efficientnet_lite0", 4_652_008, 3_374_851),
    ],
)
def test_a_classifier_has_the_published_number_of_parameters(
    name: str, with_1000_classes: int, with_3_classes: int
) -> None:
    with torch.device("meta"):
        assert count(instantiate(model_config(name, classes=1000).net)) == with_1000_classes
        assert count(instantiate(model_config(name).net)) == with_3_classes


@pytest.mark.parametrize(
    ("name", "parameters"), [("u2net_lite", 1_131_181), ("u2net", 44_009_869), ("unet", 24_436_369)]
)
def test_a_segmenter_has_the_published_number_of_parameters(name: str, parameters: int) -> None:
    with torch.device("meta"):
        assert count(instantiate(model_config(name).net)) == parameters


def test_the_joint_network_is_the_segmenter_and_a_linear_layer() -> None:
    with torch.device("meta"):
        joint, segmenter = (count(instantiate(model_config(name).net)) for name in ("joint_unet", "unet"))
    assert joint - segmenter == 3 * (512 + 1)


def test_an_unknown_block_of_a_resnet_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.net\.block=wide"):
        resnet("wide", [1, 1, 1, 1], num_classes=3)  # type: ignore[arg-type]
