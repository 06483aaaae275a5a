"""A segmenter and a classifier become a bundle that answers as they do and replaces nothing but bundles."""

import shutil
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import onnx
import pandas as pd
import pytest
import timm
import torch
from exported_runs import copy_fp32, images_of, write_run
from scipy.special import softmax
from torch import nn

from bus_lightning.core.errors import UserError
from bus_lightning.data.splits import load_split
from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame
from bus_lightning.diagnosis.networks import Network
from bus_lightning.export import making, variants
from bus_lightning.export.__main__ import main
from bus_lightning.export.heads import WithFeatures, find_head
from bus_lightning.export.making import make_bundle, new_bundle
from bus_lightning.models.classifiers import alexnet, resnet

ROOT = Path(__file__).parents[2]


def test_a_bundle_answers_what_pytorch_answered(made, made_runs):
    cases = pd.read_csv(made_runs / "cls" / "cases.csv").set_index("id")
    rows, images = images_of(made_runs / "cls", "test")
    diagnoses = Diagnoser(made, "fp32").diagnose([Frame(image) for image in images])
    expected = cases.loc[rows["id"], [f"prob_{name}" for name in made.classes]].to_numpy()
    expected = softmax(np.log(expected) / made.temperature, axis=1)
    answered = [[diagnosis.probabilities[name] for name in made.classes] for diagnosis in diagnoses]
    np.testing.assert_allclose(answered, expected, atol=1e-4)


@pytest.fixture(scope="module")
def segmenters(tmp_path_factory, phantom, audit_cache):
    runs = tmp_path_factory.mktemp("segmenters")
    for name, fold in (("seg", "null"), *((f"seg-{fold}", fold) for fold in range(3))):
        write_run(runs, phantom, audit_cache, name, f"data.split.cross_fold={fold}")
    return runs


@pytest.mark.slow
@pytest.mark.parametrize("style", ["predicted", "predicted_channel", "predicted_crop"])
def test_a_classifier_sees_a_mask_as_in_training(segmenters, phantom, audit_cache, tmp_path, style, monkeypatch):
    pattern = f"overlay.segmenters='{segmenters}/*'"
    run = write_run(tmp_path, phantom, audit_cache, "cls", f"overlay={style}", pattern)
    monkeypatch.setattr(making, "quantise", copy_fp32)
    monkeypatch.setattr(variants, "compare_variants", lambda *_: {"fp32": made_up})
    made_up = {"iou": 0.5, "iou_difference": 0.0, "auc": 0.5, "auc_difference": 0.0, "images": 1, "ms": 1.0,
               "answers_changed": 0}  # fmt: skip
    bundle = make_bundle([run, segmenters / "seg"], tmp_path / "bundle")  # in any order
    assert bundle.networks["classifier"].overlay.source == "predicted"
    assert bundle.networks["classifier"].channels == (4 if style == "predicted_channel" else 3)
    assert str(segmenters) not in (bundle.path / "bundle.json").read_text()
    cases = pd.read_csv(run / "cases.csv").set_index("id")
    rows, images = images_of(run, "test")
    diagnoses = Diagnoser(bundle, "fp32").diagnose([Frame(image) for image in images])
    assert any(diagnosis.mask.any() and not diagnosis.mask.all() for diagnosis in diagnoses)
    expected = cases.loc[rows["id"], [f"prob_{name}" for name in bundle.classes]].to_numpy()
    answered = [[diagnosis.probabilities[name] for name in bundle.classes] for diagnosis in diagnoses]
    np.testing.assert_allclose(answered, expected, atol=2e-3)  # a pixel of the outline may fall on either side
    with pytest.raises(UserError, match="masks of another run"):
        make_bundle([Path(shutil.copytree(segmenters / "seg", tmp_path / "other")), run], tmp_path / "never")
    with pytest.raises(UserError, match="needs the masks of a segmenter"):
        make_bundle([run], tmp_path / "never")


def test_logits_are_the_weighted_means_of_the_features(made):
    stage = made.networks["classifier"]
    size = stage.preprocessing.size
    images = np.random.default_rng(0).normal(size=(3, 3, size, size)).astype(np.float32)
    logits, features = Network(stage, "fp32")(images)
    explained = features.mean(axis=(2, 3)) @ stage.head.T
    without_bias = logits - explained
    np.testing.assert_allclose(without_bias, np.broadcast_to(without_bias[:1], logits.shape), atol=1e-4)


def test_the_card_says_what_must_be_known(made, made_runs):
    card = " ".join(made.card.split())
    for phrase in ("NOT A MEDICAL DEVICE", "near-duplicates kept in one part", "95% interval", "Temperature", "int8",
                   "Apache-2.0", "drawn phantoms", "(default)", "class activation map"):  # fmt: skip
        assert phrase in card
    split = load_split(made_runs / "cls" / "split.json")
    assert f"{len(split.train)}/{len(split.val)}/{len(split.test)}" in card
    assert split.hash in card


