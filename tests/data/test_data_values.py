"""Levels, fingerprints and splits at their limits."""

import logging
import pickle

import numpy as np
import pytest
from PIL import Image
from test_duplicates import phantom

from bus_lightning.core.errors import UserError
from bus_lightning.data.audit import cached_audit, fingerprints_of
from bus_lightning.data.duplicates import make_fingerprint
from bus_lightning.data.fingerprints import load_fingerprints, save_fingerprints
from bus_lightning.data.levels import read_levels, to_8_bits
from bus_lightning.data.sources.folder import read as read_folder
from bus_lightning.data.splits import make_named_split


@pytest.mark.parametrize(
    ("bits", "greys"),
    [
        (1, {0: 0, 1: 255}),
        (4, {0: 0, 1: 17, 15: 255, 16: 255}),
        (8, {0: 0, 127: 127, 255: 255, 256: 255, 65535: 255}),
        (10, {3: 0, 4: 1, 512: 128, 1023: 255, 1024: 255}),
        (16, {255: 0, 256: 1, 65535: 255}),
    ],
)
def test_levels_lose_their_lower_bits_and_brighter_ones_are_white(bits, greys):
    assert to_8_bits(np.array([*greys], np.uint16), bits).tolist() == [*greys.values()]


@pytest.mark.parametrize(("level", "allowed"), [(-1, False), (0, True), (65535, True), (65536, False)])
def test_whole_levels_have_sixteen_bits(level, allowed, tmp_path):
    Image.fromarray(np.array([[100, level]], np.int32)).save(tmp_path / "a.tif")
    with (tmp_path / "a.tif").open("rb") as stream, Image.open(stream) as image:
        if allowed:
            assert read_levels(image, stream).values.tolist() == [[100, level]]
        else:
            with pytest.raises(UserError, match="below 0 or above 65535"):
                read_levels(image, stream)


def test_fingerprints_are_read_back_as_they_were_written(tmp_path):
    prints = {"a": make_fingerprint(phantom(0)), "b": make_fingerprint(np.zeros((40, 50, 3), np.uint8))}
    prints["c"] = make_fingerprint(phantom(1)[:200])
    save_fingerprints(tmp_path / "p.npz", prints)
    loaded = load_fingerprints(tmp_path / "p.npz")
    assert list(loaded) == ["a", "b", "c"]
    for id_, written in prints.items():
        assert loaded[id_].digest == written.digest
        for name in ("grey", "points", "descriptors"):
            np.testing.assert_array_equal(getattr(loaded[id_], name), getattr(written, name))


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (Trap.spring, ())

    @staticmethod
    def spring():
        raise AssertionError("the file was executed")


def test_nothing_in_a_file_of_fingerprints_is_executed(tmp_path):
    with pytest.raises(AssertionError, match="executed"):
        pickle.loads(pickle.dumps(Trap()))
    np.savez(tmp_path / "p.npz", ids=np.array([Trap()], object), shapes=np.zeros((1, 2)))
    with pytest.raises(UserError, match="does not hold fingerprints"):
        load_fingerprints(tmp_path / "p.npz")


@pytest.mark.parametrize(("val", "test", "number"), [("t", "x", 1), ("x", "t", 1), ("t", "t", 2), ("x", "x", 0)])
@pytest.mark.parametrize("method", ["random", "grouped"])
def test_near_duplicates_of_training_images_are_counted_in_validation_and_test(method, val, test, number, caplog):
    parts = {"train": ["a"], "val": ["b"], "test": ["c", "d"]}
    groups = {"a": 0, "b": 0 if val == "t" else 1, "c": 0 if test == "t" else 2, "d": 3}
    if method == "grouped" and number:
        with pytest.raises(UserError, match=rf"\({number} held-out images have one in training\)"):
            make_named_split(parts, method, groups)
        return
    with caplog.at_level(logging.WARNING):
        make_named_split(parts, method, groups)
    assert (f"{number} of 3 held-out images have a near-duplicate in training" in caplog.text) is bool(number)


def test_validation_and_test_share_no_group_either():
    parts = {"train": ["a"], "val": ["b"], "test": ["c"]}
    with pytest.raises(UserError, match="'b' has a near-duplicate, or an image of its patient, in"):
        make_named_split(parts, "grouped", {"a": 0, "b": 1, "c": 1})
    make_named_split(parts, "random", {"a": 0, "b": 1, "c": 1})
    with pytest.raises(UserError, match="'b' is in two parts"):
        make_named_split(parts | {"test": ["b"]}, "random", {"a": 0, "b": 1})


def test_what_a_killed_audit_left_is_removed_and_the_findings_are_kept(small_phantom, tmp_path):
    index = read_folder(small_phantom, {})
    audit = cached_audit(small_phantom, index, tmp_path)
    prints = fingerprints_of(audit.content, tmp_path)
    (findings,) = tmp_path.glob("audit-*.json")
    halves = [tmp_path / f".{file.name}.12-34" for file in (findings, prints)]
    for half in halves:
        half.write_bytes(b"half")
    assert cached_audit(small_phantom, index, tmp_path) == audit
    assert all(half.exists() for half in halves), "another process may be at work: only its successor removes them"
    findings.unlink()
    assert cached_audit(small_phantom, index, tmp_path) == audit
    assert not any(half.exists() for half in halves)
