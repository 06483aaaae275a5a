"""A segmenter and a classifier become a bundle that answers as they do, or are refused with the reason."""

import json
import shutil
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pandas as pd
import pytest
import timm
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from scipy.special import softmax
from sklearn.metrics import roc_curve
from torch import nn

from bus_lightning.config.build import build_net
from bus_lightning.config.settle import settle, with_images
from bus_lightning.config.stored import load_config, save_config
from bus_lightning.core.errors import UserError
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.index import read_image
from bus_lightning.data.prepare import prepare_data
from bus_lightning.data.preprocess import RULES
from bus_lightning.data.splits import load_split, make_named_split
from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Frame
from bus_lightning.diagnosis.networks import Network
from bus_lightning.export import making, variants
from bus_lightning.export.__main__ import main
from bus_lightning.export.calibration import find_temperature
from bus_lightning.export.heads import WithFeatures, find_head
from bus_lightning.export.making import make_bundle, new_bundle
from bus_lightning.export.runs import open_for_bundle, rebuild
from bus_lightning.export.team import _refuse_strangers
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.models.classifiers import alexnet, resnet
from bus_lightning.models.maps import predicted_mask
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.predicted_masks import with_predicted_masks
from bus_lightning.statistics.thresholds import choose_threshold

ROOT = Path(__file__).parents[2]


def layer(name: str, *arguments, **options) -> dict:
    return {"_target_": f"torch.nn.{name}", "_args_": list(arguments), **options}


# Networks that are exported in a second; how they answer does not matter.
SEGMENTER = layer("Sequential", layer("Conv2d", 3, 4, 3, padding=1), layer("ReLU"), layer("Conv2d", 4, 1, 5, padding=2))


def classifier(channels: int) -> dict:
    return layer(
        "Sequential", layer("Conv2d", channels, 8, 5, stride=2), layer("ReLU"), layer("Conv2d", 8, 64, 3, stride=2),
        layer("ReLU"), layer("AdaptiveAvgPool2d", 1), layer("Flatten"), layer("Linear", 64, 3),
    )  # fmt: skip


def write_run(runs: Path, root: Path, cache: Path, name: str, *overrides: str) -> Path:
    """Write the folder that a finished run leaves, with random weights and the answers that they give in PyTorch.

    The beginning of the name chooses the task: `seg`, `joint`, or `cls`.
    """
    kind = next((kind for kind in ("seg", "joint") if name.startswith(kind)), "cls")
    model = {"seg": "u2net_lite", "joint": "joint_unet_efficientnet_lite0", "cls": "deepcardinal50"}[kind]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        fixed = [f"data.root={root}", f"data.cache={cache}", f"runs_dir={runs}", "logger=none", f"model={model}",
                 "data.size=64", "data.split.cross_folds=3", f"name={name}", "data.split.ratio=[11,1,3]"]  # fmt: skip
        cfg = compose("train", overrides=[*fixed, *overrides])
    cfg = settle(cfg, RULES)
    nets = {"seg": SEGMENTER, "joint": {"_target_": "tiny_nets.TinyJoint"}, "cls": classifier(cfg.data.channels)}
    cfg.model.net, cfg.model.debug_size = nets[kind], {}
    prepared = prepare_data(cfg.data, needs_masks=False)
    split = prepared.split(cfg.data.split)
    if cfg.overlay.source == "predicted":
        prepared = with_predicted_masks(prepared, split, cfg.overlay, cross_fit=False)
    cfg = with_images(cfg, prepared.classes, prepared.segmenters)
    run = RunDir(runs / name)
    run.checkpoints.mkdir(parents=True)
    save_config(cfg, run.config)
    split.save(run.split)
    torch.manual_seed(cfg.seed)
    net = build_net(cfg.model, False)
    torch.save(net.state_dict(), run.best)
    data, rows = BusDataModule(prepared, split, cfg, full_masks=kind != "cls"), []
    for part in ("val", "test"):
        for batch in data.evaluation_dataloader(part):
            with torch.inference_mode():
                answers = net.eval()(batch["image"])
            answers = list(zip(*answers, strict=True)) if kind == "joint" else answers
            for place, (id_, answer) in enumerate(zip(batch["id"], answers, strict=True)):
                label = int(batch["label"][place])
                row = {"id": id_, "split": part, "label": prepared.classes[label]}
                answer, chances = answer if kind == "joint" else (answer, answer)
                if kind != "seg":
                    shares = chances.softmax(0).tolist()
                    row |= dict(zip([f"prob_{name}" for name in prepared.classes], shares, strict=True))
                if kind != "cls":
                    row |= {"tp": 5, "fp": 3, "fn": 2, "tn": 90, "hd95": np.nan}
                    box, shape = batch["box"][place].tolist(), batch["full_mask"][place].shape
                    png = cv2.imencode(
                        ".png", 255 * predicted_mask(answer.sigmoid(), box, shape).numpy().astype(np.uint8)
                    )[1]
                    run.write_masks({id_: png.tobytes()})
                rows.append(row)
    cases = pd.DataFrame(rows)
    run.write_cases(cases)
    run.update_status(state="complete", data=prepared.content, split=split.hash, epochs=1, commit=None)
    run.write_metrics({part: metrics_of(cases[cases["split"] == part]) for part in ("val", "test")})
    return run.path


