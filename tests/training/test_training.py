"""A run from config to a complete folder: what it holds, that it repeats, resumes, and refuses."""

import errno
import json
import shutil

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from PIL import Image

from bus_lightning.core.errors import OccupiedError, UserError, WeightsMissingError
from bus_lightning.data.dataset import BusDataset
from bus_lightning.metrics.columns import COUNTS, LESIONS, SURFACE
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.table import collect
from bus_lightning.tasks.losses import SoftDiceLoss
from bus_lightning.training import fit, train

NET = "model=alexnet"  # has dropout, so that a wrong seed shows


def folder_of(cfg):
    return RunDir(train.Path(cfg.runs_dir) / cfg.group / cfg.name)


def results_of(run):
    return {file.name: file.read_bytes() for file in (run.cases, run.metrics_file, run.history)}


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr(fit, "save_sheet", lambda *_: None)


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
    assert results_of(folder_of(first)) == results_of(folder_of(second))


def test_the_seed_changes_the_training_and_not_the_split(composed, no_pictures):
    first, second = composed(NET), composed(NET, "seed=1")
    train.run(first)
    train.run(second)
    assert folder_of(first).split.read_text() == folder_of(second).split.read_text()
    assert folder_of(first).cases.read_bytes() != folder_of(second).cases.read_bytes()


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


def test_a_shorter_training_than_the_one_begun_is_refused(composed, no_pictures, monkeypatch):
    overrides = [NET, "name=mine"]
    usual = fit.build_trainer
    with monkeypatch.context() as patch:
        patch.setattr(
            fit, "build_trainer",
            lambda *args, callbacks, **options: usual(*args, callbacks=[*callbacks, Interruption(2)], **options),
        )  # fmt: skip
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train.run(composed(*overrides, "trainer.max_epochs=4"))
    with pytest.raises(OccupiedError, match=r"has 2 trained epochs, more than trainer\.max_epochs=1"):
        train.run(composed(*overrides, "trainer.max_epochs=1"))
    cfg = composed(*overrides, "trainer.max_epochs=2")
    train.run(cfg)
    at_once = composed(NET, "name=at_once", "trainer.max_epochs=2")
    train.run(at_once)
    assert results_of(folder_of(cfg)) == results_of(folder_of(at_once))


@pytest.mark.parametrize("change", ["scheduler=cosine", "scheduler.patience=3", "callbacks=ema",
                                    "trainer.accumulate_grad_batches=2"])  # fmt: skip
def test_another_way_to_train_under_the_same_name_is_refused(composed, no_pictures, change):
    train.run(composed(NET, "name=mine"))
    key = change.partition("=")[0]
    with pytest.raises(OccupiedError, match=f"differs in {key}"):
        train.run(composed(NET, "name=mine", change, "callbacks.progress=null"))


def test_other_weights_at_the_same_path_are_another_experiment_and_the_same_ones_elsewhere_are_not(
    composed, no_pictures, tmp_path, monkeypatch
):
    cfg = composed(NET, "name=first")
    train.run(cfg)
    state = torch.load(folder_of(cfg).best, weights_only=True)["state_dict"]
    file, moved = tmp_path / "w.pth", tmp_path / "moved.pth"
    torch.save({name.removeprefix("net."): value for name, value in state.items()}, file)
    shutil.copy(file, moved)
    train.run(composed(NET, "name=mine", f"model.weights={file}"))
    monkeypatch.setattr(fit, "train_and_test", lambda *_: pytest.fail("it trained again"))
    train.run(composed(NET, "name=mine", f"model.weights={file}"))
    train.run(composed(NET, "name=mine", f"model.weights={moved}"))
    torch.save({name.removeprefix("net."): 2 * value for name, value in state.items()}, file)
    with pytest.raises(OccupiedError, match="differs in weights"):
        train.run(composed(NET, "name=mine", f"model.weights={file}"))
    file.unlink()
    train.run(composed(NET, "name=mine", f"model.weights={file}"))  # complete, and nothing says otherwise


