"""A bundle is opened only when it is what was written: any other bit, file or link is refused in a line."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from forged_bundles import STAGE, rewrite, seal, write_bundle

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import checksum
from bus_lightning.diagnosis import predict
from bus_lightning.diagnosis.bundle import CHECKSUMS, MANIFEST, VERSION, files_of, load_bundle


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundles") / "bundle")


@pytest.fixture
def bundle(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "bundle"))


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as raised:
        load_bundle(folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_bundle_says_what_was_written(bundle):
    loaded = load_bundle(bundle)
    assert loaded.classes == ["benign", "malignant"]
    assert loaded.temperature == 1.5
    assert loaded.thresholds == {"malignant": {"threshold": 0.3}}
    assert list(loaded.networks) == ["segmenter", "classifier"]
    assert loaded.networks["classifier"].head.shape == (2, 5)
    assert loaded.card == "# Card\n"
    assert loaded.default_precision == "int8"
    assert loaded.networks["segmenter"].preprocessing.resize == "pad"
    assert loaded.networks["segmenter"].files["bf16"] == bundle / "segmenter.onnx"
    assert loaded.networks["segmenter"].overlay is None
    assert loaded.networks["classifier"].overlay.margin == 0.5
    assert loaded.samples == (bundle / "samples" / "phantom.png",)
    assert len(loaded.id) == 12


def test_the_checksums_are_those_of_sha256sum(bundle):
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", CHECKSUMS], cwd=bundle, check=True)


def test_a_flipped_bit_in_any_file_is_refused(made, bundle):
    names = [*files_of(made), CHECKSUMS]
    for name in names:
        file = bundle / name
        whole = file.read_bytes()
        for position in {0, len(whole) // 2, len(whole) - 1}:
            changed = bytearray(whole)
            changed[position] ^= 1
            file.write_bytes(changed)
            assert str(bundle) in refused(bundle)
        file.write_bytes(whole)
    load_bundle(bundle)


def test_every_bit_of_the_checksums_counts(bundle):
    file = bundle / CHECKSUMS
    whole = file.read_bytes()
    for position in range(0, len(whole), 7):
        for bit in range(8):
            changed = bytearray(whole)
            changed[position] ^= 1 << bit
            file.write_bytes(changed)
            refused(bundle)


def test_a_cut_off_file_is_refused(made, bundle):
    for name in [*files_of(made), CHECKSUMS]:
        whole = (bundle / name).read_bytes()
        (bundle / name).write_bytes(whole[:-1])
        refused(bundle)
        (bundle / name).write_bytes(whole)


def test_checksums_that_end_early_leave_files_unlisted(bundle):
    lines = (bundle / CHECKSUMS).read_text().splitlines(keepends=True)
    (bundle / CHECKSUMS).write_text("".join(lines[:-1]))
    assert "not among the bundle's checksums" in refused(bundle)
    (bundle / CHECKSUMS).write_text("")
    refused(bundle)


def test_a_missing_file_is_named(made, bundle):
    for name in [*files_of(made), CHECKSUMS]:
        whole = (bundle / name).read_bytes()
        (bundle / name).unlink()
        assert name in refused(bundle)
        (bundle / name).write_bytes(whole)


def test_a_linked_file_is_refused(made, bundle, tmp_path):
    for name in [*files_of(made), CHECKSUMS]:
        moved = (bundle / name).rename(tmp_path / "elsewhere")
        (bundle / name).symlink_to(moved)
        refused(bundle)
        (bundle / name).unlink()
        moved.rename(bundle / name)
    (bundle / "samples").rename(tmp_path / "samples")
    (bundle / "samples").symlink_to(tmp_path / "samples")
    assert "symbolic link" in refused(bundle)


def test_a_file_that_nobody_listed_is_refused_but_for_hidden_ones(bundle):
    (bundle / ".DS_Store").write_text("")
    load_bundle(bundle)
    (bundle / "notes.txt").write_text("")
    assert "notes.txt" in refused(bundle)


def test_a_foreign_folder_is_no_bundle(tmp_path, bundle):
    assert "does not exist: name the folder of a bundle" in refused(tmp_path / "missing")
    (tmp_path / "runs").mkdir()
    assert "is not a bundle" in refused(tmp_path / "runs")
    rewrite(bundle, format="something else")
    assert "does not belong to a bundle" in refused(bundle)


def test_a_newer_version_asks_for_an_update(bundle):
    rewrite(bundle, version=VERSION + 1)
    assert "update" in refused(bundle)


@pytest.mark.parametrize(
    "news",
    [
        {"segmenter": None},
        {"classes": None},
        {"temperature": "hot"},
        {"default_precision": "int4"},
        {"head": "../head.npy"},
        {"head": "MODEL_CARD.md"},
        {"classes": ["benign", "malignant", "normal"]},
        {"classifier": STAGE | {"name": "c", "files": {"fp32": "/etc/passwd"}}},
        {"classifier": STAGE | {"name": "c", "files": {}, "channels": 7}},
        {"classifier": STAGE | {"name": "c", "files": {}, "overlay": {"of": "the future"}}},
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused_in_a_line(bundle, news):
    rewrite(bundle, **news)
    assert MANIFEST in refused(bundle)


def test_a_manifest_that_is_no_object_is_refused(bundle):
    for text in ("[]", "1", "{", ""):
        (bundle / MANIFEST).write_text(text)
        seal(bundle)
        refused(bundle)


def test_checksums_never_lead_out_of_the_bundle(bundle, tmp_path):
    (tmp_path / "secret").write_text("secret")
    digest = checksum(tmp_path / "secret")
    for name in ("../secret", str(tmp_path / "secret"), "samples/../../secret"):
        seal(bundle)
        with (bundle / CHECKSUMS).open("a") as stream:
            stream.write(f"{digest}  {name}\n")
        assert "is missing" in refused(bundle)


def test_pickled_weights_are_never_run(bundle):
    np.save(bundle / "head.npy", np.array([{"code": 1}], dtype=object), allow_pickle=True)
    seal(bundle)
    refused(bundle)


def test_a_bundle_that_cannot_be_looked_up_is_refused_in_a_line(tmp_path, capsys):
    name = "x" * 300  # longer than a file system takes
    assert "cannot be read" in refused(tmp_path / name)
    for command in (["--card"], ["image.png", "--out", str(tmp_path / "out")]):
        assert predict.main(["--bundle", str(tmp_path / name), *command]) == 2
        line = capsys.readouterr().err
        assert line.startswith("Error: ")
        assert name in line
