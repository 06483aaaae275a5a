"""A classifier that is given masks sees a segmenter's, from a run that has not seen the image, and never the truth."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops

from bus_lightning.config.identity import identity
from bus_lightning.config.settle import with_images
from bus_lightning.config.stored import load_config
from bus_lightning.core.errors import OccupiedError, UserError
from bus_lightning.data.augment import Augmentation
from bus_lightning.data.batch_augment import BatchAugmentation
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.index import read_predicted_mask
from bus_lightning.data.normalisation import Normalisation
from bus_lightning.data.prepare import prepare_data
from bus_lightning.data.preprocess import Overlay
from bus_lightning.data.splits import load_split, make_named_split
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.predicted_masks import with_predicted_masks
from bus_lightning.statistics.conditions import read_group
from bus_lightning.training import train
from bus_lightning.training.evaluate import evaluate_run

FLIP = {"horizontal_flip": {"p": 1.0}, "color_jitter": {"p": 1.0, "brightness": 0.5}}
SPLIT = ("data.split.cross_folds=2", "data.split.ratio=[11,1,3]")


@pytest.fixture
def classifier(composed, segmenters):
    """Compose a classifier's config, settled, on the masks of the segmenters."""

    def make(*overrides, among=segmenters):
        return composed("model=resnet34", "overlay=predicted", *SPLIT, f"overlay.segmenters={among}/*", *overrides)

    return make


@pytest.fixture
def prepared(classifier):
    """Find the masks of a classifier's images."""

    def make(*overrides, **options):
        cfg = classifier(*overrides, **options)
        dataset = prepare_data(cfg.data, needs_masks=False)
        split = dataset.split(cfg.data.split)
        return with_predicted_masks(dataset, split, cfg.overlay, cfg.data.split.cross_fold is not None), split

    return make


def seen_by(run):
    split = load_split(run / "split.json")
    return {split.groups[id_] for id_ in split.train}


def test_every_mask_is_of_a_run_that_has_seen_neither_the_image_nor_its_near_duplicates(prepared):
    dataset, split = prepared()
    chosen = dict(zip(dataset.frame["id"], map(Path, dataset.frame["predicted"]), strict=True))
    runs = {id_: file.parent.parent.parent for id_, file in chosen.items()}
    assert set(runs) == set(split.part("all"))
    assert all(dataset.groups[id_] not in seen_by(run) for id_, run in runs.items())
    assert {run.name for id_, run in runs.items() if id_ in split.train} == {"fold0", "fold1"}
    assert {run.name for id_, run in runs.items() if id_ not in split.train} == {"whole"}


def test_classifiers_of_all_parts_share_the_same_masks(prepared):
    whole, _ = prepared()
    part, split = prepared("data.split.cross_fold=1")
    assert part.predicted_by == whole.predicted_by
    assert not set(split.part("all")) & set(prepared()[1].test)


def test_a_segmenter_that_was_trained_on_test_images_is_refused(prepared):
    with pytest.raises(UserError, match=r"was trained on \d+ images that this classifier is tested on.*two_stage"):
        prepared("data.split.seed=1")


def test_a_cross_fitted_classifier_refuses_segmenters_that_have_seen_the_test_images_of_the_whole(prepared):
    with pytest.raises(UserError, match="was trained on"):
        prepared("data.split.seed=1", "data.split.cross_fold=0")


def test_images_without_a_held_out_mask_are_counted_and_the_cure_is_named(prepared, segmenters, tmp_path):
    shutil.copytree(segmenters / "whole", tmp_path / "alone" / "whole")
    with pytest.raises(UserError, match=r"no run has held out '.+' .*\(\d+ of \d+ images\): .*sweep=two_stage"):
        prepared(among=tmp_path / "alone")


def test_segmenters_may_be_named_from_the_home_folder(prepared, segmenters, monkeypatch):
    monkeypatch.setenv("HOME", str(segmenters.parent))
    named = [f"'~/{segmenters.name}/*'", f"['~/{segmenters.name}/fold0','~/{segmenters.name}/fold1']"]
    for value in named:
        dataset, _ = prepared("data.split.cross_fold=0", f"overlay.segmenters={value}")
        assert all(Path(path).is_dir() for path in dataset.segmenters)


def test_a_mask_of_a_run_that_was_trained_on_a_near_duplicate_is_not_taken(prepared, segmenters, tmp_path):
    dataset, whole = prepared()
    ids_of_group = {}
    for id_ in whole.train:
        ids_of_group.setdefault(dataset.groups[id_], []).append(id_)
    moved, left = next(ids for ids in ids_of_group.values() if len(ids) == 2)
    among = Path(shutil.copytree(segmenters, tmp_path / "among"))
    (tester,) = (run for run in among.glob("fold*") if moved in load_split(run / "split.json").test)
    split = load_split(tester / "split.json")
    parts = {
        "train": sorted([*split.train, moved]),
        "val": split.val,
        "test": [id_ for id_ in split.test if id_ != moved],
    }
    make_named_split(parts, "random", split.groups, split.ratio, split.seed).save(tester / "split.json")
    with pytest.raises(UserError, match=rf"held out '{re.escape(min(moved, left))}' .*\(2 of \d+ images\)"):
        prepared(among=among)


