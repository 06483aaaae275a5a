"""Read weights from files of PyTorch and of safetensors, recognised by their content.

Pickled code is never run: a file may hold only tensors and plain values.
"""

import os
import re
import zipfile
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import MB, open_regular

_HEAD_BYTES = 300
_SAFETENSORS_HEADER = 10 * MB  # names, types and shapes, at most; a thousand tensors take 0.1 MB
_MOST_PACKED = 4  # times smaller than unpacked; PyTorch itself does not pack
_SAVE = "save only the weights, with torch.save(net.state_dict(), path)"
_CODE = re.compile(r"Unsupported (global|class)|unsupported GLOBAL|must be imported|Can only|not an allowed")
_OTHERS = (
    (b"\x1f\x8b", "packed with gzip: unpack it"),
    (b"BZh", "packed with bzip2: unpack it"),
    (b"\xfd7zXZ", "packed with xz: unpack it"),
    (b"(\xb5/\xfd", "packed with Zstandard: unpack it"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"\x89HDF", f"in HDF5, as Keras saves: load it in PyTorch, and {_SAVE}"),
    (b"\x93NUMPY", f"a NumPy array: load it in PyTorch, and {_SAVE}"),
    (b"GGUF", f"in GGUF: load it in PyTorch, and {_SAVE}"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the weights: run git lfs pull where it comes from"),
    (b"<", "a web page, not weights: download it again"),
    (b"{", "a text in JSON, such as the index of weights in several files: give one file with all weights"),
)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a state dict or a Lightning checkpoint onto the CPU, without running any code in it.

    Raises:
        UserError: If the file is missing, cut off, no checkpoint, contains pickled code, or announces far more than it
            has.
    """
    path = Path(path)
    try:
        stream = open_regular(path)
    except UserError as error:
        if not path.exists():
            raise UserError(f"No checkpoint at {path}: check the path (model.weights, or the run's folder).") from error
        reason = "it is a folder" if path.is_dir() else str(error).rstrip(".")
        raise UserError(f"{path} cannot be read ({reason}): check the path.") from error
    with stream:
        content = _read(path, stream)
    if not isinstance(content, dict):
        raise UserError(f"{path} contains a {type(content).__name__}, not a state dict: check model.weights.")
    return content


def _read(path: Path, stream: BufferedReader) -> Any:
    """Recognise a file by its first bytes, and read it."""
    head, size = stream.read(_HEAD_BYTES), os.fstat(stream.fileno()).st_size
    stream.seek(0)
    if head[8:9] == b"{":  # after the length of the header
        return _read_safetensors(path, int.from_bytes(head[:8], "little"))
    for start, description in _OTHERS:
        if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(start) or head.startswith(start):
            raise UserError(f"{path} is {description}.")
    if head[257:262] == b"ustar":
        raise UserError(f"{path} is a tar archive: unpack it.")
    if head.startswith(b"PK"):
        _check_archive(path, stream, size)
    try:
        return torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise any exception
        if _CODE.search(str(error)):
            raise UserError(f"{path} contains pickled code, which is never run: {_SAVE}.") from error
        raise _cut_off(path) from error


def _read_safetensors(path: Path, header: int) -> dict[str, torch.Tensor]:
    """Read a file of safetensors; the library compares its header's types and shapes with its size."""
    if header > _SAFETENSORS_HEADER:
        raise UserError(f"{path} announces a header of {header / MB:,.0f} MB, which no weights need: get it again.")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:150]
        raise UserError(f"{path} is cut off or not a whole safetensors file ({reason}): get it again.") from error


def _check_archive(path: Path, stream: BufferedReader, size: int) -> None:
    """Refuse an archive that is no checkpoint, or that would unpack to far more than it has."""
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _cut_off(path) from error
    stream.seek(0)
    names = {entry.filename.partition("/")[2] for entry in entries}
    if "constants.pkl" in names:
        raise UserError(f"{path} is a TorchScript archive, a program, which is never run: {_SAVE}.")
    if "archive_format" in names:
        raise UserError(f"{path} is an archive of torch.export, a program, which is never run: {_SAVE}.")
    if "data.pkl" not in names:
        raise UserError(f"{path} is a ZIP archive without weights of PyTorch at its top: unpack it.")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > _MOST_PACKED * size + MB:
        raise UserError(f"{path} has {size / MB:,.1f} MB and would unpack to {unpacked / MB:,.0f} MB: get it again.")


def _cut_off(path: Path) -> UserError:
    return UserError(
        f"{path} is cut off or not a PyTorch checkpoint: get it again, or pass rerun=true if it belongs to a run."
    )
