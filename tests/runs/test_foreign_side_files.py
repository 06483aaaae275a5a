"""A lock, a mask, fingerprints or a recording from elsewhere is named if it is not what it should be."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from damaged_files import DAMAGES, KEPT, copy_run, replaced

from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.data.fingerprints import load_fingerprints
from bus_lightning.data.splits import load_split
from bus_lightning.runs.finished import open_run
from bus_lightning.runs.lock import is_owned, lock_file, owned
from bus_lightning.runs.predicted_masks import _mask_of
from bus_lightning.tracking.syncing import find_unsent

pytestmark = pytest.mark.usefixtures("no_hanging")


@pytest.mark.parametrize("damage", ["a folder", "a pipe", "an endless device"])
def test_a_lock_that_is_no_file_holds_nothing_and_is_named(tmp_path, damage):
    file = lock_file(tmp_path / "run")
    file.touch()
    DAMAGES[damage](file)
    assert not is_owned(tmp_path / "run")
    with pytest.raises(DamagedError, match=r"\.run\.lock is damaged"), owned(tmp_path / "run"):
        pytest.fail("it is held")


def test_a_mask_that_is_no_regular_file_is_not_ignored(tmp_path):
    run = copy_run(tmp_path / "run", "two_stage/segmenter-null")
    (id_, *_) = (id_ for id_ in load_split(run.split).test)
    file = run.masks / f"{id_}.png"
    replaced(os.mkfifo)(file)

    class Segmenter:
        """A segmenter as the search for masks needs it."""

        def __init__(self):
            self.run, self.split, self.trained = open_run(run.path), load_split(run.split), frozenset()

    assert _mask_of(id_, 0, [Segmenter()]) == file.resolve()


def arrays(**changes):
    with np.load(KEPT / "fingerprints.npz") as file:
        return {name: file[name] for name in file.files} | changes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"greys": np.zeros(9, np.uint8)}, "do not fit each other"),
        ({"numbers": np.array(["a"] * 42)}, "another kind"),
        ({"points": np.full((1285, 2), np.nan, np.float32)}, "impossible numbers"),
        ({"ids": np.zeros(42, np.int32)}, "another kind"),
        ({"descriptors": np.zeros((1285, 3), np.uint8)}, "do not fit each other"),
        ({"shapes": np.array([[-1, -4032]] * 42, np.int32)}, "do not fit|impossible"),
    ],
)
def test_fingerprints_that_do_not_fit_are_refused(tmp_path, change, words):
    np.savez_compressed(tmp_path / "f.npz", **arrays(**change))
    with pytest.raises(UserError, match=words):
        load_fingerprints(tmp_path / "f.npz")


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "missing"])
def test_damaged_fingerprints_are_named(tmp_path, damage):
    file = Path(shutil.copy(KEPT / "fingerprints.npz", tmp_path / "fingerprints.npz"))
    DAMAGES[damage](file)
    with pytest.raises(UserError, match=r"fingerprints\.npz does not hold fingerprints"):
        load_fingerprints(file)


def test_fingerprints_that_claim_more_than_they_can_hold_are_refused_before_they_are_read(tmp_path):
    np.savez_compressed(tmp_path / "f.npz", **arrays(greys=np.zeros(300_000_000, np.uint8)))  # packed to 300 kB
    with pytest.raises(UserError, match=r"claims to hold 0\.3 GB"):
        load_fingerprints(tmp_path / "f.npz")


def test_what_is_not_a_recording_is_not_sent(tmp_path):
    for kind in ("good", "bad"):
        (tmp_path / "group" / kind / "wandb" / f"offline-run-20260101_000000-{kind}").mkdir(parents=True)
    (good, bad) = (tmp_path.rglob("offline-run-*good"), tmp_path.rglob("offline-run-*bad"))
    (next(iter(good)) / "run-good.wandb").write_bytes(b"x")
    os.mkfifo(next(iter(bad)) / "run-bad.wandb")
    assert [recording.run_id for recording in find_unsent(tmp_path)] == ["good"]
