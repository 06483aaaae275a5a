"""A network starts near even probabilities: a new head near ln K, whatever library it comes from."""

import logging
import math
from functools import partial

import lightning.pytorch as pl
import pandas as pd
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from our_nets import NAMES, model_config, task
from test_evaluating import request
from tiny_tasks import Loud
from torch import Tensor, nn
from torch.nn import functional

from bus_lightning.config.build import build_net
from bus_lightning.config.settle import settle, with_images
from bus_lightning.core.errors import UserError
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.prepare import prepare_data
from bus_lightning.data.preprocess import RULES
from bus_lightning.models.classifiers import resnet
from bus_lightning.models.weights import load_weights
from bus_lightning.tasks.base import BusTask
from bus_lightning.tasks.classification import ClassificationTask
from bus_lightning.tasks.joint import JointTask
from bus_lightning.training.building import build_task
from bus_lightning.training.evaluate import evaluate_run
from bus_lightning.training.hardware import choose_hardware
from bus_lightning.training.start_checks import check_logits, start_small

torch.set_num_threads(1)
NAMING = [name for name in NAMES if task(name) != "segmentation"]


def start(composed, *overrides: str) -> BusTask:
    """Build a run's task as its training does."""
    cfg = composed(*overrides)
    cfg = settle(cfg, RULES)
    prepared = prepare_data(cfg.data, needs_masks=cfg.task.name != "classification")
    cfg = with_images(cfg, prepared.classes, ())
    pl.seed_everything(cfg.seed, verbose=False)
    module = BusDataModule(prepared, prepared.split(cfg.data.split), cfg, full_masks=False)
    return build_task(cfg, module, choose_hardware(cfg, {}), starts=True)


def started(make, classes: int, images: Tensor, drawn=None, seed: int = 0) -> tuple[nn.Module, str | None]:
    """Start a network that no config names."""
    torch.manual_seed(seed)
    net = make()
    kind, name = (ClassificationTask, "classification") if not hasattr(net, "decoder") else (JointTask, "joint")
    labels = [str(k) for k in range(classes)]
    made = kind(net=net, loss=nn.CrossEntropyLoss(), classes=labels, optimizer=partial(torch.optim.SGD, lr=0.1))
    return net, start_small(made, images, check_logits(made, images, name), drawn, again=make)


def noise(channels: int = 3, size: int = 64, batch: int = 8, seed: int = 1) -> Tensor:
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(seed))


def logits_of(net: nn.Module, images: Tensor, training: bool = True) -> Tensor:
    net.train(training)
    with torch.no_grad():
        answer = net(images)
    return answer if isinstance(answer, Tensor) else answer[-1]


def above(net: nn.Module, images: Tensor, training: bool = True) -> float:
    """The cross-entropy of labels of all classes alike, over ln K."""
    logits = logits_of(net, images, training)
    classes = logits.shape[1]
    losses = [nn.functional.cross_entropy(logits, torch.full((len(logits),), k)) for k in range(classes)]
    return float(sum(losses)) / classes / math.log(classes)


@pytest.mark.parametrize("name", NAMING)
def test_no_network_starts_above_1_3_times_ln_k(composed, name):
    weights = "imagenet" if "lite0" in name else "null"
    net = start(composed, f"model={name}", f"model.weights={weights}").net
    assert above(net, noise()) < 1.3
    if "lite0" in name:
        assert above(net, noise()) < 1.05 > above(net, noise(), training=False)


@pytest.mark.parametrize(("classes", "channels", "seed"), [(2, 1, 0), (2, 4, 1), (7, 3, 2)])
@pytest.mark.parametrize("name", ["efficientnet_lite0", "joint_unet", "joint_unet_efficientnet_lite0", "resnet34"])
def test_no_number_of_classes_or_channels_starts_above(name, classes, channels, seed):
    model = model_config(name, classes=classes, channels=channels)
    net, _ = started(lambda: build_net(model, True), classes, noise(channels), seed=seed)
    assert above(net, noise(channels, seed=2)) < (1.3 if name == "resnet34" else 1.05)


