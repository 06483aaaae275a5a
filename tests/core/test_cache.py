"""A damaged cache is made again with one log line, and gives the same result as without a cache."""

import json
import logging
import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from forged_bundles import write_onnx

from bus_lightning.core import cache as module
from bus_lightning.core.cache import caching, is_whole, mark_used, read_cached, write_cached
from bus_lightning.data import content
from bus_lightning.data.audit import audit_folder, cached_audit, fingerprints_of
from bus_lightning.data.content import content_hash, known_content
from bus_lightning.data.dataset_scale import known_scale
from bus_lightning.data.fingerprints import load_fingerprints
from bus_lightning.data.index import read_index
from bus_lightning.data.mistakes import with_mistake
from bus_lightning.data.pixels import cached_pixels
from bus_lightning.data.prepare import PreparedData
from bus_lightning.data.preprocess import Preprocessing
from bus_lightning.data.sources.folder import read as read_folder
from bus_lightning.data.sources.registry import read_sets
from bus_lightning.diagnosis import networks
from bus_lightning.diagnosis.bundle import Stage
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.summary import summarise


def linked_to(target):
    def damage(file, other):
        file.unlink()
        file.symlink_to(target or file.name)

    return damage


def replaced_by(make):
    def damage(file, other):
        file.unlink()
        make(file)

    return damage


def changed(change):
    return lambda file, other: file.write_bytes(change(file.read_bytes()))


def flipped(share):
    def change(whole):
        position = min(int(share * len(whole)), len(whole) - 1)
        return whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]

    return changed(change)


def filled_folder(file):
    file.mkdir()
    (file / "inside").write_text("text")


