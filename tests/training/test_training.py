"""A run from config to a complete folder: what it holds, that it repeats, and that its options reach the training."""

import json
import shutil

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from small_runs import contents, folder_of

from bus_lightning.core.errors import UserError
from bus_lightning.data.dataset import BusDataset
from bus_lightning.metrics.columns import COUNTS, LESIONS, SURFACE
from bus_lightning.tasks.losses import SoftDiceLoss
from bus_lightning.training import fit, train

NET = "model=alexnet"  # has dropout, so that a wrong seed shows


def test_a_classification_run_leaves_a_folder_that_holds_everything(composed):
    cfg = composed(NET)
    score = train.run(cfg)
    run = folder_of(cfg)
    assert run.metrics["val"].keys() == run.metrics["test"].keys()
    headline = {"accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro", "auroc_macro"}
    assert {"n", "loss", "undefined", "brier", "auroc_malignant"} | headline <= run.metrics["test"].keys()
    cases = pd.read_csv(run.cases)
    assert list(cases) == ["id", "split", "label", "prob_benign", "prob_malignant", "prob_normal"]
    assert cases.filter(like="prob_").sum(axis=1).round(5).eq(1).all()
    split = json.loads(run.split.read_text())
    assert {"train", "val", "test", "method", "ratio", "seed", "groups", "hash"} <= split.keys()
    assert sorted(cases.loc[cases["split"] == "test", "id"]) == split["test"]
    history = pd.read_csv(run.history)
    assert len(history) == 1
    assert {f"val/{name}" for name in headline} | {"train/accuracy", "train/loss"} <= set(history)
    assert "val/brier" not in history  # the rest is for the end
    status = run.status
    assert (status["state"], status["score"]) == ("complete", score)
    assert status["latency_ms"] > 0
    assert status["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert (run.figures / "test_samples.png").stat().st_size > 10_000
    assert not run.last.exists()
    assert "state_dict" in torch.load(run.best, weights_only=True)
    assert "optimizer_states" not in torch.load(run.best, weights_only=True)
    assert str(cfg.data.root) not in run.cases.read_text()
    assert not run.error.exists()


@pytest.mark.slow
def test_segmentation_without_validation_keeps_the_last_epoch_and_gives_no_score(composed):
    cfg = composed("model=u2net_lite", "trainer.max_epochs=2")
    assert train.run(cfg) is None
    run = folder_of(cfg)
    assert run.metrics["val"]["n"] == 0
    nothing = run.metrics["val"]
    assert set(nothing.pop("undefined").values()) == {"no images"}
    assert set(nothing.values()) == {0, None}
    assert {"iou_pooled", "dice_pooled", "iou_image", "dice_image", "false_alarm_rate", "loss"} <= run.metrics[
        "test"
    ].keys()
    cases = pd.read_csv(run.cases)
    assert list(cases) == ["id", "split", "label", *COUNTS, *SURFACE, *LESIONS]
    assert set(cases["split"]) == {"test"}
    assert cases.loc[cases["label"] == "normal", ["hd95", "surface_dice"]].isna().all(axis=None)
    for row in cases.itertuples():  # the kept masks are the answers that were counted
        answer = np.array(Image.open(run.masks / f"{row.id}.png"))
        assert (answer.dtype, answer.sum(), answer.size) == (bool, row.tp + row.fp, row.tp + row.fp + row.fn + row.tn)
    shares = pd.read_csv(run.history)[[f"train/{name}_share" for name in ("tp", "fp", "fn", "tn")]]
    assert shares.sum(axis=1).to_list() == pytest.approx([1, 1])
    assert torch.load(run.best, weights_only=True)["epoch"] == 1
    assert not any(name.startswith("val") for name in pd.read_csv(run.history))


def test_pixels_are_counted_at_the_images_own_resolution(composed, phantom):
    from PIL import Image

    cfg = composed("model=u2net_lite", "data.resize=pad")
    train.run(cfg)
    for row in pd.read_csv(folder_of(cfg).cases).itertuples():
        with Image.open(phantom / f"{row.id}.png") as image:
            width, height = image.size
        assert row.tp + row.fp + row.fn + row.tn == width * height


def test_the_same_command_gives_the_same_bits(composed, no_pictures):
    first, second = composed(NET, "trainer.max_epochs=2"), composed(NET, "trainer.max_epochs=2", "group=again")
    train.run(first)
    train.run(second)
    assert contents(folder_of(first)) == contents(folder_of(second))


def test_the_seed_changes_the_training_and_not_the_split(composed, no_pictures):
    first, second = composed(NET), composed(NET, "seed=1")
    train.run(first)
    train.run(second)
    assert folder_of(first).split.read_text() == folder_of(second).split.read_text()
    assert folder_of(first).cases.read_bytes() != folder_of(second).cases.read_bytes()


@pytest.mark.slow
def test_the_seed_decides_the_initial_weights(composed, no_pictures):
    weights = []
    for number, seed in enumerate((0, 0, 1, 2)):
        cfg = composed(NET, f"seed={seed}", f"name=run{number}", "optimizer.lr=0")
        train.run(cfg)
        weights.append(torch.load(folder_of(cfg).best, weights_only=True)["state_dict"]["net.features.0.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not any(torch.equal(first, second) for first, second in ((weights[0], weights[2]), (weights[2], weights[3])))


@pytest.mark.parametrize("seed", [0, 1])
def test_validation_and_test_loss_are_means_over_images_whatever_the_batches(composed, no_pictures, seed):
    cfg = composed(NET, "data.batch_size=5", f"data.split.seed={seed}", "data.split.ratio=[4,1,1]",
                   "trainer.precision=32-true", "optimizer.lr=0.001")  # fmt: skip
    train.run(cfg)
    run = folder_of(cfg)
    cases = pd.read_csv(run.cases)
    for part in ("val", "test"):
        rows = cases[cases["split"] == part]
        own = np.array([row[f"prob_{row['label']}"] for row in rows.to_dict("records")])
        losses = -np.log(own)
        full = len(losses) // 5 * 5
        by_batch = np.mean([*losses[:full].reshape(-1, 5).mean(axis=1), losses[full:].mean()])
        assert abs(by_batch - losses.mean()) > 1e-4, "the batches are even, or equally hard: nothing was tested"
        assert run.metrics[part]["loss"] == pytest.approx(losses.mean(), abs=1e-5)
    assert pd.read_csv(run.history)["val/loss"][0] == pytest.approx(run.metrics["val"]["loss"], rel=1e-5)


def test_a_file_split_without_validation_refuses_what_needs_it(composed, tmp_path, phantom):
    ids = sorted(path.relative_to(phantom).with_suffix("").as_posix() for path in phantom.glob("*/*).png"))
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"train": ids[::2], "test": ids[1::2], "method": "random"}))
    with pytest.raises(UserError, match="scheduler=plateau needs a validation set"):
        train.run(composed(NET, "data.split.method=file", f"data.split.file={file}"))