@pytest.fixture(scope="module")
def made_runs(tmp_path_factory, phantom, audit_cache):
    runs = tmp_path_factory.mktemp("runs")
    for name, *overrides in (
        ("seg",),
        ("cls",),
        *((f"cls-{fold}", f"data.split.cross_fold={fold}") for fold in range(3)),
    ):
        write_run(runs, phantom, audit_cache, name, *overrides)
    return runs


@pytest.fixture
def runs(made_runs, tmp_path):
    return Path(shutil.copytree(made_runs, tmp_path / "runs"))


@pytest.fixture(scope="module")
def made(made_runs, tmp_path_factory):
    """A calibrated bundle."""
    out = tmp_path_factory.mktemp("made") / "bundle"
    lines: list[str] = []
    pattern = str(made_runs / "cls-*")
    bundle = make_bundle([made_runs / "seg", made_runs / "cls"], out, pattern, samples=4, report=lines.append)
    assert lines
    return bundle


def change(run: Path, **news) -> None:
    """Change values of a run's config, `data__size=32` for data.size."""
    cfg = load_config(run / "config.yaml")
    for key, value in news.items():
        OmegaConf.update(cfg, key.replace("__", "."), value, force_add=True)
    save_config(cfg, run / "config.yaml")


def refusal(runs: Path, **options) -> str:
    with pytest.raises(UserError) as raised:
        make_bundle([runs / "seg", runs / "cls"], runs / "out", **options)
    assert "\n" not in str(raised.value)
    assert not (runs / "out").exists()
    assert not list(runs.glob(".out*"))
    return str(raised.value)


def images_of(run: Path, part: str) -> tuple[pd.DataFrame, list[np.ndarray]]:
    opened = rebuild(open_for_bundle(run))
    rows = opened.prepared.frame[opened.prepared.frame["id"].isin(opened.run.split.part(part))]
    return rows, [read_image(opened.prepared.root / file) for file in rows["image"]]


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


@pytest.mark.parametrize("style", ["predicted", "predicted_channel", "predicted_crop"])
def test_a_classifier_sees_a_mask_as_in_training(segmenters, phantom, audit_cache, tmp_path, style, monkeypatch):
    pattern = f"overlay.segmenters='{segmenters}/*'"
    run = write_run(tmp_path, phantom, audit_cache, "cls", f"overlay={style}", pattern)
    monkeypatch.setattr(making, "quantise", lambda fp32, int8, images: shutil.copy(fp32, int8))
    monkeypatch.setattr(making, "compare_variants", lambda *_: {"fp32": made_up})
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


