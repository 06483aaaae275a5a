"""Masks of several networks are averaged before the threshold, on the code path of a single network."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from averaging import average, ensembles_in
from composing import compose_run
from omegaconf import OmegaConf
from PIL import Image

from bus_lightning.core.errors import UserError
from bus_lightning.data.index import read_index
from bus_lightning.data.phantom import draw_phantom
from bus_lightning.metrics.columns import MILLIMETRES
from bus_lightning.runs.evaluations import find_evaluations
from bus_lightning.runs.finished import open_run
from bus_lightning.runs.folder import RunDir
from bus_lightning.training import averages, ensembles, fit, train

MASKS = ("tp", "fp", "fn", "tn", "hd95", "surface_dice")


@pytest.fixture(scope="module")
def networks(phantom, audit_cache, tmp_path_factory):
    """Two seeds of a small joint network, trained once."""
    runs = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "save_sheet", lambda *_: None)
        folders = []
        for seed in (0, 1):
            cfg = compose_run(
                ["model=joint_unet", f"seed={seed}", "group=g", "data.size=32"], phantom, audit_cache, runs
            )
            train.run(cfg)
            folders.append(RunDir(Path(cfg.runs_dir) / "g" / cfg.name))
    return folders


@pytest.fixture
def trained(networks, tmp_path):
    copied = Path(shutil.copytree(networks[0].path.parent, tmp_path / "g"))
    return [RunDir(copied / run.path.name) for run in networks]


def test_the_mean_of_a_network_with_itself_is_its_own_evaluation(trained):
    """The same code path: masks, distances and classes come out as the training wrote them, to the last digit."""
    run = trained[0]
    shutil.rmtree(trained[1].path)
    copied = Path(shutil.copytree(run.path, run.path.with_name(run.path.name.replace("seed-0", "seed-1"))))
    config = RunDir(copied).config
    config.write_text(config.read_text().replace("\nseed: 0\n", "\nseed: 1\n"))
    written = pd.read_csv(run.cases, dtype=str)
    with (copied / "cases.csv").open("a") as stream:  # other bytes, the same numbers: it is not refused as a copy
        stream.write("\n")
    average(run.path.parent / "*")
    (folder,) = ensembles_in(run.path.parent)
    mean = pd.read_csv(folder / "cases.csv", dtype=str)
    assert list(mean) == list(written)
    assert mean.equals(written)
    for mask in run.masks.rglob("*.png"):
        assert (folder / "masks" / mask.relative_to(run.masks)).read_bytes() == mask.read_bytes()


def test_masks_are_averaged_before_the_threshold(trained):
    average(trained[0].path.parent / "*")
    (folder,) = ensembles_in(trained[0].path.parent)
    opened = open_run(folder)
    assert opened.task == "joint"
    assert {*MASKS, "prob_benign"} <= {*opened.cases}
    tables = [open_run(run.path).cases.set_index("id") for run in trained]
    mean = opened.cases.set_index("id")
    assert np.allclose(mean["prob_benign"], (tables[0]["prob_benign"] + tables[1]["prob_benign"]).loc[mean.index] / 2,
                       atol=1e-6)  # fmt: skip
    assert set(mean["split"]) <= {"val", "test"}
    more_than_votes = 0
    for id_ in mean.index:
        first, second, both = (
            np.asarray(Image.open(run / "masks" / f"{id_}.png")) for run in (trained[0].path, trained[1].path, folder)
        )
        assert both[first & second].all()
        assert not both[~(first | second)].any()
        assert both.sum() == mean.loc[id_, ["tp", "fp"]].sum()
        more_than_votes += (both != (first & second)).any() and (both != (first | second)).any()
    assert more_than_votes > 0
    assert (mean[list(MASKS[:4])].sum(axis=1) == tables[0].loc[mean.index, list(MASKS[:4])].sum(axis=1)).all()


def test_masks_need_the_checkpoints_and_the_images(trained, caplog):
    trained[1].best.unlink()
    with pytest.raises(UserError):
        average(trained[0].path.parent / "*")
    assert f"{trained[1].path} has no checkpoints/best.ckpt" in caplog.text
    assert not ensembles_in(trained[0].path.parent)


def test_each_network_keeps_its_own_size_and_preprocessing(trained):
    own = trained[0]
    shutil.rmtree(trained[1].path)
    other = RunDir(Path(shutil.copytree(own.path, own.path.with_name("other"))))  # the same weights
    text = other.config.read_text()
    assert "  size: 32\n" in text
    other.config.write_text(text.replace("  size: 32\n", "  size: 48\n").replace("resize: stretch", "resize: pad"))
    with other.cases.open("a") as stream:
        stream.write("\n")
    average(own.path.parent / "*", "sizes")
    mean = open_run(own.path.parent / "ensemble_sizes").cases.set_index("id")
    single = open_run(own.path).cases.set_index("id").loc[mean.index]
    counts = list(MASKS[:4])
    assert mean[counts].sum(axis=1).equals(single[counts].sum(axis=1))
    assert not mean[counts].equals(single[counts])
    assert np.allclose(mean.filter(like="prob_").sum(axis=1), 1)


def test_options_for_the_runs_own_images_hold_where_their_masks_are_averaged(trained, monkeypatch):
    given = []

    def find_images(run, config, cfg):
        given.append((config.data.resize_masks, config.data.skip_unreadable))
        raise UserError("seen")

    monkeypatch.setattr(ensembles, "find_images", find_images)
    for value in ("true", "false"):
        options = f"data.resize_masks={value}", f"data.skip_unreadable={value}"
        with pytest.raises(UserError):
            average(trained[0].path.parent / "*", "seeds", *options)
    assert given == [(True, True), (False, False)]


@pytest.mark.slow
def test_the_masks_of_an_ensemble_need_the_files_of_the_training(trained, caplog, tmp_path):
    draw_phantom(tmp_path / "other", images=72, seed=3)
    for run in trained:
        root = open_run(run.path).config.data.root
        run.config.write_text(run.config.read_text().replace(f"root: {root}", f"root: {tmp_path / 'other'}"))
    with pytest.raises(UserError):
        average(trained[0].path.parent / "*")
    assert "ensemble" not in " ".join(path.name for path in trained[0].path.parent.iterdir() if path.is_dir())
    assert str(tmp_path / "other") in caplog.text


@pytest.mark.slow
def test_masks_are_averaged_again_when_the_size_of_a_pixel_is_given_later(trained, tmp_path):
    draw_phantom(tmp_path / "other", images=12, seed=7)
    table = read_index(tmp_path / "other").assign(mask=lambda rows: rows["masks"].str[0], mm=0.1)
    table[["image", "class", "mask", "mm"]].to_csv(tmp_path / "other" / "cases.csv", index=False)
    options = ["data=table", f"data.table={tmp_path / 'other' / 'cases.csv'}",
               "data.columns={image: image, class: class, mask: mask}"]  # fmt: skip
    average(trained[0].path.parent / "*", "seeds", *options)
    average(trained[0].path.parent / "*", "seeds", *options, "data.columns.mm_per_pixel=mm")
    (folder,) = ensembles_in(trained[0].path.parent)
    (evaluation,) = find_evaluations(RunDir(folder))
    assert {*MILLIMETRES} <= {*pd.read_csv(evaluation.cases)}


def test_a_network_with_fewer_images_is_not_left_out_of_a_mean(monkeypatch):
    def network(*images):
        own = [averages.Prediction(id_, torch.ones(2, 2), 1.0, {}) for id_ in images]
        task = SimpleNamespace(
            least_score=0.0, rows_of_maps=lambda maps, *_: [{"id": id_, "label": ""} for id_ in images]
        )
        return SimpleNamespace(task=task, own=own, datamodule=SimpleNamespace(evaluation_dataloader=lambda part: [1]))

    monkeypatch.setattr(averages, "_batches", lambda network, part: iter([({}, network.own)]))
    assert len(averages.average_masks([network("a", "b"), network("a", "b")], "test", False)[0]) == 2
    with pytest.raises(ValueError, match="shorter"):
        averages.average_masks([network("a", "b"), network("a")], "test", False)


@pytest.mark.slow
def test_the_mean_threshold_is_kept_and_an_ensemble_of_an_earlier_version_is_made_again(trained):
    for run, threshold in zip(trained, (0.2, 0.4), strict=True):
        config = OmegaConf.load(run.config)
        config.predict.no_lesion = 0.01
        OmegaConf.save(config, run.config)
        run.update_status(lesion_rule={"least_score": threshold, "lesions": 4, "normals": 2})
    average(trained[0].path.parent / "*")
    (path,) = ensembles_in(trained[0].path.parent)
    folder = RunDir(path)
    assert folder.status["lesion_rule"] == {"least_score": pytest.approx(0.3)}
    cases = folder.cases.read_bytes()
    folder.cases.write_bytes(cases + b"\n")  # the same numbers, other bytes
    average(trained[0].path.parent / "*")
    assert folder.cases.read_bytes() != cases  # complete: left as it is
    folder.update_status(lesion_rule=None)
    average(trained[0].path.parent / "*")
    assert folder.cases.read_bytes() == cases


def test_every_part_is_averaged_with_the_mean_of_the_networks_thresholds(monkeypatch):
    """The threshold of the first network must stay its own, or the mean for the next part would count it twice."""
    used = []

    def rows_of_maps(maps, batch, scores, least_score):
        used.append(least_score)
        return [{"id": "a", "label": ""} for _ in maps]

    def network(least_score):
        task = SimpleNamespace(least_score=least_score, rows_of_maps=rows_of_maps)
        return SimpleNamespace(task=task, datamodule=SimpleNamespace(evaluation_dataloader=lambda part: [1]))

    own = [averages.Prediction("a", torch.ones(2, 2), 1.0, {})]
    monkeypatch.setattr(averages, "_batches", lambda network, part: iter([({}, own)]))
    networks = [network(0.25), network(0.5), network(0.75)]
    for part in ("val", "test"):
        averages.average_masks(networks, part, False)
    assert used == [0.5, 0.5]
