"""A network that does not answer in logits of the right shape is refused before it is trained, with what to change."""

from collections import OrderedDict, namedtuple
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from checked_nets import Small, check, refused, zeroed
from test_evaluating import request
from test_heads import named, noise, start
from torch import Tensor, nn

from bus_lightning.core.errors import UserError
from bus_lightning.export.runs import open_for_bundle, rebuild
from bus_lightning.models.u2net import u2net_lite
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import train
from bus_lightning.training.evaluate import evaluate_run

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("classification", nn.Softmax(dim=1)),
        ("classification", nn.Sigmoid()),
        ("classification", nn.Sequential(nn.Softmax(dim=1), nn.Dropout(0.0))),
        ("classification", nn.Hardsigmoid()),
        ("segmentation", nn.Sigmoid()),
        ("segmentation", nn.Softmax(dim=1)),
        ("segmentation", nn.Sequential(nn.Sigmoid(), nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bicubic"))),
        ("segmentation", nn.Hardtanh(0, 1)),
    ],
)
def test_probabilities_are_refused_wherever_they_come_from(kind, end):
    for net in (Small(kind, end), zeroed(Small(kind, end))):
        for mode in (True, False):
            assert "model.net.activation=null" in refused(net, kind, mode)
    late = Small(kind, end, only_in_evaluation=True)
    check(late, kind)
    assert "in evaluation" in refused(late, kind, mode=False)


def test_answers_that_never_say_lesion_are_refused():
    assert "never above 0" in refused(Small("segmentation", nn.LogSigmoid()), "segmentation")


@pytest.mark.parametrize("activation", ["sigmoid", "softmax2d", "logsoftmax", "softmax", "clamp", "argmax2d"])
def test_an_activation_of_segmentation_models_pytorch_is_refused(activation):
    options = {"dim": 1} if activation in ("softmax", "logsoftmax") else {}
    net = smp.Unet("resnet18", encoder_weights=None, decoder_channels=[8] * 5, classes=1)
    net.segmentation_head[2] = smp.base.modules.Activation(activation, **options)
    assert "model.net.activation=null" in refused(net, "segmentation")


def test_a_side_output_of_probabilities_is_refused_next_to_logits():
    class Sides(Small):
        def side_logits(self, image: Tensor) -> Tensor:
            answer = self(image)
            return torch.cat([answer, 2 * answer, answer.sigmoid()], dim=1)

    assert "activation=null" in refused(Sides("segmentation"), "segmentation", sides=True)
    check(u2net_lite(width=8), "segmentation", sides=True)


def joint(**options):
    aux = {"classes": 3} | options.pop("aux", {})
    return smp.Unet("resnet18", encoder_weights=None, decoder_channels=[8] * 5, aux_params=aux, **options)


def test_each_head_of_a_joint_network_is_checked():
    check(joint(), "joint")
    assert "returns probabilities for the mask" in refused(joint(activation="sigmoid"), "joint")
    assert "returns probabilities for the class" in refused(joint(aux={"activation": "sigmoid"}), "joint")
    assert "(4, 2, 32, 32) for the mask in training, but (4, 1, 32, 32) is needed" in refused(joint(classes=2), "joint")
    assert "num_classes" in refused(joint(aux={"classes": 4}), "joint")


@pytest.mark.parametrize(
    ("kind", "net", "words"),
    [
        ("classification", Small("classification", outputs=5), ["(4, 5)", "(4, 3)", "'${data.num_classes}'"]),
        ("classification", Small("classification", outputs=1), ["(4, 1)", "(4, 3)", "num_classes"]),
        ("classification", Small("segmentation", outputs=3), ["(4, 3, 32, 32)", "(4, 3)", "dimensions"]),
        ("segmentation", Small("segmentation", outputs=2), ["(4, 2, 32, 32)", "(4, 1, 32, 32)", "number of maps to 1"]),
        ("segmentation", Small("segmentation", nn.AvgPool2d(2)), ["(4, 1, 16, 16)", "size of the image"]),
        ("segmentation", Small("segmentation", nn.Flatten(1, 2)), ["(4, 32, 32)", "dimensions"]),
        ("segmentation", Small("classification"), ["(4, 3)", "(4, 1, 32, 32)"]),
    ],
)  # fmt: skip
def test_another_shape_is_refused_and_named(kind, net, words):
    message = refused(net, kind)
    assert all(word in message for word in words), message


class End(nn.Module):
    def __init__(self, wrap) -> None:
        super().__init__()
        self.wrap = wrap

    def forward(self, answer: Tensor):
        return self.wrap(answer)


Outputs = namedtuple("Outputs", ["logits", "aux_logits"])