def test_every_precision_is_there_and_was_measured(made):
    assert list(made.variants) == ["fp32", "bf16", "int8"]
    for name, variant in made.variants.items():
        assert variant["images"] > 10
        assert variant["ms"] > 0
        assert variant["iou_difference"] == pytest.approx(variant["iou"] - made.variants["fp32"]["iou"], abs=2e-5)
        assert 0 <= variant["answers_changed"] <= (0 if variant is made.variants["fp32"] else variant["images"])
        assert name in made.networks["segmenter"].files
    for stage, last in zip(made.networks.values(), ("Conv", "Gemm"), strict=True):
        graph = onnx.load(stage.files["int8"]).graph
        makers = {name: node.op_type for node in graph.node for name in node.output}
        fed = {node.op_type: {makers.get(name) for name in node.input} for node in graph.node}
        assert "DequantizeLinear" in {made for node in graph.node if node.op_type == "Conv" for made in
                                      (makers.get(name) for name in node.input)}  # fmt: skip
        assert "DequantizeLinear" not in fed[last]  # of the last such layer, which gives the logits
    assert stage.files["bf16"] == stage.files["fp32"]


def test_the_fastest_precision_is_chosen_among_those_that_lose_little():
    def row(ms, iou, auc):
        return {"ms": ms, "iou_difference": iou, "auc_difference": auc}

    fp32 = row(9, 0, 0)
    assert variants.choose_precision({"fp32": fp32, "bf16": row(5, -0.01, 0), "int8": row(3, 0, 0)}) == "int8"
    assert variants.choose_precision({"fp32": fp32, "bf16": row(5, -0.01, 0), "int8": row(3, -0.011, 0)}) == "bf16"
    assert variants.choose_precision({"fp32": fp32, "bf16": row(5, 0, -0.02), "int8": row(3, 0, None)}) == "fp32"


@pytest.mark.parametrize("moved", ["sensitivity_malignant", "specificity_malignant"])
def test_a_precision_that_moves_the_threshold_is_not_the_default(moved):
    def row(ms, share):
        shares = {"sensitivity_malignant": 0.9, "specificity_malignant": 0.8} | {moved: share}
        return {"ms": ms, "iou_difference": 0.0, "auc_difference": 0.0, **shares}

    for near in (0.7, 0.68, 0.72):
        assert variants.choose_precision({"fp32": row(9, 0.7), "int8": row(3, near)}) == "int8"
    for far in (0.679, 0.721, None):
        assert variants.choose_precision({"fp32": row(9, 0.7), "int8": row(3, far)}) == "fp32"
    assert variants.choose_precision({"fp32": row(9, None), "int8": row(3, None)}) == "fp32"  # nothing shows it


def test_a_threshold_without_a_malignant_image_has_no_sensitivity():
    bundle = SimpleNamespace(thresholds={"malignant": {"threshold": 0.5}})
    cases = pd.DataFrame({"label": ["benign"] * 2, "prob_benign": [0.9, 0.2], "prob_malignant": [0.1, 0.8]})
    scores = variants._decisions(bundle, cases, cases)
    assert scores == {"answers_changed": 0, "sensitivity_malignant": None, "specificity_malignant": 0.5}


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


def test_calibration_uses_every_training_image_once_and_no_test_image(made, made_runs):
    calibration = json.loads((made.path / "bundle.json").read_text())["calibration"]
    split = load_split(made_runs / "cls" / "split.json")
    assert calibration["n"] == len(split.train)
    assert calibration["runs"] == 3
    assert calibration["after"]["log_loss"] <= calibration["before"]["log_loss"]
    assert made.thresholds["malignant"]["sensitivity"] >= 0.95
    assert calibration["tested"]["n"] == len(split.test)
    assert {"before", "after", "malignant"} <= set(calibration["tested"])