def test_an_undefined_score_is_null_and_not_infinite(composed, no_pictures):
    cfg = composed(NET, "trainer.limit_val_batches=1", "data.batch_size=2")
    assert train.run(cfg) is None
    assert folder_of(cfg).status["score"] is None


@pytest.mark.slow
def test_half_precision_and_channels_last_train(composed):
    cfg = composed("model=resnet34", "trainer.precision=bf16-mixed", "channels_last=true")
    train.run(cfg)
    assert folder_of(cfg).status["precision"] == "bf16-mixed"


def test_data_folder_takes_any_classes_and_needs_a_root(composed, phantom, tmp_path):
    for old_name, new_name in (("benign", "liver"), ("malignant", "thyroid")):
        (tmp_path / "organs" / new_name).mkdir(parents=True)
        for path in (phantom / old_name).iterdir():
            shutil.copy(path, tmp_path / "organs" / new_name / path.name)
    cfg = composed(NET, "data=folder", root=tmp_path / "organs")
    train.run(cfg)
    assert list(pd.read_csv(folder_of(cfg).cases))[3:] == ["prob_liver", "prob_thyroid"]


def test_no_test_image_is_read_before_training_has_ended(composed, no_pictures, monkeypatch):
    read = []
    usual = BusDataset.square
    monkeypatch.setattr(BusDataset, "square", lambda self, position: read.append(self.part) or usual(self, position))
    fit = pl.Trainer.fit
    monkeypatch.setattr(pl.Trainer, "fit", lambda self, *a, **k: (fit(self, *a, **k), read.append("fitted"))[0])
    train.run(composed(NET))
    assert "test" in read
    assert read.index("test") > read.index("fitted")


