"""The mistakes that `sweep=leakage` repeats do what they say, and never reach the test part."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from bus_lightning.core.errors import UserError
from bus_lightning.data.baselines import cached_features, statistics_of
from bus_lightning.data.corrupted import CorruptedDataset
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.index import read_image, read_mask
from bus_lightning.data.mistakes import mirrored, with_mistake
from bus_lightning.data.pixels import make_record, read_files
from bus_lightning.data.prepare import prepare_data
from bus_lightning.data.preprocess import Preprocessing
from bus_lightning.data.simple_statistics import simple_statistics
from bus_lightning.data.splits import check_disjoint
from bus_lightning.data.splitting import make_split
from bus_lightning.training.callbacks import images


def prepared_with(data_config, *overrides):
    cfg = data_config("data.split.ratio=[4,1,1]", *overrides)
    prepared = prepare_data(cfg.data, needs_masks=False)
    return cfg, prepared, prepared.split(cfg.data.split)


def test_the_test_part_is_that_of_the_split_without_the_mistake(data_config):
    _, _, honest = prepared_with(data_config, "data.split.method=random")
    for mistake in ("flipped_copies", "mask_files"):
        _, _, split = prepared_with(data_config, "data.split.method=random", f"data.mistake={mistake}")
        assert split.test == honest.test
        assert split.hash != honest.hash


def test_no_copy_of_a_tested_image_is_trained_on(data_config):
    for method in ("random", "grouped"):
        _, prepared, split = prepared_with(data_config, f"data.split.method={method}", "data.mistake=flipped_copies")
        source = prepared.frame.set_index("id")["source"]
        assert set(source[split.train + split.val]).isdisjoint(split.test)
        assert len(split.train) + len(split.val) == 4 * (72 - len(split.test))


def test_copies_are_tested_only_where_the_training_images_are_cross_fitted(data_config):
    options = ("data.split.method=random", "data.mistake=flipped_copies", "data.split.cross_folds=2")
    for fold in ("null", 0):
        _, _, split = prepared_with(data_config, *options, f"data.split.cross_fold={fold}")
        assert any("~" in id_ for id_ in split.test) == (fold == 0)


def test_no_copy_of_a_published_test_image_is_tested():
    parts = ["train", "train", "test", "test"]
    frame = pd.DataFrame({"id": list("abcd"), "class": list("xyxy"), "parts_1": [(part,) for part in parts]})
    copied = with_mistake(frame, "flipped_copies")
    split = make_split(copied, dict(zip(copied["id"], map(ord, copied["source"]), strict=True)), "published")
    assert split.test == ["c", "d"]
    assert len(split.train) == 2 * 4


def test_a_mistake_that_the_lists_of_a_split_leave_out_is_refused(tmp_path):
    frame = with_mistake(pd.DataFrame({"id": list("abcd"), "class": list("xyxy")}), "flipped_copies")
    groups = dict(zip(frame["id"], map(ord, frame["source"]), strict=True))
    (tmp_path / "split.json").write_text('{"train": ["a", "b"], "test": ["c", "d"]}')
    with pytest.raises(UserError, match=r"^data\.mistake has no effect with data\.split\.file=.*split\.json"):
        make_split(frame, groups, "file", file=str(tmp_path / "split.json"))
    (tmp_path / "split.json").write_text('{"train": ["a", "b", "a~both"], "test": ["c", "d"]}')
    assert make_split(frame, groups, "file", file=str(tmp_path / "split.json")).train == ["a", "a~both", "b"]


@pytest.mark.parametrize("mask", ["/data/busi/benign/a_mask.png", "benign/a_mask.png"])
def test_mask_files_of_several_sets_are_refused_because_their_paths_are_no_ids(mask):
    frame = pd.DataFrame(
        {"id": ["benign/a", "normal/b"], "image": ["benign/a.png", "normal/b.png"], "masks": [(mask,), ()]}
    )
    if mask.startswith("/"):
        with pytest.raises(UserError, match=r"data\.mistake=mask_files takes a single data set"):
            with_mistake(frame, "mask_files")
    else:
        assert with_mistake(frame, "mask_files")["id"].tolist() == ["benign/a", "benign/a_mask", "normal/b"]


def test_flipped_copies_are_in_training_and_validation_unless_groups_are_kept_whole(data_config):
    _, prepared, careless = prepared_with(data_config, "data.split.method=random", "data.mistake=flipped_copies")
    source = prepared.frame.set_index("id")["source"]
    assert set(source[careless.val]) & set(source[careless.train])
    _, _, kept = prepared_with(data_config, "data.split.method=grouped", "data.mistake=flipped_copies")
    check_disjoint(kept)
    assert set(source[kept.val]).isdisjoint(source[kept.train])


def test_a_copy_is_its_image_mirrored(data_config):
    cfg, prepared, split = prepared_with(data_config, "data.split.method=random", "data.mistake=flipped_copies")
    module = BusDataModule(prepared, split, cfg, full_masks=False)
    position = {id_: number for number, id_ in enumerate(prepared.frame["id"])}
    pixels = module.parts["train"].pixels
    original = pixels[position["benign/benign (1)"]]
    for name, code in (("horizontal", 1), ("vertical", 0), ("both", -1)):
        copy = pixels[position[f"benign/benign (1)~{name}"]]
        assert np.array_equal(copy["image"], cv2.flip(original["image"], code))
        assert np.array_equal(copy["mask"], cv2.flip(original["mask"], code))


def test_a_copy_is_scored_with_its_mask_mirrored(data_config):
    cfg, prepared, split = prepared_with(data_config, "data.split.method=random", "data.mistake=flipped_copies")
    dataset = BusDataModule(prepared, split, cfg, full_masks=True).parts["val"]
    codes = {"horizontal": 1, "vertical": 0, "both": -1}
    positions = [position for position, row in enumerate(dataset.rows) if row.flip and row.masks]
    assert {dataset.rows[position].flip for position in positions} == set(codes)
    for position in positions:
        row, mask = dataset.rows[position], dataset.full_mask(position)
        assert np.array_equal(mask, cv2.flip(read_mask(dataset.root, row.masks, mask.shape), codes[row.flip]))


def test_a_corrupted_copy_is_scored_with_its_mask_mirrored(data_config):
    cfg, prepared, split = prepared_with(data_config, "data.split.method=random", "data.mistake=flipped_copies")
    dataset = BusDataModule(prepared, split, cfg, full_masks=True).parts["val"]
    position = next(position for position, row in enumerate(dataset.rows) if row.flip and row.masks)
    assert np.array_equal(CorruptedDataset(dataset, [position]).full_mask(0), dataset.full_mask(position))


def test_a_picture_of_predictions_shows_a_copy_mirrored(data_config, monkeypatch):
    cfg, prepared, split = prepared_with(data_config, "data.split.method=random", "data.mistake=flipped_copies")
    dataset = BusDataModule(prepared, split, cfg, full_masks=True).parts["val"]
    overlaps = {
        position: (mask & mirrored(mask, row.flip)).sum() / mask.sum()
        for position, row in enumerate(dataset.rows)
        if row.flip and row.masks and (mask := dataset.full_mask(position)).any()
    }
    position, described = min(overlaps, key=overlaps.get), []
    monkeypatch.setattr(images, "prediction_caption", lambda *given: described.append(given) or "")
    right = {"mask": 20 * torch.from_numpy(dataset.square(position)[1])[None].float() - 10}
    box = list(dataset.preprocessing.box(dataset.full_mask(position).shape))
    images._tile(SimpleNamespace(classes=[]), dataset, position, right, box)
    ((_, _, predicted, truth),) = described
    assert overlaps[position] < 0.5
    assert (predicted & truth).sum() > 0.6 * (predicted | truth).sum()


def copies_of_one(data_config):
    """Prepare an image and its mirrored copies; also return the image."""
    _, prepared, _ = prepared_with(data_config, "data.mistake=flipped_copies")
    frame = prepared.frame[prepared.frame["source"] == "benign/benign (1)"]
    return replace(prepared, frame=frame), read_image(prepared.root / frame["image"].iloc[0])


def test_the_mask_that_was_predicted_for_a_copy_is_not_mirrored_again(data_config, tmp_path):
    prepared, image = copies_of_one(data_config)
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[:80, :90] = 1
    cv2.imwrite(str(tmp_path / "mask.png"), 255 * mask)
    preprocessing = Preprocessing(64)
    for row in prepared.frame.assign(predicted=str(tmp_path / "mask.png")).itertuples():
        files = read_files(row, prepared.root, prepared.scale)
        predicted = make_record(row, *files, preprocessing, cleaned=False, overlay=None)[2]
        assert (predicted == preprocessing.fit(mask, is_mask=True)).mean() > 0.97  # edges may move by a pixel


def test_a_baseline_sees_the_statistics_of_the_mirrored_copy(data_config, tmp_path):
    prepared, image = copies_of_one(data_config)
    features = statistics_of(cached_features(prepared, tmp_path))
    for flip, own in zip(prepared.frame["flip"], features, strict=True):
        assert own.tolist() == simple_statistics(mirrored(image, flip))
    assert len({tuple(own) for own in features}) == 4


def test_mask_files_become_images_of_their_class(data_config):
    _, prepared, split = prepared_with(data_config, "data.split.method=random", "data.mistake=mask_files")
    masks = prepared.frame[prepared.frame["id"] != prepared.frame["source"]]
    assert len(masks) >= 72
    assert masks["image"].str.contains("_mask").all()
    assert (masks["class"] == masks["id"].str.partition("/")[0]).all()
    assert any("_mask" in id_ for id_ in split.train)


def test_an_unknown_mistake_is_refused_with_those_that_there_are(data_config):
    with pytest.raises(UserError, match=r"data.mistake=typo.*flipped_copies, mask_files"):
        prepare_data(data_config("data.mistake=typo").data, needs_masks=False)


HANDLINGS = sorted(file.stem for file in (Path(__file__).parents[2] / "conf" / "leak").iterdir())


@pytest.mark.parametrize("leak", HANDLINGS)
def test_every_handling_trains(trained, leak):
    run = trained("model=alexnet", f"leak={leak}", "data.split.method=random", "data.split.ratio=[4,1,1]")
    assert run.is_complete
    assert run.metrics["test"]["n"] == 12
