"""Every image is decoded once for all jobs; the file is whole, bounded in size, and never stale."""

import errno
import os
from itertools import count

import numpy as np
import pandas as pd
import pytest

from bus_lightning.core.errors import UserError
from bus_lightning.data import pixels as module
from bus_lightning.data.content import content_hash
from bus_lightning.data.index import read_image, read_index, read_mask
from bus_lightning.data.mistakes import with_mistake
from bus_lightning.data.pixels import cached_pixels
from bus_lightning.data.prepare import PreparedData
from bus_lightning.data.preprocess import Preprocessing
from bus_lightning.data.sources.registry import read_sets

GB_OF_TWELVE = 12 * (4 * 32 * 32 + 9) / 1e9  # of the folder's images at 32 pixels


@pytest.fixture
def opened(small_copy, tmp_path):
    frame = with_mistake(read_index(small_copy), None)
    digits = content_hash(small_copy, frame)[:16]

    def make(choice="all", size=32, limit=1.0, cleaned=False, **options):
        prepared = PreparedData(
            small_copy, frame, {}, f"{digits}-{choice}", sets=tuple(read_sets({"root": small_copy}))
        )
        return cached_pixels(prepared, Preprocessing(size=size, **options), cleaned, tmp_path / "cache", limit)

    return make


@pytest.fixture
def decoded(monkeypatch):
    """Collect which images are decoded."""
    paths = []
    monkeypatch.setattr(module, "read_image", lambda path, scale: paths.append(path) or read_image(path, scale))
    return paths


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").iterdir() if path.suffix == ".npy")


def test_records_hold_what_decoding_and_resizing_gives(opened, small_copy):
    records, preprocessing = opened(), Preprocessing(size=32)
    for record, row in zip(records, read_index(small_copy).itertuples(), strict=True):
        image = read_image(small_copy / row.image)
        mask = read_mask(small_copy, row.masks, image.shape[:2])
        np.testing.assert_array_equal(record["image"], preprocessing.fit(image))
        np.testing.assert_array_equal(record["mask"], preprocessing.fit(mask, is_mask=True))
        assert tuple(record["shape"]) == image.shape[:2]
        assert record["grey"] == (np.ptp(record["image"], axis=2).max() == 0)
    assert set(records["grey"]) == {True, False}


def test_cleaned_pixels_are_cached_separately(opened, tmp_path):
    plain, cleaned = opened(denoise="median"), opened(denoise="median", cleaned=True)
    assert not np.array_equal(plain["image"], cleaned["image"])
    assert len(files(tmp_path)) == 2
    opened()  # what is not cleaned does not depend on the cleaning
    assert len(files(tmp_path)) == 2


def test_images_are_decoded_once_for_all_jobs(opened, decoded):
    first = opened()
    assert len(decoded) == 12
    np.testing.assert_array_equal(opened(), first)
    assert len(decoded) == 12
    opened(choice="other")
    opened(size=16)
    opened(resize="pad")
    assert len(decoded) == 48


def test_jobs_that_start_together_decode_once(opened, decoded, together):
    results = together(opened, 4)
    assert len(decoded) == 12
    assert len(results) == 4


def test_what_a_job_writes_into_its_pixels_stays_its_own(opened):
    opened()["image"][:] = 7
    assert not (opened()["image"] == 7).all()


def test_the_files_stay_within_their_limit_and_the_least_recently_used_goes(opened, tmp_path, decoded, monkeypatch):
    utime, clock = os.utime, count(1)  # two uses within one tick of a file system's clock would be equal
    monkeypatch.setattr(module.os, "utime", lambda path: utime(path, (0, next(clock))))
    limit = 2.5 * GB_OF_TWELVE
    first = opened("first", limit=limit)
    opened("second", limit=limit)
    opened("first", limit=limit)
    opened("third", limit=limit)
    assert len(files(tmp_path)) == 2
    before = len(decoded)
    opened("first", limit=limit)
    assert len(decoded) == before
    opened("second", limit=limit)
    assert len(decoded) == before + 12
    opened("fourth", limit=1.5 * GB_OF_TWELVE)
    assert len(files(tmp_path)) == 1
    assert first["image"].any()  # a job that has its file open keeps it


def test_a_set_beyond_the_limit_is_refused_with_the_cure(opened, tmp_path, decoded):
    with pytest.raises(UserError, match=r"more than data.cache_gb=1e-06: set data.cache_gb=1, or"):
        opened(limit=1e-6)
    assert not decoded
    assert not files(tmp_path)


def test_a_disk_without_room_is_refused_before_decoding(opened, monkeypatch, decoded):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: pd.Series({"free": 10}))
    with pytest.raises(UserError, match="what is in this folder may be deleted"):
        opened()
    assert not decoded


def test_a_disk_that_fills_up_leaves_nothing_behind(opened, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "read_mask", full)
        with pytest.raises(OSError, match="No space left"):
            opened()
    assert files(tmp_path) == [path.name for path in (tmp_path / "cache").glob(".pixels*")] == []
    assert len(opened()) == 12


def test_what_a_killed_job_left_is_cleared_away(opened, tmp_path):
    (tmp_path / "cache").mkdir()
    left = tmp_path / "cache" / ".pixels-0123456789abcdef.npy.1-1"
    left.write_bytes(b"half")
    opened()
    assert not left.exists()


def test_a_cache_that_may_only_be_read_serves_what_it_holds(opened, monkeypatch):
    expected = opened()
    monkeypatch.setattr(module.os, "utime", lambda _: (_ for _ in ()).throw(PermissionError("not yours")))
    monkeypatch.setattr(module, "FileLock", lambda _: pytest.fail("it asked for a lock"))
    np.testing.assert_array_equal(opened(), expected)


def test_a_folder_that_changes_while_it_is_decoded_is_refused(opened, small_copy, tmp_path, monkeypatch):
    def meddled(path, scale):
        (small_copy / "benign/benign (1).png").write_bytes(b"")
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr(module, "read_image", meddled)
    monkeypatch.setattr(module, "read_mask", lambda *_: np.zeros((8, 8), np.uint8))
    with pytest.raises(UserError, match="changed while its images were decoded"):
        opened()
    assert files(tmp_path) == []