DAMAGES = {
    "cut off": changed(lambda whole: whole[: len(whole) // 2]),
    "without its last byte": changed(lambda whole: whole[:-1]),
    "with another byte at the end": changed(lambda whole: whole + b"\n"),
    "emptied": changed(lambda whole: b""),
    "zeroed": changed(lambda whole: bytes(len(whole))),
    "a bit flipped at its start": flipped(0),
    "a bit flipped in the middle": flipped(0.5),
    "a bit flipped at its end": flipped(1),
    "another file's content": lambda file, other: file.write_bytes(other.read_bytes()),
    "another type inside": lambda file, other: file.write_text("[1]"),
    "another type with a checksum": lambda file, other: write_cached(file, b"[1]"),
    "nested deeply, with a checksum": lambda file, other: write_cached(file, b"[" * 100_000),
    "a folder": replaced_by(Path.mkdir),
    "a filled folder": replaced_by(filled_folder),
    "a pipe": replaced_by(os.mkfifo),
    "a link to a device without an end": linked_to("/dev/zero"),
    "a link to nothing": linked_to("missing"),
    "a link to itself": linked_to(None),
}


@pytest.fixture(scope="module")
def kinds(small_phantom, tmp_path_factory):
    """Each kind of cache: its file, how it is used, and whether two results are the same."""
    frame = with_mistake(read_index(small_phantom), None)
    images = read_index(small_phantom)["image"].tolist()
    files = content_hash(small_phantom, frame)
    cases = pd.DataFrame({"id": [f"benign/{k}" for k in range(6)], "split": "test", "label": ["benign", "normal"] * 3,
                          "prob_benign": [0.9, 0.4, 0.8, 0.3, 0.2, 0.1], "run": "run", "replicate": 0,
                          "group": range(6)})  # fmt: skip
    cases["prob_normal"] = 1 - cases["prob_benign"]
    folder = tmp_path_factory.mktemp("network")
    write_onnx(folder / "net.onnx")
    stage = Stage("net", ("class",), Preprocessing(size=8), (0.5,) * 3, (0.25,) * 3, 3, {"int8": folder / "net.onnx"})

    def pixels(cache):
        prepared = PreparedData(
            small_phantom, frame, {}, f"{files[:16]}-all", sets=tuple(read_sets({"root": small_phantom}))
        )
        return cached_pixels(prepared, Preprocessing(size=16), False, cache, 1.0).copy()

    def prints(cache):
        cached_audit(small_phantom, read_folder(small_phantom, {}), cache)
        loaded = load_fingerprints(fingerprints_of(files, cache))
        return {id_: [np.asarray(part).tolist() for part in vars(value).values() if not isinstance(part, bytes)]
                for id_, value in loaded.items()}  # fmt: skip

    def summary(cache):
        condition = Condition.__new__(Condition)
        object.__setattr__(condition, "part", lambda part: cases)
        return summarise(condition, "test", cache)

    def network(cache):
        images = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
        return [output.tolist() for output in networks.Network(stage, "int8", threads=1)(images)]

    def audit(cache):
        return vars(cached_audit(small_phantom, read_folder(small_phantom, {}), cache))

    return {
        "content-*.json": lambda cache: known_content(small_phantom, frame, cache),
        "scale-*.json": lambda cache: asdict(known_scale(small_phantom, images, files, cache)),
        "audit-*.json": audit,
        "fingerprints-*.npz": prints,
        "pixels-*.npy": pixels,
        "????????????????????????.json": summary,
        "*.compiled": network,
    }


def same(first, second):
    if isinstance(first, np.ndarray):
        return first.tobytes() == second.tobytes() and first.dtype == second.dtype
    if isinstance(first, pd.DataFrame):
        return first.equals(second)
    return first == second


@pytest.fixture
def as_new(monkeypatch):
    """Forget what this process has checked, as a new one does."""
    monkeypatch.setattr(content, "_SETTLED_S", -1.0)
    monkeypatch.setattr(module, "_whole", {})
    monkeypatch.setattr(module, "_reported", {})


@pytest.fixture(scope="module")
def filled(kinds, tmp_path_factory):
    """Each kind's file and result, made once."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "_SETTLED_S", -1.0)
        for pattern, use in kinds.items():
            cache = tmp_path_factory.mktemp("filled")
            patch.setattr(networks.tempfile, "gettempdir", lambda folder=cache: str(folder))
            result = use(cache)
            (file,) = cache.rglob(pattern)
            made[pattern] = {path.relative_to(cache): path.read_bytes() for path in cache.rglob("*") if path.is_file()}
            made[pattern] = made[pattern], file.relative_to(cache), result
    return made


KINDS = ["content-*.json", "scale-*.json", "audit-*.json", "fingerprints-*.npz", "pixels-*.npy",
         "????????????????????????.json", "*.compiled"]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [(kind, damage) for kind in KINDS for damage in DAMAGES
     if kind != "fingerprints-*.npz" or not damage.endswith("with a checksum")],  # its content is read elsewhere
)  # fmt: skip
def test_a_damaged_cache_is_made_again(kinds, filled, pattern, damage, tmp_path, monkeypatch, caplog, as_new):
    monkeypatch.setattr(networks.tempfile, "gettempdir", lambda: str(tmp_path))
    files, name, expected = filled[pattern]
    for path, whole in files.items():
        (tmp_path / path).parent.mkdir(mode=0o700, exist_ok=True)
        (tmp_path / path).write_bytes(whole)
    other = tmp_path / "other" / f"other{name.suffix}"
    write_cached(other, b"{}")
    DAMAGES[damage](tmp_path / name, other)
    with caplog.at_level(logging.WARNING):
        assert same(kinds[pattern](tmp_path), expected)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert lines[0].startswith(f"{tmp_path / name} is made again: ")
    assert "\n" not in lines[0]
    assert (tmp_path / name).read_bytes() == files[name] or pattern == "*.compiled"
    caplog.clear()
    assert same(kinds[pattern](tmp_path), expected)  # from the new file
    assert not caplog.records
    assert other.is_file()


def test_a_whole_cache_is_used_and_every_kind_has_a_checksum(kinds, filled, as_new):
    for files, name, _ in filled.values():
        assert b"\nsha256 " in files[name][-module.SEAL_BYTES :]


def test_a_kept_result_is_read_and_not_computed(tmp_path):
    write_cached(tmp_path / "a.json", json.dumps({"a": 1}).encode())
    assert read_cached(tmp_path / "a.json", json.loads) == {"a": 1}
    assert read_cached(tmp_path / "missing.json", json.loads) is None


def test_a_file_that_fails_while_it_is_written_does_not_appear(tmp_path):
    def fail():
        with caching(tmp_path / "a.npy") as temporary:
            temporary.write_text("half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert not list(tmp_path.iterdir())


def test_the_target_of_a_link_in_a_caches_place_stays(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("mine")
    (tmp_path / "a.json").symlink_to(kept)
    write_cached(tmp_path / "a.json", b"1")
    assert (kept / "file").read_text() == "mine"
    assert read_cached(tmp_path / "a.json", bytes) == b"1"


def test_a_large_file_is_hashed_once_by_a_process_until_it_changes(tmp_path, monkeypatch):
    file, hashed = tmp_path / "pixels.npy", []
    write_cached(file, b"content")
    os.utime(file, (0, 0))
    digest = module._digest
    monkeypatch.setattr(module, "_digest", lambda *args: hashed.append(args) or digest(*args))
    assert is_whole(file)
    mark_used(file)
    assert is_whole(file)
    assert len(hashed) == 1
    time.sleep(0.02)  # a tick of the file system's clock
    file.write_bytes(file.read_bytes().replace(b"content", b"contend"))
    assert not is_whole(file)
    assert len(hashed) == 2


@pytest.mark.parametrize("name", ["pixels.lock", ".pixels-left"])
def test_a_folder_among_the_helping_files_is_no_obstacle(kinds, filled, name, tmp_path, as_new):
    filled_folder(tmp_path / name)
    assert same(kinds["pixels-*.npy"](tmp_path), filled["pixels-*.npy"][2])


def test_audit_and_cache_agree(small_phantom, kinds, tmp_path, as_new):
    expected = audit_folder(small_phantom, read_folder(small_phantom, {}), progress=False).groups
    assert kinds["audit-*.json"](tmp_path)["groups"] == expected