def test_nothing_in_a_bundle_names_the_machine(made, phantom):
    for file in made.path.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            for place in (ROOT, Path.home(), phantom, made.path.parent):
                assert str(place).encode() not in content, file


def test_samples_are_drawn_phantoms(made):
    assert [file.name.split("-")[1] for file in made.samples] == ["benign", "benign", "malignant", "normal"]
    assert all(cv2.imread(str(file)) is not None for file in made.samples)


@pytest.mark.parametrize(
    ("net", "width"),
    [
        (lambda: resnet("bottleneck", [1, 1, 1, 1], 3, groups=32, width_per_group=4), 2048),
        (lambda: timm.create_model("test_resnet", num_classes=3), 96),
        (lambda: timm.create_model("test_convnext", num_classes=3), None),  # normalises after its average
        (lambda: timm.create_model("test_vit", num_classes=3, img_size=64), None),
        (lambda: alexnet(3, hidden=8), None),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)), None),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 3)), None),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3), nn.GELU()),
         None),
    ],
)  # fmt: skip
def test_a_head_is_found_where_logits_are_weighted_means_of_a_map_and_nowhere_else(net, width):
    torch.manual_seed(0)
    built, images = net().eval(), torch.randn(2, 3, 64, 64)
    head = find_head(built, images)
    assert (head and head.weights.shape) == (None if width is None else (3, width))
    if head:
        with torch.inference_mode():
            logits, features = WithFeatures(built, head)(images)
            torch.testing.assert_close(logits, built(images))
        assert features.shape[1] == width


class SharedPool(nn.Module):
    """A network that averages two feature maps by one layer; the logits come from the second."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3)
        self.pool, self.last = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 3)

    def forward(self, image):
        early = self.first(image)
        return self.last(self.pool(self.second(early * self.pool(early).sigmoid())).flatten(1))


def test_features_are_those_of_the_head_also_if_its_average_is_used_twice():
    net, images = SharedPool().eval(), torch.rand(2, 3, 32, 32)
    head = find_head(net, images)
    with torch.inference_mode():
        logits, features = WithFeatures(net, head)(images)
    expected = features.mean(dim=(2, 3)) @ torch.from_numpy(head.weights).T + net.last.bias
    torch.testing.assert_close(logits, expected)


def test_only_a_bundle_is_replaced(made, tmp_path):
    foreign = tmp_path / "precious"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="not a bundle"), new_bundle(foreign):
        pass
    assert (foreign / "thesis.txt").read_text() == "years of work"
    old = Path(shutil.copytree(made.path, tmp_path / "bundle"))
    (old / "segmenter.onnx").write_bytes(b"damaged")  # a damaged one may be replaced
    with new_bundle(old) as aside:
        shutil.copytree(made.path, aside, dirs_exist_ok=True)
    load_bundle(old)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bundle", "precious"]


def test_a_bundle_is_never_made_inside_another_one(made, tmp_path):
    outer = shutil.copytree(made.path, tmp_path / "outer")
    for inside in (outer / "new", outer / "samples" / "new"):
        with pytest.raises(UserError, match="lies in a bundle, which it would damage"), new_bundle(inside):
            pytest.fail("a folder is there")
        assert load_bundle(outer).id == made.id


def test_an_export_that_fails_leaves_the_old_bundle(made, tmp_path):
    old = Path(shutil.copytree(made.path, tmp_path / "bundle"))
    for error in (OSError("the disk is full"), KeyboardInterrupt()):
        with suppress(OSError, KeyboardInterrupt), new_bundle(old) as aside:
            (aside / "bundle.json").write_text("half")
            raise error
    with pytest.raises(UserError), new_bundle(old) as aside:
        (aside / "bundle.json").write_text("half")
    assert load_bundle(old).id == made.id
    assert [file.name for file in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.nightly
def test_trained_runs_become_a_bundle_by_the_command(trained, tmp_path, capsys):
    segmenter, classifier = trained("model=u2net_lite"), trained("model=deepcardinal50")
    # The options of earlier versions still work, and name the one that has replaced them.
    arguments = ["--segmenter", str(segmenter.path), "--classifier", str(classifier.path), "--out", str(tmp_path / "b")]
    assert main(arguments) == 0
    bundle = load_bundle(tmp_path / "b")
    captured = capsys.readouterr()
    assert bundle.id in captured.out
    assert f"are now --run: --run {segmenter.path} {classifier.path}\n" in captured.err
    assert bundle.networks["classifier"].head.shape == (3, 2048)
    assert not onnx.load(bundle.networks["segmenter"].files["fp32"]).graph.node[0].metadata_props