def test_a_bundle_says_when_it_is_not_calibrated_and_has_no_heat_map(made_runs, tmp_path, monkeypatch):
    monkeypatch.setattr(making, "quantise", lambda fp32, int8, images: shutil.copy(fp32, int8))
    monkeypatch.setattr(making, "find_head", lambda net, images: None)  # as for a network without one
    bundle = make_bundle([made_runs / "seg", made_runs / "cls"], tmp_path / "bundle")
    content = json.loads((bundle.path / "bundle.json").read_text())
    assert bundle.temperature is None
    assert bundle.thresholds is None
    assert content["calibration"] == "not calibrated"
    assert "not calibrated" in bundle.card
    stage = bundle.networks["classifier"]
    assert stage.head is None
    assert "No heat map" in bundle.card
    size = stage.preprocessing.size
    assert len(Network(stage, "fp32")(np.zeros((1, 3, size, size), np.float32))) == 1
    assert not bundle.samples


def test_another_computation_than_pytorch_s_is_refused(made_runs, made, monkeypatch):
    opened = rebuild(open_for_bundle(made_runs / "cls"))
    stage = made.networks["classifier"]
    assert variants.check_agreement(opened, stage) < 1e-5
    with torch.no_grad():
        next(iter(opened.net.parameters())).mul_(1.1)
    with pytest.raises(UserError, match="differs from PyTorch"):
        variants.check_agreement(opened, stage)
    with torch.no_grad():
        next(iter(opened.net.parameters())).fill_(float("nan"))
    with pytest.raises(UserError, match="differs from PyTorch by nan"):
        variants.check_agreement(opened, stage)


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


def test_the_temperature_is_the_one_that_probabilities_were_made_with():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40_000, 3)) * 2
    labels = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((len(logits), 1))).argmax(axis=1)
    for temperature in (0.5, 1.0, 2.5):
        assert find_temperature(softmax(logits * temperature, axis=1), labels) == pytest.approx(temperature, rel=0.03)
    sure = np.array([[1.0, 0.0, 0.0]] * 9 + [[0.0, 1.0, 0.0]])  # not a number in its logarithms
    assert np.isfinite(find_temperature(sure, np.zeros(10, np.int64)))


@pytest.mark.parametrize("sensitivity", [0.5, 0.9, 0.95, 1.0])
def test_the_threshold_is_the_one_with_the_fewest_alarms_at_its_sensitivity(sensitivity):
    rng = np.random.default_rng(1)
    is_positive = rng.random(300) < 0.3
    scores = (rng.normal(size=300) + is_positive).round(1)  # with ties
    scores = 1 / (1 + np.exp(-scores))
    threshold = choose_threshold(scores, is_positive, sensitivity)
    false_alarms, hits, _ = roc_curve(is_positive, scores, drop_intermediate=False)
    assert threshold["sensitivity"] >= sensitivity
    assert threshold["specificity"] == pytest.approx(1 - false_alarms[hits >= sensitivity].min())
    assert np.abs(scores - threshold["threshold"]).min() > 1e-9
    assert threshold["positives"] + threshold["negatives"] == 300


def test_a_segmenter_that_saw_the_classifier_s_test_images_is_refused(runs):
    own = load_split(runs / "seg" / "split.json")
    tested = load_split(runs / "cls" / "split.json").test
    group = own.groups[tested[0]]
    parts = {"train": [*own.train, *(id_ for id_ in tested if own.groups[id_] == group)], "val": own.val,
             "test": [id_ for id_ in own.test if own.groups[id_] != group]}  # fmt: skip
    make_named_split(parts, "grouped", own.groups, own.ratio).save(runs / "seg" / "split.json")
    assert "is tested on" in refusal(runs)