class Interruption(pl.Callback):
    """Pulls the plug in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_batch_end(self, trainer, *_):
        if trainer.current_epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("model", ["alexnet", "u2net_lite", "joint_unet"])
def test_an_interrupted_run_resumes_to_the_bits_of_an_undisturbed_one(composed, no_pictures, monkeypatch, model):
    # A plateau scheduler without patience changes the rate between epochs: its state must survive, too.
    more = ["scheduler.patience=0", "+scheduler.threshold=0.9"] if model == "alexnet" else ["scheduler=cosine"]
    overrides = [f"model={model}", "trainer.max_epochs=3", *more]
    undisturbed, disturbed = composed(*overrides), composed(*overrides, "group=disturbed")
    train.run(undisturbed)

    usual = fit.build_trainer
    with monkeypatch.context() as patch:
        pulled = Interruption(1)
        patch.setattr(
            fit,
            "build_trainer",
            lambda *args, callbacks, **options: usual(*args, callbacks=[*callbacks, pulled], **options),
        )
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train.run(disturbed)
    run = folder_of(disturbed)
    assert run.status["state"] == "interrupted"
    assert run.last.is_file()
    train.run(composed(*overrides, "group=disturbed"))
    assert results_of(run) == results_of(folder_of(undisturbed))
    assert len(pd.read_csv(run.history)["lr"].unique()) > 1, "the scheduler never stepped: nothing was tested"


def test_a_second_launch_skips_a_complete_run(composed, no_pictures, monkeypatch):
    score = train.run(composed(NET))
    monkeypatch.setattr(fit, "train_and_test", lambda *_: pytest.fail("it trained again"))
    assert train.run(composed(NET)) == score


def test_the_same_name_with_another_identity_is_refused_by_key_and_left_as_it_is(composed, no_pictures):
    cfg = composed(NET, "name=mine")
    train.run(cfg)
    before = results_of(folder_of(cfg)) | {"status": folder_of(cfg).status_file.read_bytes()}
    with pytest.raises(UserError, match=r"optimizer\.lr \(folder: 0\.0001, requested: 0\.5\)"):
        train.run(composed(NET, "name=mine", "optimizer.lr=0.5"))
    assert results_of(folder_of(cfg)) | {"status": folder_of(cfg).status_file.read_bytes()} == before


def test_other_data_under_the_same_name_is_refused(composed, no_pictures, phantom_copy):
    train.run(composed(NET, "name=mine"))
    (phantom_copy / "benign" / "benign (2).png").unlink()
    (phantom_copy / "benign" / "benign (2)_mask.png").unlink()
    with pytest.raises(UserError, match="differs in data"):
        train.run(composed(NET, "name=mine", root=phantom_copy))


def test_a_moved_data_folder_is_the_same_experiment(composed, no_pictures, phantom_copy, monkeypatch):
    train.run(composed(NET, "name=mine"))
    monkeypatch.setattr(fit, "train_and_test", lambda *_: pytest.fail("it trained again"))
    train.run(composed(NET, "name=mine", root=phantom_copy))


def test_rerun_moves_the_old_folder_aside(composed, no_pictures):
    cfg = composed(NET)
    train.run(cfg)
    train.run(composed(NET, "rerun=true"))
    run = folder_of(cfg)
    (old,) = run.path.parent.glob(f"{run.path.name}.old-*")
    assert results_of(RunDir(old)) == results_of(run)


def test_a_refused_job_changes_nothing_in_an_incomplete_foreign_folder(composed, no_pictures):
    cfg = composed(NET, "name=mine")
    train.run(cfg)
    run = folder_of(cfg)
    run.metrics_file.unlink()
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    with pytest.raises(OccupiedError, match="another experiment"):
        train.run(composed(NET, "name=mine", "seed=5"))
    assert {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()} == before


def test_a_run_that_another_process_trains_is_refused(composed, no_pictures):
    cfg = composed(NET)
    run = folder_of(cfg)
    run.path.parent.mkdir(parents=True)
    with FileLock(run.path.with_name(f".{run.path.name}.lock")), pytest.raises(OccupiedError, match="another process"):
        train.run(cfg)
    assert not run.path.exists()


def test_an_early_stopped_run_is_complete(composed, no_pictures, monkeypatch):
    overrides = [NET, "callbacks=early_stopping", "callbacks.progress=null", "callbacks.early_stopping.patience=1",
                 "callbacks.early_stopping.min_delta=1", "trainer.max_epochs=6"]  # fmt: skip
    train.run(composed(*overrides))
    run = folder_of(composed(*overrides))
    assert run.status["epochs"] < 6
    monkeypatch.setattr(fit, "train_and_test", lambda *_: pytest.fail("it trained again"))
    train.run(composed(*overrides))


def test_a_run_goes_on_after_its_folder_was_moved(composed, no_pictures, monkeypatch, tmp_path):
    overrides = [NET, "trainer.max_epochs=3", "name=mine"]
    usual, pulled = fit.build_trainer, Interruption(1)
    with monkeypatch.context() as patch:
        patch.setattr(
            fit,
            "build_trainer",
            lambda *args, callbacks, **options: usual(*args, callbacks=[*callbacks, pulled], **options),
        )
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train.run(composed(*overrides))
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    moved = composed(*overrides)
    moved.runs_dir = str(tmp_path / "elsewhere")
    train.run(moved)
    undisturbed = composed(*overrides)
    train.run(undisturbed)
    assert results_of(folder_of(moved)) == results_of(folder_of(undisturbed))


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


@pytest.mark.parametrize("keep_last", ["true", "false"])
def test_a_larger_max_epochs_gives_what_training_that_long_at_once_gives(composed, no_pictures, keep_last):
    train.run(composed(NET, "name=short", "trainer.max_epochs=1", f"keep_last={keep_last}"))
    longer = composed(NET, "name=short", "trainer.max_epochs=3", f"keep_last={keep_last}")
    train.run(longer)
    at_once = composed(NET, "name=long", "trainer.max_epochs=3")
    train.run(at_once)
    assert results_of(folder_of(longer)) == results_of(folder_of(at_once))


def test_no_test_image_is_read_before_training_has_ended(composed, no_pictures, monkeypatch):
    read = []
    usual = BusDataset.square
    monkeypatch.setattr(BusDataset, "square", lambda self, position: read.append(self.part) or usual(self, position))
    fit = pl.Trainer.fit
    monkeypatch.setattr(pl.Trainer, "fit", lambda self, *a, **k: (fit(self, *a, **k), read.append("fitted"))[0])
    train.run(composed(NET))
    assert "test" in read
    assert read.index("test") > read.index("fitted")


def test_a_failed_job_leaves_its_traceback_and_its_state(composed, no_pictures):
    cfg = composed(NET, "model.weights=/no/such/file.pth")
    with pytest.raises(UserError, match="/no/such/file"):
        train.run(cfg)
    run = folder_of(cfg)
    assert run.status["state"] == "failed"
    assert "Traceback" in run.error.read_text()
    assert "/no/such/file.pth" in collect([run.path])["error"][0]


def test_missing_imagenet_weights_stop_the_job_before_training_and_show_in_the_table(composed, monkeypatch):
    def missing(name):
        raise WeightsMissingError(f"{name} is not here: pass model.weights=FILE.")

    monkeypatch.setattr("bus_lightning.models.weights.torchvision_imagenet", missing)
    cfg = composed("model=resnet34_pretrained")
    with pytest.raises(WeightsMissingError, match="pass model"):
        train.run(cfg)
    assert collect([folder_of(cfg).path])["state"][0] == "not run: weights missing"


def test_a_rerun_of_a_failed_job_tries_again_and_clears_the_error(composed, no_pictures, monkeypatch):
    cfg = composed(NET)
    with monkeypatch.context() as patch:
        patch.setattr(fit, "build_trainer", lambda *_, **__: (_ for _ in ()).throw(MemoryError("no room")))
        with pytest.raises(MemoryError):
            train.run(cfg)
    assert folder_of(cfg).status["error"].startswith("MemoryError: no room (out of memory: lower data.batch_size")
    train.run(composed(NET))
    assert folder_of(cfg).status["state"] == "complete"
    assert not folder_of(cfg).error.exists()
    assert collect([folder_of(cfg).path])["error"][0] is None


def test_a_full_disk_leaves_the_previous_checkpoint_whole(tmp_path, monkeypatch):
    from bus_lightning.training.callbacks.checkpoints import SafeCheckpointIO

    path = tmp_path / "best.ckpt"
    SafeCheckpointIO().save_checkpoint({"epoch": 1}, path)

    def full(content, stream):
        stream.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        SafeCheckpointIO().save_checkpoint({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_last_checkpoint_is_refused_in_one_line(composed, no_pictures):
    cfg = composed(NET, "keep_last=true")
    train.run(cfg)
    run = folder_of(cfg)
    run.last.write_bytes(run.last.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"last\.ckpt is cut off") as error:
        train.run(composed(NET, "keep_last=true", "name=" + cfg.name, "trainer.max_epochs=2"))
    assert "\n" not in str(error.value)


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