def test_segmenters_that_are_not_finished_or_several_are_refused(prepared, segmenters, tmp_path):
    several = shutil.copytree(segmenters, tmp_path / "several")
    config = several / "fold0" / "config.yaml"
    config.write_text(config.read_text().replace("seed: 0", "seed: 7"))
    with pytest.raises(UserError, match=r"several segmenters \(fold0, fold1\)|several segmenters \(fold.*choose one"):
        prepared(among=several)
    unfinished = shutil.copytree(segmenters, tmp_path / "unfinished")
    (unfinished / "fold1" / "metrics.json").unlink()
    with pytest.raises(UserError, match=r"fold1 is not complete"):
        prepared(among=unfinished)
    with pytest.raises(UserError, match="matches no run of a segmenter"):
        prepared(among=tmp_path / "nothing")


def test_a_finished_classifier_remembers_its_segmenters_when_others_come_into_the_folder(
    classifier, segmenters, tmp_path
):
    among = shutil.copytree(segmenters, tmp_path / "among")
    cfg = classifier("name=second", among=among)
    train.run(cfg)
    other = shutil.copytree(among / "whole", among / "other")
    config = other / "config.yaml"
    config.write_text(config.read_text().replace("seed: 0", "seed: 7"))
    kept = RunDir(Path(cfg.runs_dir) / cfg.group / "second")
    assert evaluate_run(kept, evaluation_config()).metrics["test"] == kept.metrics["test"]


def test_segmenters_of_other_data_in_the_folder_are_skipped(prepared, segmenters, tmp_path):
    among = shutil.copytree(segmenters, tmp_path / "among")
    other = RunDir(shutil.copytree(among / "whole", among / "other"))
    other.update_status(data="others-0")
    assert prepared(among=among)[0].predicted_by == prepared()[0].predicted_by
    for name in ("whole", "fold0", "fold1"):
        RunDir(among / name).update_status(data="others-0")
    with pytest.raises(UserError, match="was trained on other files"):
        prepared(among=among)


def test_a_split_that_separates_near_duplicates_is_refused_before_the_first_segmenter_is_trained(composed):
    with pytest.raises(UserError, match=r"Use data\.split\.method=grouped"):
        train.run(composed("sweep=two_stage", "model=unet", "data.split.method=random"))


def data_of(cfg, dataset, split):
    return BusDataModule(dataset, split, with_images(cfg, dataset.classes, []), full_masks=False)


def test_the_classifier_sees_the_segmenters_mask_and_not_the_truth(classifier, prepared):
    dataset, split = prepared()
    data = data_of(classifier("overlay.style=fill", "overlay.alpha=1", "overlay.color=[0,0,255]"), dataset, split)
    for part in ("train", "test"):
        differ = 0
        for position, row in enumerate(data.parts[part].rows):
            image, truth = data.parts[part].square(position)
            blue = (image == (0, 0, 255)).all(axis=2)
            answered = read_predicted_mask(Path(row.predicted), shape_of(dataset, row))
            assert blue.any() == answered.any()
            differ += not np.array_equal(blue, truth > 0)
        assert differ > 0


def shape_of(dataset, row):
    from bus_lightning.data.index import read_image

    return read_image(dataset.root / row.image).shape[:2]