def test_a_near_duplicate_of_a_test_image_in_the_segmenter_s_training_is_refused(runs):
    segmenter, classifier = (open_for_bundle(runs / name) for name in ("seg", "cls"))
    _refuse_strangers(segmenter, classifier)
    duplicate = segmenter.split.train[0]
    classifier.split.groups[classifier.split.test[0]] = segmenter.split.groups[duplicate]
    with pytest.raises(UserError, match="near-duplicates"):
        _refuse_strangers(segmenter, classifier)


def stop(run):
    """Turn a finished run into an interrupted one."""
    (run / "metrics.json").unlink()
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps(status | {"state": "interrupted"}))


def test_runs_that_are_not_finished_or_not_runs_are_refused(runs):
    shutil.move(runs / "cls" / "checkpoints" / "best.ckpt", runs / "kept.ckpt")
    assert "best.ckpt" in refusal(runs)
    shutil.move(runs / "kept.ckpt", runs / "cls" / "checkpoints" / "best.ckpt")
    stop(runs / "cls")
    assert "not complete" in refusal(runs)
    shutil.rmtree(runs / "cls")
    assert "is not a run folder" in refusal(runs)
    shutil.copytree(runs / "seg", runs / "cls")
    assert "have the same weights: one is a copy" in refusal(runs)


def test_runs_of_other_data_are_refused(runs):
    status = json.loads((runs / "seg" / "status.json").read_text())
    (runs / "seg" / "status.json").write_text(json.dumps(status | {"data": "0123456789abcdef-0"}))
    assert "different data" in refusal(runs)
    (runs / "cls" / "status.json").write_text(json.dumps(status | {"data": "0123456789abcdef-0"}))
    assert "does not hold the files" in refusal(runs)


@pytest.mark.parametrize("style", ["contour", "class_mark"])
def test_a_classifier_that_was_shown_the_truth_is_refused(runs, style):
    change(runs / "cls", overlay__style=style)
    assert "overlay=predicted" in refusal(runs)


def test_out_of_fold_runs_have_to_be_folds_of_the_classifier(runs):
    pattern = str(runs / "cls-*")
    change(runs / "cls-1", model__name="resnet50")
    assert "model.name is resnet50, not deepcardinal50" in refusal(runs, out_of_fold=pattern)
    change(runs / "cls-1", model__name="deepcardinal50", data__classes=["malignant", "benign", "normal"])
    assert "data.classes" in refusal(runs, out_of_fold=pattern)
    change(runs / "cls-1", data__classes=["benign", "malignant", "normal"], overlay__style="channel")
    assert "overlay.style" in refusal(runs, out_of_fold=pattern)
    change(runs / "cls-1", overlay__style="none")
    stop(runs / "cls-2")
    assert "not complete" in refusal(runs, out_of_fold=pattern)
    assert "matches no classification run" in refusal(runs, out_of_fold=str(runs / "seg"))
    assert "matches no classification run" in refusal(runs, out_of_fold=str(runs / "cls"))


def test_predictions_of_test_images_never_calibrate(runs):
    shutil.copytree(runs / "cls", runs / "cls-9")  # its test images are those of the classifier
    assert "look too good" in refusal(runs, out_of_fold=str(runs / "cls-*"))


def test_a_fold_that_comes_twice_is_refused(runs):
    shutil.copytree(runs / "cls-0", runs / "cls-9")
    assert "predicted by several runs" in refusal(runs, out_of_fold=str(runs / "cls-*"))


def test_a_sensitivity_that_is_no_share_is_refused(runs):
    for sensitivity in (0, 1.1, float("nan")):
        assert "--sensitivity" in refusal(runs, sensitivity=sensitivity)


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


def test_the_command_says_in_a_line_what_is_wrong(runs, capsys):
    assert main(["--run", str(runs / "cls"), str(runs / "cls"), "--out", str(runs / "out")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("Error: ")
    assert captured.err.count("\n") == 1
    assert main(["--out", str(runs / "out")]) == 1
    assert capsys.readouterr().err == "Error: --run has no value: give the folders of finished runs, --run RUN...\n"


@pytest.mark.slow
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
