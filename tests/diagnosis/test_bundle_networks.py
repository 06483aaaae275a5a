"""Networks run from a bundle: for batches of any size and several threads, compiled once, and without the network."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from forged_bundles import seal, write_bundle

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis import networks
from bus_lightning.diagnosis.bundle import SHIPPED, load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.engine import openvino
from bus_lightning.diagnosis.networks import Network, computed_precision


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A separate folder for temporary files of the test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(networks.tempfile, "gettempdir", lambda: str(folder))
    return folder


def test_a_network_answers_batches_of_any_size(bundle, temporary):
    stage = load_bundle(bundle).networks["segmenter"]
    for precision in ("fp32", "int8"):
        network = Network(stage, precision, threads=1)
        for number in (1, 4, 2):
            images = np.random.default_rng(number).normal(size=(number, 3, 8, 8)).astype(np.float32)
            mean, rectified = network(images)
            np.testing.assert_allclose(mean, images.mean(axis=1, keepdims=True), atol=1e-6)
            np.testing.assert_allclose(rectified, images.clip(0), atol=1e-6)


def test_bf16_is_called_fp32_where_the_engine_computes_it_so():
    stage = next(iter(load_bundle(SHIPPED).networks.values()))
    used = networks._compile(stage, "bf16", 1).get_property("INFERENCE_PRECISION_HINT")
    assert computed_precision("bf16") == {"bf16": "bf16", "f32": "fp32"}[used.get_type_name()]
    assert [computed_precision(name) for name in ("fp32", "int8")] == ["fp32", "int8"]


@pytest.mark.parametrize(("able", "precision"), [(["FP32", "BF16"], "bf16"), (["FP32", "INT8"], "fp32")])
def test_answers_name_the_precision_of_the_cpu(able, precision, monkeypatch):
    monkeypatch.setattr(networks, "_capabilities", lambda: able)
    assert Diagnoser(load_bundle(SHIPPED), "bf16").precision == precision


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
