"""Runs to export, written without training, and what they are exported from."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from bus_lightning.config.build import build_net
from bus_lightning.config.settle import settle, with_images
from bus_lightning.config.stored import load_config, save_config
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.index import read_image
from bus_lightning.data.prepare import prepare_data
from bus_lightning.data.preprocess import RULES
from bus_lightning.export.runs import open_for_bundle, rebuild
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.models.maps import predicted_mask
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.predicted_masks import with_predicted_masks

ROOT = Path(__file__).parents[2]


def copy_fp32(fp32, int8, images, outputs):
    """Take the place of `quantise`, which other tests cover, in no time."""
    shutil.copy(fp32, int8)
    return 0, 1


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


def change(run: Path, **news) -> None:
    """Change values of a run's config, `data__size=32` for data.size."""
    cfg = load_config(run / "config.yaml")
    for key, value in news.items():
        OmegaConf.update(cfg, key.replace("__", "."), value, force_add=True)
    save_config(cfg, run / "config.yaml")


def images_of(run: Path, part: str) -> tuple[pd.DataFrame, list[np.ndarray]]:
    opened = rebuild(open_for_bundle(run))
    rows = opened.prepared.frame[opened.prepared.frame["id"].isin(opened.run.split.part(part))]
    return rows, [read_image(opened.prepared.root / file) for file in rows["image"]]
