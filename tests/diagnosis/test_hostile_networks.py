"""A network or a head that is not what its file announces is refused in one line, before memory is taken."""

import json
import shutil
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import pytest
from forged_bundles import rewrite, seal
from full_bundle import make_full_bundle, refused
from tiny_bundle import CLASSES, SIZE

from bus_lightning.core.arrays import read_array
from bus_lightning.diagnosis.bundle import HEAD, MANIFEST


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_full_bundle(tmp_path_factory.mktemp("made") / "bundle")


@pytest.fixture
def bundle(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "bundle"))


def npy(shape, kind="<f4", data=b"", fortran=False):
    stream = BytesIO()
    np.lib.format.write_array_header_2_0(stream, {"descr": kind, "fortran_order": fortran, "shape": shape})
    return stream.getvalue() + data


@pytest.mark.parametrize(
    "content",
    [
        npy((3, 28 * 10**9), data=bytes(48)),  # 336 GB
        npy((3, 16), data=bytes(48)),
        npy((3, 16), data=bytes(200)),
        npy((3, 16), "|O", bytes(200)),
        npy((3, 16), "<i8", bytes(384)),
        npy((2, 16), data=bytes(128)),
        npy((3,), data=bytes(12)),
        npy((3, 16), data=np.full(48, np.nan, "<f4").tobytes()),
        npy((0, 10**18), data=b""),
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 4_000_000_000) + b"{",
        b"\x93NUMPY\x09\x00",
        b"",
        b"PK\x03\x04",
    ],
)
def test_a_head_that_is_not_what_it_announces_is_refused_before_it_is_read(content, bundle):
    (bundle / HEAD).write_bytes(content)
    seal(bundle)
    assert HEAD in refused(bundle)


def test_an_array_is_read_as_numpy_reads_it():
    for values in (np.arange(12, dtype="<f4").reshape(3, 4), np.asfortranarray(np.arange(6.0).reshape(2, 3))):
        stream = BytesIO()
        np.save(stream, values)
        size = stream.tell()
        stream.seek(0)
        np.testing.assert_array_equal(read_array(stream, size), values)


def network(shape=("batch", 3, SIZE, SIZE), initializers=(), nodes=None):
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = nodes or [helper.make_node("ReduceMean", ["image"], ["logits"], axes=[1], keepdims=1)]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("image", kind, list(shape))],
        [helper.make_tensor_value_info("logits", kind, None)], initializer=list(initializers),
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    return model.SerializeToString()


def announced(values, location=None):
    """Make weights whose header announces more values than it has, or that are in another file."""
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[values])
    if location:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
    else:
        tensor.raw_data = bytes(8)
    return tensor


ADD = [onnx.helper.make_node("Add", ["image", "w"], ["logits"])]
SHAPE = onnx.helper.make_tensor("s", onnx.TensorProto.INT64, [1], [28 * 10**9])
FILL = [onnx.helper.make_node("ConstantOfShape", ["s"], ["c"]), onnx.helper.make_node("ReduceMax", ["c"], ["r"]),
        onnx.helper.make_node("Add", ["image", "r"], ["logits"])]  # fmt: skip
NETWORKS = {
    "weights of 112 GB": network(initializers=[announced(28 * 10**9)], nodes=ADD),
    "weights outside of the folder": network(initializers=[announced(4, "../../../../../etc/hostname")], nodes=ADD),
    "weights in a device": network(initializers=[announced(4, "/dev/zero")], nodes=ADD),
    "a layer of 112 GB": network(initializers=[SHAPE], nodes=FILL),
    "images of 112 GB": network((1, 3, 100_000, 100_000)),
    "other images": network(("batch", 3, SIZE, SIZE + 1)),
    "a vector": network(("batch", 3)),
    "OpenVINO's XML": b'<?xml version="1.0"?><net name="x" version="11"><layers><layer id="0" type="Const"><data size='
    b'"112000000000"/></layer></layers></net>',
}  # fmt: skip


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_whose_file_lacks_what_it_announces_is_refused(kind, bundle):
    (bundle / "segmenter.onnx").write_bytes(NETWORKS[kind])
    seal(bundle)
    line = refused(bundle)
    assert "segmenter.onnx" in line
    assert kind != "a layer of 112 GB" or "announces a layer of 112.0 GB" in line  # before it is compiled


def test_an_xml_of_openvino_is_no_network_of_a_bundle(bundle):
    (bundle / "segmenter.onnx").rename(bundle / "segmenter.xml")
    content = json.loads((bundle / MANIFEST).read_text())
    networks = content["networks"]
    networks["segmenter"]["files"] = {"fp32": "segmenter.xml"}
    rewrite(bundle, networks=networks)
    assert "networks.segmenter.files.fp32 is not an ONNX file" in refused(bundle)


def test_networks_that_do_not_fit_the_classes_are_refused_at_the_start(bundle):
    (bundle / "classifier.onnx").write_bytes((bundle / "segmenter.onnx").read_bytes())
    seal(bundle)
    assert "does not fit its classes" in refused(bundle)


def test_a_head_of_other_features_is_refused_at_the_start(bundle):
    np.save(bundle / HEAD, np.ones((len(CLASSES), 7), np.float32))
    seal(bundle)
    assert "does not fit its classes" in refused(bundle)


def test_a_network_whose_names_are_no_text_is_refused(bundle):
    file = bundle / "segmenter.onnx"
    name = onnx.load(file).graph.node[0].op_type.encode()
    file.write_bytes(file.read_bytes().replace(name, b"\xa0" * len(name)))
    seal(bundle)
    assert "cannot be run" in refused(bundle)