FOREIGN = {
    "timm, efficientnet": lambda k: timm.create_model("efficientnet_lite0", num_classes=k, drop_rate=0.3),
    "timm, two heads": lambda k: timm.create_model(
        "deit_tiny_distilled_patch16_224", num_classes=k, img_size=32, depth=2
    ),
    "torchvision, 1 x 1 convolution": lambda k: torchvision.models.squeezenet1_1(num_classes=k),
    "torchvision, efficientnet": lambda k: torchvision.models.efficientnet_b0(num_classes=k),
    "torchvision, two layers": lambda k: torchvision.models.mobilenet_v3_small(num_classes=k),
    "smp, efficientnet": lambda k: smp.Unet(
        "efficientnet-b0", encoder_weights=None, decoder_channels=[8] * 5, aux_params={"classes": k, "dropout": 0.2}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_networks_of_any_library_start_below(name):
    net, line = started(lambda: FOREIGN[name](3), 3, noise(size=32))
    assert above(net, noise(size=32, seed=2)) < (1.05 if line else 1.3)
    if "efficientnet" in name:
        assert line
        assert all(word in line for word in ("model.net", "again", "3 classes", "ln 3 = 1.10"))


def named(composed, target: str, **options):
    """Compose a config whose network a user names."""

    def make(*overrides: str):
        cfg = composed(*overrides)
        cfg.model.net = {"_target_": target, "num_classes": "${data.num_classes}", **options}
        cfg.model.debug_size = {}
        return cfg

    return make


@pytest.mark.parametrize(
    ("target", "options", "saved"),
    [
        (None, {}, partial(resnet, "basic", [3, 4, 6, 3], 1000)),
        ("torchvision.models.squeezenet1_1", {}, partial(torchvision.models.squeezenet1_1, num_classes=1000)),
        ("torchvision.models.mobilenet_v2", {}, partial(torchvision.models.mobilenet_v2, num_classes=2)),
        ("timm.create_model", {"model_name": "convnext_atto"}, partial(timm.create_model, "convnext_atto")),
    ],
)
def test_a_head_left_out_of_loaded_weights_starts_near_ln_k(composed, tmp_path, caplog, target, options, saved):
    torch.manual_seed(5)
    torch.save(saved().state_dict(), tmp_path / "other.pth")
    make = named(composed, target, **options) if target else composed
    with caplog.at_level(logging.INFO):
        net = start(make, "model=resnet34_pretrained", f"model.weights={tmp_path}/other.pth").net
    for training in (True, False):
        assert above(net, noise(seed=3), training) < 1.05
    assert logits_of(net, noise()).std() > 0, "a head of zeros learns nothing behind a ReLU"
    assert "the head: " in caplog.text
    assert "this network 3; its new weights are random" in caplog.text


@pytest.mark.parametrize("by", ["us", "a library"])
def test_a_head_that_was_loaded_stays_as_it_is(composed, tmp_path, monkeypatch, by):
    saved = timm.create_model("tf_efficientnet_lite0", num_classes=3)  # sure of itself: far above ln 3 on noise
    assert above(saved, noise()) > 1.3
    file = tmp_path / "three.pth"
    torch.save(saved.state_dict(), file)
    options = ["model.weights=null", f"+model.net.checkpoint_path={file}"] if by == "a library" else []
    net = start(composed, "model=efficientnet_lite0", *(options or [f"model.weights={file}"])).net
    for name, parameter in saved.named_parameters():
        assert torch.equal(net.get_parameter(name), parameter), name


def test_a_library_that_loads_all_but_the_head_gets_a_small_one(composed, tmp_path):
    file = tmp_path / "thousand.pth"
    torch.save(timm.create_model("tf_efficientnet_lite0").state_dict(), file)
    options = [f"+model.net.pretrained_cfg_overlay.file={file}", "+model.net.pretrained=true", "model.weights=null"]
    net = start(composed, "model=efficientnet_lite0", *options).net
    assert torch.equal(net.conv_stem.weight, torch.load(file, weights_only=True)["conv_stem.weight"])
    assert above(net, noise()) < 1.05


def test_the_head_follows_the_seed_and_all_else_is_as_without_it(composed):
    heads, chosen = [], ["model=joint_unet", "model.net.encoder_name=resnet18"]
    for seed in (0, 0, 1):
        net = start(composed, *chosen, f"seed={seed}").net
        after = torch.rand(1)
        cfg = composed(*chosen)
        cfg.data.num_classes = 3
        pl.seed_everything(seed, verbose=False)
        as_drawn = build_net(cfg.model, True).state_dict()
        assert torch.equal(after, torch.rand(1)), "the random stream goes on as if nothing had been drawn"
        differing = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, as_drawn[name])}
        assert differing == {"classification_head.3.weight"}
        heads.append(net.classification_head[3].weight)
        assert not net.classification_head[3].bias.any()
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


@pytest.mark.parametrize("name", ["alexnet", "resnet34", "unet"])
def test_a_network_that_obeys_the_rule_keeps_its_draw(composed, name):
    net = start(composed, f"model={name}").net
    cfg = composed(f"model={name}")
    cfg.data.num_classes = 3
    pl.seed_everything(0, verbose=False)
    as_drawn = build_net(cfg.model, True).state_dict()
    assert all(torch.equal(tensor, as_drawn[key]) for key, tensor in net.state_dict().items())