@pytest.mark.parametrize("source", ["predicted", "ground_truth"])
def test_a_mask_as_a_channel_goes_through_the_augmentation_with_the_image(composed, classifier, prepared, source):
    dataset, split = prepared()
    cfg = (
        classifier("overlay.style=channel") if source == "predicted" else composed("model=resnet34", "overlay=channel")
    )
    cfg.data.channels = 4
    data = data_of(cfg, dataset, split)
    image, truth = data.parts["test"].square(0)
    assert image.shape == (64, 64, 4)
    changed, mask = Augmentation(FLIP)(image, truth, seed=3)
    np.testing.assert_array_equal(changed[..., 3], image[:, ::-1, 3])
    assert not np.array_equal(changed[..., :3], image[:, ::-1, :3])  # the jitter is for the picture alone
    if source == "ground_truth":
        np.testing.assert_array_equal(changed[..., 3] // 255, mask)
    images, masks = (torch.from_numpy(np.ascontiguousarray(array)) for array in (image.transpose(2, 0, 1), truth))
    batch, _ = BatchAugmentation(FLIP)(images[None], masks[None, None], [3])
    assert torch.equal(batch[0, 3], images[3].flip(1))
    network_sees = next(iter(data.evaluation_dataloader("test")))["image"]
    assert network_sees.shape[1:] == (4, 64, 64)
    assert set(network_sees[:, 3].unique().tolist()) <= {-1.0, 1.0}


def test_normalisation_of_three_channels_is_untouched_by_the_fourth():
    image = torch.randint(0, 255, (2, 4, 5, 5), dtype=torch.uint8)
    three, four = (Normalisation([0.4, 0.5, 0.6], [0.2, 0.2, 0.3], n) for n in (3, 4))
    assert torch.equal(four(image)[:, :3], three(image[:, :3]))


def test_a_crop_is_a_square_around_the_lesion_within_the_image():
    overlay, mask = Overlay(style="crop", margin=0.5), np.zeros((100, 200), np.uint8)
    mask[40:50, 100:120] = 1
    assert overlay.box(mask) == (slice(25, 65), slice(90, 130))
    mask[:] = 0
    mask[0:10, 0:30] = 1
    assert overlay.box(mask) == (slice(0, 35), slice(0, 45))
    assert overlay.box(np.zeros((100, 200), np.uint8)) == (slice(0, 100), slice(0, 200))


def test_a_cropped_image_shows_the_lesion_larger(composed, prepared):
    dataset, split = prepared()
    whole, cut = (data_of(composed("model=resnet34", f"overlay={name}"), dataset, split) for name in ("none", "crop"))
    sizes = [[data.parts["test"].square(k)[1].mean() for k in range(len(split.test))] for data in (whole, cut)]
    assert all(larger >= smaller for smaller, larger in zip(*sizes, strict=True))
    assert np.mean(sizes[1]) > 1.5 * np.mean(sizes[0])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("overlay.color_by_class=[[1,2,3],[4,5,6],[7,8,9]]",), "overlay.color_by_class shows the true class"),
        (("overlay.style=class_mark",), "overlay.style=class_mark shows the true class"),
        (("overlay.style=channel", "data.channels=1"), "use data.channels=3"),
        (("overlay.margin=-1",), "overlay.margin=-1"),
    ],
)
def test_a_mask_that_shows_the_class_or_cannot_be_given_is_refused(classifier, overrides, message):
    with pytest.raises(UserError, match=message):
        train.run(classifier(*(f"+{o}" if "margin" in o else o for o in overrides)))


def test_a_segmenter_is_given_no_mask(composed, segmenters):
    with pytest.raises(UserError, match="use overlay=none"):
        train.run(composed("model=unet", "overlay=predicted", "overlay.tasks=[segmentation]"))
    kept = load_config(segmenters / "whole" / "config.yaml")
    plain = composed("model=unet", "name=whole", *SPLIT, "trainer.max_epochs=2", "group=two_stage")
    with_sweep, without = ({k: v for k, v in identity(cfg).items() if k.startswith("overlay")} for cfg in (kept, plain))
    assert with_sweep == without  # the sweep's overlay is for the classifiers


def test_a_classifier_on_predicted_masks_trains_and_is_evaluated_to_the_same_numbers(classifier, composed):
    cfg = classifier("overlay.style=channel", "name=second")
    train.run(cfg)
    run = RunDir(Path(cfg.runs_dir) / cfg.group / "second")
    assert run.status["masks"]
    evaluation = evaluate_run(run, evaluation_config())
    assert evaluation.metrics["test"] == run.metrics["test"]
    with pytest.raises(UserError, match="make a bundle"):
        evaluate_run(run, evaluation_config(data={"root": str(cfg.data.root), "skip_unreadable": False}))


def evaluation_config(**changes):
    from omegaconf import OmegaConf

    plain = {"part": "test", "split": None, "progress": False, "explain": False,
             "data": {"root": None, "skip_unreadable": False}}  # fmt: skip
    return OmegaConf.create(plain | changes)


def test_other_masks_are_another_experiment(classifier, segmenters, tmp_path):
    changed = shutil.copytree(segmenters, tmp_path / "changed")
    train.run(classifier("name=second", among=changed))
    file = next(iter(sorted((changed / "whole" / "masks").rglob("*.png"))))
    with Image.open(file) as mask:
        ImageChops.invert(mask).save(file)
    with pytest.raises(OccupiedError, match=r"masks \(folder"):
        train.run(classifier("name=second", among=changed))


def test_the_report_unites_cross_fitted_runs_and_keeps_them_from_the_whole(segmenters):
    conditions = read_group(segmenters).conditions
    assert sorted(len(condition.runs) for condition in conditions) == [1, 2]