@pytest.mark.slow
def test_class_weights_and_oversampling_reach_the_training(composed, no_pictures, monkeypatch):
    built, usual = [], fit.build_task

    def kept(*args, **options):
        built.append(usual(*args, **options))
        return built[-1]

    monkeypatch.setattr(fit, "build_task", kept)
    results, steps = {}, {}
    for balance in ("none", "class_weights", "oversample"):
        cfg = composed(NET, f"data.balance={balance}", "data.batch_size=8")
        train.run(cfg)
        results[balance] = folder_of(cfg).cases.read_bytes()
        steps[balance] = torch.load(folder_of(cfg).best, weights_only=True)["global_step"]
    assert len(set(results.values())) == 3
    trained = json.loads(folder_of(cfg).split.read_text())["train"]
    counts = [sum(id_.startswith(name) for id_ in trained) for name in ("benign", "malignant", "normal")]
    weights = [task.loss.weight for task in built]
    assert weights[0] is weights[2] is None
    assert weights[1].tolist() == pytest.approx([len(trained) / 3 / count for count in counts])
    assert steps["none"] == steps["class_weights"] == -(-len(trained) // 8)
    assert steps["oversample"] == -(-3 * max(counts) // 8)


@pytest.mark.slow
def test_a_label_in_the_input_gives_a_warning(composed, no_pictures, caplog):
    train.run(composed(NET, "overlay=class_mark"))
    assert "The label is in the input" in caplog.text
    caplog.clear()
    train.run(composed(NET, "overlay=class_mark", "overlay.parts=[train]"))
    assert "The label is in the input" not in caplog.text


def test_one_channel_trains(composed, no_pictures):
    for channels in (1, 3):
        cfg = composed(NET, f"data.channels={channels}")
        train.run(cfg)
        first = torch.load(folder_of(cfg).best, weights_only=True)["state_dict"]["net.features.0.weight"]
        assert first.shape[1] == channels
        assert folder_of(cfg).is_complete


@pytest.mark.slow
def test_deep_supervision_trains_a_u2net_and_is_refused_for_others(composed, no_pictures, monkeypatch):
    seen, usual = [], SoftDiceLoss.forward

    def watched(self, logits, target):
        seen.append((torch.is_grad_enabled(), logits.shape[1]))
        return usual(self, logits, target)

    monkeypatch.setattr(SoftDiceLoss, "forward", watched)
    losses = {}
    for deep in ("true", "false"):
        seen.clear()
        cfg = composed("model=u2net_lite", f"task.deep_supervision={deep}")
        train.run(cfg)
        assert {sides for trains, sides in seen if trains} == {7 if deep == "true" else 1}
        assert {sides for trains, sides in seen if not trains} == {1}
        losses[deep] = pd.read_csv(folder_of(cfg).history)["train/loss"][0]
    assert losses["true"] != losses["false"]
    with pytest.raises(UserError, match="side outputs"):
        train.run(composed("model=unet", "task.deep_supervision=true"))


@pytest.mark.parametrize(
    ("sets", "line"),
    [
        (["data=images_masks"], "pairs has no classes, which classification needs: name them in a table"),
        (["data=[busi,images_masks]"], "pairs has no classes, .*leave this data set out, or train a segmenter"),
    ],
)
def test_images_without_a_class_are_refused_where_classes_are_predicted(composed, phantom, tmp_path, sets, line):
    """Unlabelled images are not a separate class."""
    for folder in ("images", "masks"):
        (tmp_path / "pairs" / folder).mkdir(parents=True)
    for number in range(3):
        shutil.copy(phantom / f"benign/benign ({number + 1}).png", tmp_path / f"pairs/images/{number}.png")
        shutil.copy(phantom / f"benign/benign ({number + 1})_mask.png", tmp_path / f"pairs/masks/{number}.png")
    roots = ["data.root=null", f"data.sets.images_masks.root={tmp_path / 'pairs'}"]
    roots += [f"data.sets.busi.root={phantom}"] * ("busi" in sets[0])
    with pytest.raises(UserError, match=line):
        train.run(composed("model=alexnet", *sets, *roots, "name=without"))
