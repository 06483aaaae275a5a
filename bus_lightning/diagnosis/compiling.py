"""Compile an ONNX file for the CPU; the 8-bit ones, which take a second or more, are kept for the next start.

What is kept lies in a folder of the temporary files that this user alone can write, under a name that stands for the
network, the engine, the CPU and the options.
"""

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import aside, checksum
from bus_lightning.diagnosis.engine import openvino

_COMPUTE = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}  # of what is not in 8 bits
_KEPT = ("int8",)
_DIGEST_BYTES = 32
_MOST_KEPT = 16  # networks; the least recently used go first


def compile_onnx(file: Path, precision: str, threads: int | None = None) -> Any:
    """Compile an ONNX file for the CPU, or take what an earlier start has compiled.

    Args:
        file: The network.
        precision: fp32, bf16 or int8.
        threads: Of the CPU; None leaves it to OpenVINO.

    Raises:
        UserError: When OpenVINO cannot read or run it.
    """
    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _COMPUTE[precision],
        "ENABLE_CPU_PINNING": False,  # other processes share the cores
    }
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    core = openvino.Core()
    try:
        kept = _place(core, file, options) if precision in _KEPT else None
        if kept and (found := _read(kept)):
            with suppress(RuntimeError):  # of an engine that does not take it after all
                return core.import_model(found, "CPU", options)
        compiled = core.compile_model(file, "CPU", options)
    except RuntimeError as error:
        raise UserError(f"{file} cannot be run: {' '.join(str(error).split())[:200]}") from error
    if kept:
        with suppress(OSError, RuntimeError):  # a full disk, or an engine that cannot: the next start compiles again
            _write(kept, compiled.export_model().getvalue())
    return compiled


def _place(core: Any, file: Path, options: dict[str, Any]) -> Path | None:
    """Name the file that keeps a compiled network; None where no folder is this user's alone."""
    folder = _own_folder()
    if folder is None:
        return None
    machine = [core.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    name = repr([checksum(file), openvino.__version__, machine, os.cpu_count(), sorted(options.items())])
    return folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.compiled"


def _own_folder() -> Path | None:
    """Make the folder, or check that it is what this user made: nobody else may put a network there."""
    if not hasattr(os, "getuid"):
        return None
    folder = Path(tempfile.gettempdir()) / f"bus_lightning-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    is_private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
    return folder if is_private else None


def _read(kept: Path) -> bytes | None:
    """Read a compiled network; None unless it is there, and whole."""
    try:
        content = kept.read_bytes()
    except OSError:
        return None
    digest, network = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(network).digest() != digest:
        return None
    with suppress(OSError):
        os.utime(kept)
    return network


def _write(kept: Path, network: bytes) -> None:
    """Keep a compiled network, and few others beside it."""
    with aside(kept) as temporary:
        temporary.write_bytes(hashlib.sha256(network).digest() + network)
    others = sorted(kept.parent.glob("*.compiled"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in others[_MOST_KEPT:]:
        file.unlink(missing_ok=True)
