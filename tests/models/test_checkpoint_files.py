"""A file with weights is recognised by its content: read, or refused in a line that says what it is."""

import bz2
import gzip
import io
import json
import lzma
import os
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from saved_nets import Payload, answer, small_resnet
from torch import Tensor, nn

from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.models.checkpoint_files import read_checkpoint
from bus_lightning.models.weights import load_kept_weights, load_weights

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2, dtype=torch.float16)}


def refusal(file: Path) -> str:
    with pytest.raises(UserError) as raised:
        read_checkpoint(file)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(str(file))
    return str(raised.value)


def saved(content: object, **options: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def scripted() -> bytes:
    """Write a program of TorchScript in its format, without its compiler, which is deprecated."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "version", "code/__torch__.py"):
            archive.writestr(f"net/{name}", b"")
    return stream.getvalue()


def packed(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_pkl", ".pkl"), content)
    return stream.getvalue()


def tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("net.pth"))
    return stream.getvalue()


def array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


def header(content: object, length: int | None = None, data: bytes = b"") -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
KINDS = {
    "pickled code": (saved({"a": Payload()}), "contains pickled code, which is never run"),
    "pickled code of old": (saved({"a": Payload()}, _use_new_zipfile_serialization=False), "contains pickled code"),
    "a pickled network": (saved(nn.Linear(2, 2)), "contains pickled code"),
    "TorchScript": (scripted(), "is a TorchScript archive, a program, which is never run"),
    "torch.export": (packed(net__archive_format=b"pt2"), "is an archive of torch.export, a program"),
    "a zip of a checkpoint": (packed(net_pth=saved(WEIGHTS)), "is a ZIP archive without weights of PyTorch"),
    "gzip": (gzip.compress(saved(WEIGHTS)), "is packed with gzip: unpack it"),
    "bzip2": (bz2.compress(b"weights"), "is packed with bzip2: unpack it"),
    "xz": (lzma.compress(b"weights"), "is packed with xz: unpack it"),
    "tar": (tarred(), "is a tar archive: unpack it"),
    "NumPy": (array(), "is a NumPy array"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", "is in HDF5, as Keras saves"),
    "a page": (b"\n <!DOCTYPE html><html>404", "is a web page, not weights"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a pointer of Git LFS"),
    "an index": (json.dumps({"weight_map": {}}).encode(), "the index of weights in several files"),
    "nothing": (b"", "is cut off or not a PyTorch checkpoint"),
    "noise": (bytes(range(1, 256)) * 9, "is cut off or not a PyTorch checkpoint"),
    "half a checkpoint": (saved(WEIGHTS)[:700], "is cut off or not a PyTorch checkpoint"),
    "half of safetensors": (save(WEIGHTS)[:-3], "is cut off or not a whole safetensors file"),
    "safetensors and more": (save(WEIGHTS) + b"more", "is cut off or not a whole safetensors file"),
    "a header beyond the file": (header({"a": ONE}, length=9_000_000), "not a whole safetensors file"),
    "a header of 112 GB": (header({"a": ONE}, length=112 * 10**9), "announces a header of 112,000 MB"),
    "data beyond the file": (header({"a": ONE | {"data_offsets": [0, 112 * 10**9]}}), "not a whole safetensors file"),
    "a shape of 112 GB": (header({"a": ONE | {"shape": [28 * 10**9]}}, data=bytes(8)), "not a whole safetensors file"),
    "a shape beyond integers": (header({"a": ONE | {"shape": [2**63, 2**63]}}, data=bytes(8)), "not a whole safeten"),
    "another type": (header({"a": ONE | {"dtype": "F99"}}, data=bytes(8)), "not a whole safetensors file"),
    "overlapping data": (header({"a": ONE, "b": ONE}, data=bytes(8)), "not a whole safetensors file"),
    "a nested header": (header(b'{"a":' * 100_000), "not a whole safetensors file"),
    "a header of other values": (header({"a": [1, 2]}, data=bytes(8)), "not a whole safetensors file"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_file_gets_its_own_line(kind: str, tmp_path: Path) -> None:
    content, words = KINDS[kind]
    for name in ("weights.pth", "weights.safetensors"):  # the content decides, not the name
        (tmp_path / name).write_bytes(content)
        line = refusal(tmp_path / name)
        assert words in line
        assert ("pickled code" in line) == ("pickled" in kind)
    assert not hasattr(sys, "weights_ran_code")


@pytest.mark.parametrize("kind", ["a pipe", "a link to a device without an end", "a link to itself", "a folder"])
def test_only_a_regular_file_holds_weights(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    if kind == "a pipe":
        os.mkfifo(file)
    elif kind == "a folder":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero" if "device" in kind else file.name)
    with pytest.raises(UserError, match=r"weights\.pth"):
        read_checkpoint(file)


def test_an_archive_that_would_unpack_to_far_more_is_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "load", lambda *args, **options: pytest.fail("it was unpacked"))
    (tmp_path / "net.pth").write_bytes(packed(net__data_pkl=b"", net__data__0=bytes(20_000_000)))
    assert "would unpack to 20 MB" in refusal(tmp_path / "net.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_safetensors_come_back_bit_for_bit(suffix: str, tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / f"net{suffix}", metadata={"format": "pt"})
    content = read_checkpoint(tmp_path / f"net{suffix}")
    assert content.keys() == WEIGHTS.keys()
    for name, tensor in WEIGHTS.items():
        assert content[name].dtype == tensor.dtype
        assert torch.equal(content[name], tensor)


def test_a_network_saved_as_safetensors_gives_the_same_answers(tmp_path: Path) -> None:
    net, image = small_resnet(), torch.randn(1, 3, 64, 64)
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    torch.save(net.state_dict(), tmp_path / "net.pth")
    for name in ("net.safetensors", "net.pth"):
        other = small_resnet(seed=1)
        assert load_weights(other, read_checkpoint(tmp_path / name), name).lines == []
        assert torch.equal(answer(other, image), answer(net, image))
    load_kept_weights(small_resnet(seed=2), tmp_path / "net.safetensors")


@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch calls some of these kinds experimental
@pytest.mark.parametrize(
    "change",
    [
        lambda weights: weights.to("meta"),
        lambda weights: weights.to_sparse(),
        lambda weights: weights.to_sparse_csr(),
        lambda weights: torch.quantize_per_tensor(weights, 0.1, 0, torch.qint8),
        lambda weights: weights.to(torch.complex64),
        lambda weights: torch.nested.nested_tensor([weights]),
    ],
    ids=["no values", "sparse", "sparse rows", "quantised", "complex", "nested"],
)
def test_weights_that_are_not_plain_numbers_are_refused(change: Callable[[Tensor], Tensor], tmp_path: Path) -> None:
    state = small_resnet().state_dict()
    torch.save(state | {"fc.weight": change(state["fc.weight"])}, tmp_path / "best.ckpt")
    with pytest.raises(UserError, match=r"best\.ckpt: fc\.weight is sparse, quantised, complex or without values"):
        load_kept_weights(small_resnet(), tmp_path / "best.ckpt")


@pytest.mark.parametrize("name", ["fc.bias", "bn1.running_mean"])
@pytest.mark.parametrize("write", [torch.save, save_file])
def test_kept_weights_that_are_not_numbers_are_refused(write: Callable[..., None], name: str, tmp_path: Path) -> None:
    state = small_resnet().state_dict()
    state[name][-1] = float("nan")
    write(state, tmp_path / "best.ckpt")
    with pytest.raises(DamagedError, match=f"best.ckpt is damaged: {name} has values that are not numbers"):
        load_kept_weights(small_resnet(), tmp_path / "best.ckpt")


def test_safetensors_are_loaded_as_strictly_as_other_weights(tmp_path: Path) -> None:
    state = small_resnet().state_dict()
    for damage, words in (({"layer9.weight": torch.zeros(1)}, "layer9.weight is unknown"),
                          ({"fc.weight": torch.zeros(3, 99)}, "fc.weight is")):  # fmt: skip
        save_file(state | damage, tmp_path / "net.safetensors")
        with pytest.raises(UserError, match=words):
            load_weights(small_resnet(), read_checkpoint(tmp_path / "net.safetensors"), "net.safetensors")


@pytest.mark.parametrize("write", [torch.save, save_file])
@pytest.mark.parametrize("prefix", ["", "net.", "model.", "module.", "net.module.", "module.model."])
def test_names_may_begin_with_the_prefixes_of_others(write: object, prefix: str, tmp_path: Path) -> None:
    saved = small_resnet()
    state = {f"{prefix}{name}": tensor for name, tensor in saved.state_dict().items()}
    write(state, tmp_path / "net")  # type: ignore[operator]
    other = small_resnet(seed=1)
    assert load_weights(other, read_checkpoint(tmp_path / "net"), "net").lines == []
    assert torch.equal(other.fc.weight, saved.fc.weight)
    checkpoint = {"epoch": 1, "state_dict": state | ({"loss.weight": torch.ones(3)} if prefix else {})}
    other = small_resnet(seed=1)
    assert load_weights(other, checkpoint, "net").lines == []
    assert torch.equal(other.fc.weight, saved.fc.weight)


def test_a_prefix_that_the_network_has_itself_stays() -> None:
    class Wrapped(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            torch.manual_seed(seed)
            self.model = nn.Linear(2, 2)

    saved, other = Wrapped(0), Wrapped(1)
    assert load_weights(other, saved.state_dict(), "net").lines == []
    assert torch.equal(other.model.weight, saved.model.weight)


@pytest.mark.parametrize("content", [{1: torch.ones(1)}, {"state_dict": {1: torch.ones(1)}}, {"state_dict": []}])
def test_names_that_are_no_texts_are_refused_in_a_line(content: dict[object, Tensor]) -> None:
    with pytest.raises(UserError, match="has no state dict of a network"):
        load_weights(small_resnet(), content, "other.pth")  # type: ignore[arg-type]
