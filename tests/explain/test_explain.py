"""Heat maps: they are what the papers define, and are made of every classifier and of every run that asks for them."""

import ast
import copy
import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import timm
import torch
from omegaconf import OmegaConf
from our_nets import NAMES, debug_net, images, task
from torch import nn
from torch.nn import functional
from torchcam.methods import GradCAM

from bus_lightning.core import files
from bus_lightning.core.errors import UserError
from bus_lightning.explain.heatmaps import TITLES, HeatMaps, Settings, last_feature_map
from bus_lightning.training import fit
from bus_lightning.training.evaluate import evaluate_run, evaluate_runs

PACKAGE = Path(__file__).parents[2] / "bus_lightning"
CLASSIFIERS = [name for name in NAMES if task(name) == "classification"]
OPTIONS = {"methods": list(TITLES), "images": None, "integration_steps": 4, "occlusion_positions": 4, "random_seed": 1}
COLUMNS = ["id", "label", "predicted", "method", "weights", "pointing", "energy", "chance"]


def settings(**options):
    return Settings(**OPTIONS | options)


def request(root=None, **options):
    base = {"runs": "", "part": "test", "split": None, "progress": False, "explain": True, "explain_options": OPTIONS}
    return OmegaConf.create(base | {"data": {"root": root, "skip_unreadable": False}} | options)


@pytest.fixture
def trained(trained, monkeypatch):
    """Train a small network, without its pictures, and return its folder."""
    monkeypatch.setattr(fit, "save_sheet", lambda *_: None)
    return trained