class Odd(nn.Module):
    """Its head stands first among its layers, has another name and no bias, and attention stands last."""

    def __init__(self, classes: int, keys: int = 8, hidden: int = 16) -> None:
        super().__init__()
        self.says = nn.Linear(hidden, classes, bias=False)
        self.stem = nn.Conv2d(3, hidden, 3)
        self.query, self.key = nn.Linear(hidden, keys), nn.Linear(hidden, keys)

    def forward(self, image: Tensor) -> Tensor:
        tokens = self.stem(image).flatten(2).transpose(1, 2)
        weights = (self.query(tokens) @ self.key(tokens).transpose(1, 2)).softmax(dim=-1)
        return 50 * self.says((weights @ tokens).mean(dim=1))


def test_the_head_is_what_the_answer_comes_from_and_not_the_last_layer():
    net, line = started(lambda: Odd(3), 3, noise(size=16))
    assert "initialised the head says.weight again" in line
    assert above(net, noise(size=16, seed=2)) < 1.05
    [loaded] = load_weights(Odd(3), Odd(5).state_dict(), "file", classes=3).lines
    assert "left out says, the head: it has 5 classes, this network 3" in loaded


def test_layers_of_another_size_are_no_head():
    with pytest.raises(UserError, match=r"query\.weight is \(4, 16\), not \(8, 16\)"):
        load_weights(Odd(3), Odd(3, keys=4).state_dict(), "file", classes=3)
    with pytest.raises(UserError, match=r"says\.weight is \(5, 16\), not \(3, 16\)"):
        load_weights(Odd(3), Odd(5, keys=4).state_dict(), "file", classes=3)
    maps = [smp.Unet("resnet18", encoder_weights=None, classes=k, decoder_channels=[8] * 5) for k in (1, 2)]
    with pytest.raises(UserError, match=r"segmentation_head\.0\.weight is"):
        load_weights(maps[0], maps[1].state_dict(), "file", classes=0)


def test_all_heads_of_a_network_are_left_out_together():
    def make(classes: int) -> nn.Module:
        with torch.device("cpu"):
            return timm.create_model("deit_tiny_distilled_patch16_224", num_classes=classes, img_size=32, depth=1)

    net = make(3)
    [line] = load_weights(net, make(10).state_dict(), "file", classes=3).lines
    assert "left out head and head_dist, the head: it has 10 classes, this network 3" in line


def test_a_head_whose_weight_is_computed_is_drawn_as_well():
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 16, 3)
            self.head = nn.utils.parametrizations.weight_norm(nn.Linear(16, 3))
            nn.init.constant_(self.head.parametrizations.weight.original0, 30.0)

        def forward(self, image: Tensor) -> Tensor:
            return self.head(self.stem(image).square().mean(dim=(2, 3)))

    net, line = started(Normed, 3, noise(size=16))
    assert "head.parametrizations.weight.original0" in line
    assert above(net, noise(size=16, seed=2)) < 1.05


def test_a_head_of_large_features_is_drawn_smaller_still():
    net, line = started(Loud, 3, noise(size=16))
    assert "initialised the head head.weight again" in line
    assert above(net, noise(size=16, seed=2)) < 1.05


def test_a_head_whose_scale_is_undone_keeps_its_size_and_is_reported(caplog):
    class Cosine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 16, 3), nn.Linear(16, 3, bias=False)

        def forward(self, image: Tensor) -> Tensor:
            features = self.stem(image).mean(dim=(2, 3))
            return 30 * functional.normalize(features) @ functional.normalize(self.head.weight).T

    net, _ = started(Cosine, 3, noise(size=16))
    assert "at any scale of the head" in caplog.text
    assert net.head.weight.std() > 0.005


@pytest.mark.slow
def test_a_trained_network_is_evaluated_without_a_new_head(trained, caplog):
    overrides = ["model=joint_unet", "trainer.limit_train_batches=1", "keep_last=true", "name=small"]
    with caplog.at_level(logging.INFO):
        run = trained(*overrides)
        assert caplog.text.count("initialised the head classification_head.3.weight again") == 1
        before = pd.read_csv(run.cases)
        evaluation = evaluate_run(run, request(part="test"))
        assert caplog.text.count("initialised the head") == 1
        trained(*overrides, "trainer.max_epochs=2")
        assert "extended from 1 to 2 epochs" in caplog.text
        assert caplog.text.count("initialised the head") == 1, "a run that goes on has its weights"
    pd.testing.assert_frame_equal(
        pd.read_csv(evaluation.cases), before[before["split"] == "test"].reset_index(drop=True)
    )
