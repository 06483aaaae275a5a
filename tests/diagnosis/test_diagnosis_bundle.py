"""A bundle is opened only when it is what was written; and networks run from it."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import checksum
from bus_lightning.diagnosis import networks
from bus_lightning.diagnosis.bundle import CHECKSUMS, FORMAT, MANIFEST, VERSION, files_of, load_bundle
from bus_lightning.diagnosis.engine import openvino
from bus_lightning.diagnosis.networks import Network

STAGE = {
    "preprocessing": {"size": 8, "resize": "pad", "denoise": "none", "contrast": "none", "parts": ["test"]},
    "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "channels": 3, "overlay": None,
}  # fmt: skip


def write_onnx(file: Path) -> None:
    """A network that averages the channels of any number of images, and returns them too."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    image = helper.make_tensor_value_info("image", kind, ["batch", 3, 8, 8])
    outputs = [helper.make_tensor_value_info(name, kind, None) for name in ("logits", "features")]
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["logits"], axes=[1], keepdims=1),
        helper.make_node("Relu", ["image"], ["features"]),
    ]
    graph = helper.make_graph(nodes, "mean", [image], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    onnx.save(model, file)


def seal(folder: Path) -> None:
    (folder / CHECKSUMS).write_text("".join(f"{checksum(folder / name)}  {name}\n" for name in files_of(folder)))


def rewrite(folder: Path, **news) -> None:
    """Change the manifest and its checksum, as a forger would."""
    content = json.loads((folder / MANIFEST).read_text()) | news
    (folder / MANIFEST).write_text(json.dumps(content))
    seal(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    (folder / "samples").mkdir(parents=True)
    for name in ("segmenter", "classifier"):
        write_onnx(folder / f"{name}.onnx")
        shutil.copy(folder / f"{name}.onnx", folder / f"{name}.int8.onnx")
    np.save(folder / "head.npy", np.ones((2, 5), np.float32))
    (folder / "MODEL_CARD.md").write_text("# Card\n")
    (folder / "samples" / "phantom.png").write_bytes(b"picture")
    stages = {
        name: {
            **STAGE,
            "name": name,
            "files": {"fp32": f"{name}.onnx", "bf16": f"{name}.onnx", "int8": f"{name}.int8.onnx"},
        }
        for name in ("segmenter", "classifier")
    }
    stages["classifier"] = stages["classifier"] | {"overlay": {"style": "crop", "source": "predicted", "margin": 0.5}}
    content = {"format": FORMAT, "version": 2, "classes": ["benign", "malignant"], **stages, "head": "head.npy",
               "temperature": 1.5, "thresholds": {"malignant": {"threshold": 0.3}}, "default_precision": "int8",
               "variants": {"int8": {"ms": 1.0}}, "reference": {"threshold": 2.0}}  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps(content))
    seal(folder)
    return folder


@pytest.fixture
def bundle(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "bundle"))


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A separate folder for temporary files of the test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(networks.tempfile, "gettempdir", lambda: str(folder))
    return folder


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
    assert "is not a bundle" in refused(tmp_path / "missing")
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


def test_a_network_answers_batches_of_any_size(bundle, temporary):
    stage = load_bundle(bundle).networks["segmenter"]
    for precision in ("fp32", "int8"):
        network = Network(stage, precision, threads=1)
        for number in (1, 4, 2):
            images = np.random.default_rng(number).normal(size=(number, 3, 8, 8)).astype(np.float32)
            mean, rectified = network(images)
            np.testing.assert_allclose(mean, images.mean(axis=1, keepdims=True), atol=1e-6)
            np.testing.assert_allclose(rectified, images.clip(0), atol=1e-6)


def test_several_threads_get_their_own_answers(bundle, temporary):
    network = Network(load_bundle(bundle).networks["segmenter"], "fp32", threads=1)
    images = [np.full((1, 3, 8, 8), value, np.float32) for value in range(64)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(network, images))
    assert [float(mean.max()) for mean, _ in answers] == list(range(64))
    assert [float(mean.min()) for mean, _ in answers] == list(range(64))


def test_a_file_that_is_no_network_is_refused_in_a_line(bundle, temporary):
    (bundle / "segmenter.onnx").write_bytes(b"no network")
    seal(bundle)
    with pytest.raises(UserError, match=r"segmenter\.onnx cannot be run") as raised:
        Network(load_bundle(bundle).networks["segmenter"], "fp32")
    assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match="no int4"):
        Network(load_bundle(bundle).networks["segmenter"], "int4")


def test_a_compiled_network_is_kept_for_this_user_alone(bundle, temporary, monkeypatch):
    stage, images = load_bundle(bundle).networks["segmenter"], np.ones((1, 3, 8, 8), np.float32)
    Network(stage, "int8")
    (kept,) = temporary.rglob("*.compiled")
    assert kept.parent.stat().st_mode & 0o077 == 0
    with monkeypatch.context() as patched:
        core = openvino.Core()
        patched.setattr(openvino, "Core", lambda: core)
        patched.setattr(core, "compile_model", None)  # it is not compiled again
        assert float(Network(stage, "int8")(images)[0].max()) == 1
    kept.write_bytes(kept.read_bytes()[:-1])  # a damaged one is compiled again
    assert float(Network(stage, "int8")(images)[0].max()) == 1
    kept.parent.chmod(0o777)  # somebody else could have written there
    kept.write_bytes(b"")
    assert float(Network(stage, "int8")(images)[0].max()) == 1
    assert kept.read_bytes() == b""


def test_the_engine_reports_to_nobody_and_needs_no_torch(bundle, tmp_path):
    code = (
        "import sys, socket\n"
        "def refuse(*a, **k): raise SystemExit('network')\n"
        "socket.socket.connect = refuse\n"
        "socket.getaddrinfo = refuse\n"
        "from pathlib import Path\n"
        "from bus_lightning.diagnosis.bundle import load_bundle\n"
        "from bus_lightning.diagnosis.networks import Network\n"
        f"Network(load_bundle(Path({str(bundle)!r})).networks['segmenter'], 'int8')\n"
        "heavy = {'torch', 'pandas', 'hydra', 'lightning', 'scipy', 'matplotlib', 'openvino_telemetry.main'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = os.environ | {"HOME": str(home), "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=Path(__file__).parents[2])
    assert not list(home.rglob("*"))