class Corner(nn.Module):
    """A network of which all is known: class 1 is the brightness of the upper left quarter, class 0 its negative."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.ReLU(inplace=True), nn.MaxPool2d(1))
        nn.init.ones_(self.features[0].weight)

    def forward(self, image):
        brightness = self.features(image + 0)[:, 0, :16, :16].mean(dim=(1, 2))
        return torch.stack([-brightness, brightness], dim=1)


@pytest.mark.parametrize("method", TITLES)
def test_every_method_finds_what_the_network_looks_at(method):
    bright = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    bright[:, :, 4:12, 4:12] += 3
    maps = HeatMaps(Corner(), settings(methods=[method], occlusion_positions=7), bright)
    for heat in maps(bright, torch.tensor([1, 1]))[method]:
        assert heat[4:12, 4:12].mean() > 3 * heat.mean()
        if method != "gradcam":  # which knows its feature map as a whole, not what becomes of it
            assert heat[24:, 24:].max() == pytest.approx(0, abs=1e-6)
    against = maps(bright, torch.tensor([0, 0]))[method]
    assert against[:, 4:12, 4:12].max() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_grad_cam_is_that_of_another_library(name):
    net, batch = copy.deepcopy(debug_net(name)), images(2, 3, 96, 96)
    layer = last_feature_map(net, batch)
    with GradCAM(net, layer) as reference:
        coarse = reference([2, 0], net(batch), normalized=False)[0].detach()
    expected = functional.interpolate(coarse[:, None], (96, 96), mode="bilinear")[:, 0].clamp(min=0)
    heat = HeatMaps(net, settings(methods=["gradcam"]), batch)(batch, torch.tensor([2, 0]))["gradcam"]
    torch.testing.assert_close(heat, expected)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_gets_every_map(name):
    net, batch = copy.deepcopy(debug_net(name)), images(2, 3, 64, 64)
    before = net(batch).detach()
    maps = HeatMaps(net, settings(), batch)(batch, before.argmax(dim=1))
    assert list(maps) == list(TITLES)
    for heat in maps.values():
        assert (heat.shape, heat.dtype) == ((2, 64, 64), torch.float32)
        assert heat.isfinite().all()
        assert (heat >= 0).all()
    torch.testing.assert_close(net(batch), before)
    seen = [HeatMaps(net, settings(), batch)(batch, torch.full((2,), label)) for label in range(before.shape[1])]
    # In an untrained network the map of one class may be empty, but not the maps of all classes.
    dark = [method for method in TITLES if not any(maps[method].any() for maps in seen)]
    assert dark == []


@pytest.mark.parametrize(
    ("name", "layer"), [("alexnet", "features.11"), ("resnet34", "layer4.0"), ("efficientnet_lite0", "bn2")]
)
def test_the_last_feature_map_is_what_the_head_sees_before_pooling(name, layer):
    assert last_feature_map(debug_net(name), images(1, 3, 96, 96)) == layer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "layer4.1"),
        ("convnext_atto", "stages.3"),
        ("vgg11", "features.19"),
        ("densenet121", "features.norm5"),
        ("mobilenetv3_small_050", "blocks.5.0"),
        ("vit_tiny_patch16_224", None),
        ("swin_tiny_patch4_window7_224", None),
    ],
)
def test_the_last_feature_map_of_other_networks_is_found_too(name, layer):
    assert last_feature_map(timm.create_model(name, num_classes=2).eval(), images(1, 3, 224, 224)) == layer


def test_a_network_of_tokens_gets_the_other_maps():
    net = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=32, num_classes=2)
    maps = HeatMaps(net, settings(), images(1, 3, 32, 32))(images(1, 3, 32, 32), torch.tensor([0]))
    assert list(maps) == ["integrated_gradients", "occlusion"]


def test_integrated_gradients_add_up_to_the_logit():
    net, batch = copy.deepcopy(debug_net("alexnet")), images(2, 3, 64, 64)
    maps = HeatMaps(net, settings(integration_steps=64), batch)
    signed = maps._integrated_gradients(batch, torch.tensor([0, 2])).sum(dim=(1, 2))
    gained = net(batch) - net(batch.mean(dim=(2, 3), keepdim=True).expand_as(batch))
    torch.testing.assert_close(signed.detach(), gained[[0, 1], [0, 2]], rtol=0.05, atol=1e-3)


def test_an_image_has_the_same_maps_alone_and_in_a_batch():
    net, batch = copy.deepcopy(debug_net("resnet34")), images(3, 3, 64, 64)
    maps, targets = HeatMaps(net, settings(), batch), torch.tensor([0, 1, 2])
    together = maps(batch, targets)
    for method, heat in maps(batch[1:2], targets[1:2]).items():
        torch.testing.assert_close(heat, together[method][1:2], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_run_gets_a_table_a_sheet_and_its_tiles(trained):
    run = trained("model=alexnet")
    before = run.metrics["test"]
    result = evaluate_run(run, request())
    assert result.metrics["test"] == before
    maps = pd.read_csv(run.path / "explain" / "maps.csv")
    assert list(maps.columns) == COLUMNS
    ids = json.loads(run.split.read_text())["test"]
    assert len(maps) == len(ids) * len(TITLES) * 2
    assert not maps.duplicated(["id", "method", "weights"]).any()
    assert maps[maps["label"] == "normal"][COLUMNS[5:]].isna().all(axis=None)
    lesions = maps[maps["label"] != "normal"]
    assert lesions["chance"].between(0, 1, inclusive="neither").all()
    assert lesions[["pointing", "energy"]].dropna().ge(0).all(axis=None)
    assert lesions[["pointing", "energy"]].dropna().le(1).all(axis=None)
    trained_energy, random_energy = (group["energy"].to_numpy() for _, group in lesions.groupby("weights", sort=False))
    assert np.isfinite(trained_energy).any()
    measured_by = lesions[lesions["weights"] == "trained"].groupby("method")["energy"].count()
    # Grad-CAM of such a small, hardly trained network may find no evidence for its answer; the other methods do.
    assert set(measured_by[measured_by > 0].index) >= set(TITLES) - {"gradcam"}
    assert (trained_energy != random_energy).mean() > 0.8  # a few are 0 in both
    cases = pd.read_csv(result.cases).set_index("id")
    answers = cases.filter(like="prob_").idxmax(axis=1).str.removeprefix("prob_")
    assert (maps["predicted"] == maps["id"].map(answers)).mean() > 0.9  # bfloat16 may tip an even choice
    sheet = cv2.imread(str(run.path / "explain" / "heatmaps.png"))
    assert min(sheet.shape[:2]) > 600
    tiles = {
        str(file.relative_to(run.path / "explain" / "tiles").with_suffix(""))
        for file in run.path.glob("explain/tiles/*/*.png")
    }
    assert len(tiles) == 6
    assert tiles <= set(ids)
    assert sorted(tile.split("/")[0] for tile in tiles) == ["benign"] * 2 + ["malignant"] * 2 + ["normal"] * 2
    file = run.path / "explain" / "maps.csv"
    written, made = file.read_bytes(), file.stat().st_mtime_ns
    evaluate_run(run, request())
    assert file.stat().st_mtime_ns == made  # there already, made with the same options
    (run.path / "explain" / "options.json").unlink()
    evaluate_run(run, request())
    assert file.stat().st_mtime_ns > made
    assert file.read_bytes() == written  # the random weights are the same again


@pytest.mark.slow
def test_fewer_images_and_methods_can_be_asked_for(trained, monkeypatch):
    run, seen, call = trained("model=resnet34", "trainer.precision=bf16-mixed"), [], HeatMaps.__call__
    monkeypatch.setattr(HeatMaps, "__call__", lambda maps, *batch: seen.append((maps, *batch)) or call(maps, *batch))
    evaluate_run(run, request(explain_options=OPTIONS | {"methods": ["occlusion"], "images": 5}))
    maps = pd.read_csv(run.path / "explain" / "maps.csv")
    assert len(maps) == 5 * 2
    assert set(maps["method"]) == {"occlusion"}
    assert maps["label"].nunique() == 3
    (trained_maps, batch, targets), (random_maps, _, same_targets) = seen
    with torch.no_grad():
        logits = trained_maps.net(batch)
    assert logits.dtype == torch.float32  # whatever the network was trained in
    assert torch.equal(logits.argmax(dim=1), targets)
    assert set(same_targets.tolist()) <= set(targets.tolist())
    weights = [maps.net.fc.weight for maps in (trained_maps, random_maps)]
    assert torch.equal(weights[0], torch.load(run.best, weights_only=True)["state_dict"]["net.fc.weight"])
    assert not torch.isclose(*weights).any()


def test_heat_maps_of_another_folder_are_made_once_and_leave_the_runs_own(trained, phantom_copy):
    run = trained("model=alexnet")
    for file in (phantom_copy / "normal").glob("normal (1)*"):
        file.unlink()
    options = OPTIONS | {"methods": ["gradcam"], "images": 6}
    made = set()
    for _ in range(2):
        result = evaluate_run(run, request(root=str(phantom_copy), split="all", explain_options=options))
        made.add((result.path / "explain" / "maps.csv").stat().st_mtime_ns)
    assert len(made) == 1
    assert not (run.path / "explain").exists()


def test_the_checkpoint_is_hashed_once(trained, monkeypatch):
    run, hashed, opening = trained("model=alexnet"), [], files.open_regular
    monkeypatch.setattr(files, "open_regular", lambda path: hashed.append(path) or opening(path))
    evaluate_run(run, request(explain_options=OPTIONS | {"methods": ["gradcam"], "images": 3}))
    assert hashed.count(run.best) == 1


@pytest.mark.slow
def test_damaged_heat_maps_are_made_again(trained, caplog):
    run = trained("model=alexnet")
    folder, options = run.path / "explain", OPTIONS | {"methods": ["gradcam"], "images": 3}

    def make():
        caplog.clear()
        evaluate_run(run, request(explain_options=options))
        lines = [record.getMessage() for record in caplog.records if "made again" in record.getMessage()]
        files = {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        return files, lines

    whole, lines = make()
    assert lines == []
    assert make() == (whole, [])
    tile = next(file for file in whole if file.parts[0] == "tiles")
    damages = {
        "maps.csv": lambda file: file.write_bytes(file.read_bytes().replace(b"0.", b"1.", 1)),
        "heatmaps.png": lambda file: (file.unlink(), file.mkdir()),
        "SHA256SUMS": lambda file: file.write_text("["),
        tile: lambda file: (file.unlink(), file.symlink_to("/dev/zero")),
    }
    for name, damage in damages.items():
        damage(folder / name)
        files, lines = make()
        assert lines == [f"{folder}: the heat maps are made again: the checksum of a file is missing or differs."]
        assert files == whole


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["channel", "crop"])
def test_images_with_a_mask_channel_or_a_crop_get_maps_too(trained, overlay):
    run = trained("model=resnet34", f"overlay={overlay}", "data.resize=pad")
    evaluate_run(run, request(explain_options=OPTIONS | {"methods": ["gradcam"], "images": 6}))
    tiles = [cv2.imread(str(file)) for file in run.path.glob("explain/tiles/*/*.png")]
    assert tiles
    assert all(tile[:, : tile.shape[1] // 2].std() > 5 for tile in tiles)  # the image, next to its map
    if overlay == "crop":
        assert {tile.shape[1] / tile.shape[0] for tile in tiles} == {2.0}  # squares, as the network saw them


def test_a_segmenter_gets_a_line_and_no_maps(trained, caplog):
    run = trained("model=u2net_lite")
    caplog.set_level(logging.INFO)
    caplog.clear()
    evaluate_run(run, request())
    assert sum("no heat maps" in record.message for record in caplog.records) == 1
    assert not (run.path / "explain").exists()


@pytest.mark.parametrize(
    "wrong", [{"methods": ["gradcamm"]}, {"methods": []}, {"images": 0}, {"occlusion_positions": 2}]
)
def test_a_wrong_option_is_refused_before_any_run_is_evaluated(wrong):
    with pytest.raises(UserError, match=f"explain_options.{next(iter(wrong))}"):
        evaluate_runs(request(runs="nowhere/*", explain_options=OPTIONS | wrong))


def test_training_and_reports_do_not_import_what_makes_heat_maps():
    """`explain.faithfulness` is all that a report needs: tables."""
    for file in PACKAGE.rglob("*.py"):
        if file.parent.name == "explain" and file.stem not in ("__init__", "faithfulness"):
            continue
        for node in ast.parse(file.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            others = [name for name in names if name.startswith(("captum", "bus_lightning.explain"))]
            assert set(others) <= {"bus_lightning.statistics.faithfulness"}, file
