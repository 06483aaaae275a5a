"""Files of others: regular ones of a bounded size and depth, or one line."""

import os
import tracemalloc
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.reading import open_regular, read_bytes, read_json, read_text, read_yaml

KEPT = Path(__file__).parents[1] / "kept" / "runs" / "joint" / "finished" / "config.yaml"
READERS = [read_bytes, read_text, read_json, read_yaml]


def bad_places(folder: Path) -> dict[str, Path]:
    """Make things that may be in the place of a file."""
    os.mkfifo(folder / "pipe")
    (folder / "endless").symlink_to("/dev/zero")
    (folder / "itself").symlink_to(folder / "itself")
    (folder / "folder").mkdir()
    return {name: folder / name for name in ("pipe", "endless", "itself", "folder")}


@pytest.mark.parametrize("read", READERS)
def test_only_a_regular_file_is_read(tmp_path: Path, read):
    for name, path in bad_places(tmp_path).items():
        with pytest.raises(DamagedError, match=rf"{name} is damaged: it cannot be read \("):
            read(path)


def test_only_a_regular_file_is_opened_and_its_name_is_not_in_the_message(tmp_path: Path):
    for name, path in bad_places(tmp_path).items():
        with pytest.raises(UserError) as refused:
            open_regular(path)
        assert str(path) not in str(refused.value), name


@pytest.mark.parametrize("read", READERS)
def test_a_missing_file_is_a_file_not_found_error(tmp_path: Path, read):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing")


def test_a_file_of_the_largest_size_is_read_and_a_larger_one_is_refused(tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * 10)
    assert read_bytes(file, 10) == b"x" * 10
    with pytest.raises(DamagedError, match="more than"):
        read_bytes(file, 9)


@pytest.mark.parametrize("size", [0, 10, 300_000])
def test_a_file_is_read_with_the_memory_that_it_needs_not_with_that_of_the_largest(tmp_path: Path, size):
    file = tmp_path / "file"
    file.write_bytes(b"x" * size)
    tracemalloc.start()
    try:
        assert read_bytes(file, 10**9) == b"x" * size
        assert tracemalloc.get_traced_memory()[1] < 3 * size + 2 * 10**6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("depth", [60, 5_000, 200_000])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_deeply_nested_json_is_refused(tmp_path: Path, depth, opened, closed):
    file = tmp_path / "file.json"
    inner = opened * depth + "1" + closed * depth
    file.write_text('{"deep": ' + inner + "}")
    with pytest.raises(DamagedError, match="nested more than 50 deep"):
        read_json(file)


@pytest.mark.parametrize("content", ["", "{", '{"a": 1', "[1]", "1", "null", "\xff"])
def test_json_of_another_form_is_refused(tmp_path: Path, content):
    file = tmp_path / "file.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(DamagedError):
        read_json(file)


def test_yaml_is_read_as_omegaconf_reads_it_with_interpolations_as_text(tmp_path: Path):
    assert OmegaConf.create(read_yaml(KEPT)) == OmegaConf.load(KEPT)
    file = tmp_path / "file.yaml"
    file.write_text("rate: 1e-4\nhome: ${oc.env:HOME}\n")
    assert read_yaml(file) == {"rate": 1e-4, "home": "${oc.env:HOME}"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: &a [1]\nb: [*a, *a]\n", "YAML aliases"),
        ("a: " + "[" * 60 + "]" * 60, "nested more than 50 deep"),
        ("a: " + "[" * 100_000, "nest"),
        ("a: !!python/name:os.getcwd\n", "not YAML"),
        ("a: [1\n", "not YAML"),
        ("a: !!bool maybe\n", "not YAML"),
        ('a: !!int ""\n', "not YAML"),
        ("a: !!timestamp soon\n", "not YAML"),
        ("- 1\n", "not a mapping"),
        ("1: 2\n", "not a mapping of names"),
        ("", "not a mapping"),
    ],
)
def test_yaml_that_could_grow_or_build_objects_is_refused(tmp_path: Path, content, reason):
    file = tmp_path / "file.yaml"
    file.write_text(content)
    with pytest.raises(DamagedError, match=reason):
        read_yaml(file)