@pytest.mark.parametrize(
    ("wrap", "returned"),
    [
        (lambda x: Outputs(x, x), "an Outputs of logits, aux_logits"),
        (lambda x: OrderedDict(out=x, aux=x), "an OrderedDict with out, aux"),
        (lambda x: {"logits": x}, "a dict with logits"),
        (lambda x: [x], "a list of 1 entries"),
        (lambda x: (x, x, x), "a tuple of 3 entries"),
        (lambda _: None, "a NoneType"),
    ],
)
@pytest.mark.parametrize("kind", ["classification", "segmentation"])
def test_another_thing_than_a_tensor_is_described(kind, wrap, returned):
    message = refused(Small(kind, End(wrap)), kind)
    assert f"returns {returned} in training, but must return a tensor" in message


def test_networks_of_torchvision_that_return_more_are_refused_with_the_option_to_set():
    net = torchvision.models.googlenet(num_classes=3, init_weights=False)
    assert "model.net.aux_logits=false" in (message := refused(net, "classification", images=noise(batch=2)))
    assert "a GoogLeNetOutputs of logits, aux_logits2, aux_logits1" in message
    check(net, "classification", mode=False, images=noise(batch=2))  # in evaluation it is the logits alone
    net = torchvision.models.segmentation.lraspp_mobilenet_v3_large(num_classes=1, weights_backbone=None)
    assert "an OrderedDict with out" in refused(net, "segmentation", images=noise(batch=2))


@pytest.mark.parametrize("mode", [True, False])
def test_a_network_that_fails_is_named_with_the_images_that_it_got(mode):
    net = timm.create_model("vit_tiny_patch16_224", num_classes=3, depth=1)
    message = refused(net, "classification", mode)
    assert "on images (4, 3, 32, 32): AssertionError: Input height (32) doesn't match model (224)" in message
    assert ("in evaluation" in message) is not mode


def test_a_joint_network_with_one_answer_or_three_is_described():
    assert "returns a tensor of the shape (4, 1, 32, 32)" in refused(Small("segmentation"), "joint")
    assert "a tuple of 3 entries" in refused(Small("segmentation", End(lambda x: (x, x, x))), "joint")
    swapped = End(lambda x: (x.mean(dim=(2, 3)).expand(-1, 3), x))
    assert "returns the shape (4, 3) for the mask" in refused(Small("segmentation", swapped), "joint")


@pytest.mark.parametrize(
    ("wrap", "reason"),
    [
        (lambda x: x * float("nan"), "not finite"),
        (lambda x: x / 0, "not finite"),
        (lambda x: x.detach(), "without a gradient"),
        (lambda x: (x > 0).float(), "without a gradient"),
        (lambda x: x.long(), "int64"),
        (lambda x: x > 0, "bool"),
        (lambda x: x.to(torch.complex64), "complex64"),
    ],
)
def test_what_cannot_be_trained_is_refused(wrap, reason):
    assert reason in refused(Small("segmentation", End(wrap)), "segmentation")


# ---- in a run


@pytest.mark.slow
def test_a_run_is_refused_before_its_first_step(composed):
    for model, option, reason in (
        ("unet", "+model.net.activation=sigmoid", "always in [0, 1]"),
        ("unet", "model.net.classes=2", "number of maps to 1"),
        ("joint_unet", "+model.net.aux_params.activation=sigmoid", "returns probabilities for the class"),
        ("resnet34", "model.net.num_classes=4", "(8, 4)"),
    ):
        cfg = composed(f"model={model}", option, "scheduler=none")
        with pytest.raises(UserError, match=r"^model\.net") as error:
            train.run(cfg)
        assert reason in str(error.value)
        folder = RunDir(Path(cfg.runs_dir) / cfg.group / cfg.name)
        assert folder.status["state"] == "failed"
        assert not folder.history.exists()


def test_a_network_that_a_user_names_is_refused_as_well(composed):
    with pytest.raises(UserError, match=r"GoogLeNetOutputs.*aux_logits=false"):
        start(named(composed, "torchvision.models.googlenet", init_weights=False), "model=resnet34")
    start(named(composed, "torchvision.models.googlenet", init_weights=False, aux_logits=False), "model=resnet34")


@pytest.mark.slow
def test_an_older_run_of_probabilities_is_refused_when_it_is_evaluated(trained):
    run = trained("model=unet", "trainer.limit_train_batches=1")
    run.config.write_text(run.config.read_text().replace("classes: 1\n", "classes: 1\n    activation: sigmoid\n", 1))
    with pytest.raises(UserError, match=r"returns probabilities for the mask in evaluation"):
        evaluate_run(run, request(part="test"))
    with pytest.raises(UserError, match=r"returns probabilities for the mask in evaluation"):
        rebuild(open_for_bundle(run.path))
