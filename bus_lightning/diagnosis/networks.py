"""Run a bundle's networks on the CPU with OpenVINO.

Compiling an 8-bit network takes a second or more, so it is cached in a temporary folder that only this user can write.
The file's name is a hash of the network, the engine, the CPU and the options.
"""

import hashlib
import math
import os
import stat
import tempfile
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bus_lightning.core.cache import mark_used, read_cached, write_cached
from bus_lightning.core.errors import UserError
from bus_lightning.core.files import checksum
from bus_lightning.diagnosis.engine import openvino
from bus_lightning.diagnosis.stage import Stage

_INFERENCE = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}  # precision of the layers that are not in 8 bits
_MOST_VALUES = 2**28  # of a layer: 64 channels of 2048 x 2048 pixels
_CACHED_PRECISION = "int8"
_FORMAT = 2  # part of a file's name: raise it when the content of the file changes
_CACHE_SIZE = 16  # networks; the least recently used are deleted first


def computed_precision(precision: str) -> str:
    """Return the precision in which this CPU answers: OpenVINO computes bf16 in fp32 on a CPU without bfloat16."""
    return "fp32" if precision == "bf16" and "BF16" not in _capabilities() else precision


def precision_note(asked: str) -> str | None:
    """Say in a sentence that this CPU computes another precision than the one asked for; None if it does not."""
    computed = computed_precision(asked)
    return None if computed == asked else f"This CPU has no bfloat16: {asked} is computed in {computed}."


@cache
def _capabilities() -> list[str]:
    return list(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


class Network:
    """A compiled network of a bundle, on a number of CPU threads or (None) on all; several threads may call it at once.

    Raises:
        UserError: When the bundle does not have this precision, or OpenVINO cannot run its file.
    """

    def __init__(self, stage: Stage, precision: str, threads: int | None = None) -> None:
        if precision not in stage.files:
            raise UserError(f"The bundle has no {precision} of {stage.name}: choose one of {', '.join(stage.files)}.")
        compiled = _compile(stage, precision, threads)
        self._outputs = len(compiled.outputs)
        # Of each output: channels of the mask, classes, channels of the feature map; None if the file leaves them open.
        self.widths = [(*_lengths(output.partial_shape), None, None)[1] for output in compiled.outputs]
        # A request uses all threads of the engine: a second one at the same time would only take memory.
        self._request, self._lock = compiled.create_infer_request(), threading.Lock()

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """Run the network on a batch of normalised images, (B, C, S, S) float32.

        Returns:
            Copies, float32, in the order of the stage's outputs: logits of the mask, (B, 1, S, S); of the classes,
            (B, K); and, if the stage has a head, the last feature map, (B, F, h, w).
        """
        images = np.ascontiguousarray(images, dtype=np.float32)
        with self._lock:
            self._request.infer([images], share_inputs=True)
            return tuple(np.array(self._request.get_output_tensor(k).data) for k in range(self._outputs))


def _compile(stage: Stage, precision: str, threads: int | None) -> Any:
    """Compile an ONNX file for the CPU, or load it from the cache."""
    file = stage.files[precision]
    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _INFERENCE[precision],
        "ENABLE_CPU_PINNING": False,  # other processes share the cores
    }
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    core = openvino.Core()
    try:
        cached = _cache_file(core, stage, file, options) if precision == _CACHED_PRECISION else None
        if cached and (kept := read_cached(cached, lambda network: core.import_model(network, "CPU", options))):
            mark_used(cached)
            return kept
        network = core.read_model(file)
        _check_sizes(file, network, stage)
        compiled = core.compile_model(network, "CPU", options)
    except (RuntimeError, ValueError) as error:  # the latter for names that are no text
        raise UserError(f"{file} cannot be run: {' '.join(str(error).split())[:200]}") from error
    if cached:
        with suppress(OSError, RuntimeError):  # a full disk, or an engine that cannot export: the next start compiles
            _cache(cached, compiled.export_model().getvalue())
    return compiled


def _check_sizes(file: Path, network: Any, stage: Stage) -> None:
    """Refuse a network that takes other images, or announces a layer that no memory has room for.

    Raises:
        UserError: In one line, before the network is compiled.
    """
    side = stage.preprocessing.size
    taken = [_lengths(network_input.partial_shape)[1:] for network_input in network.inputs]
    if len(taken) != 1 or len(taken[0]) != 3 or not _fit(taken[0], [stage.channels, side, side]):
        raise UserError(f"{file} does not take images of {stage.channels} channels and {side} x {side} pixels.")
    for layer in network.get_ordered_ops():
        for output in layer.outputs():
            values = math.prod(length or 1 for length in _lengths(output.partial_shape))
            if values > _MOST_VALUES:
                raise UserError(f"{file} announces a layer of {values * 4 / 1e9:,.1f} GB, which no network has.")


def _fit(lengths: list[int | None], expected: list[int]) -> bool:
    return all(length in (None, wanted) for length, wanted in zip(lengths, expected, strict=True))


def _lengths(shape: Any) -> list[int | None]:
    """List the dimensions of a shape, None for one that the file leaves open; empty if it leaves their number open."""
    return [int(length.get_length()) if length.is_static else None for length in shape] if shape.rank.is_static else []


def _cache_file(core: Any, stage: Stage, file: Path, options: dict[str, Any]) -> Path | None:
    """Choose the file that caches a compiled network; None without a folder that only this user can write.

    It belongs to the images that the network was checked to take.
    """
    if not hasattr(os, "getuid"):
        return None
    folder = Path(tempfile.gettempdir()) / f"bus_lightning-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        return None
    machine = [core.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    images = [stage.channels, stage.preprocessing.size]
    key = repr(
        [_FORMAT, checksum(file), images, openvino.__version__, machine, os.cpu_count(), sorted(options.items())]
    )
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.compiled"


def _cache(file: Path, network: bytes) -> None:
    """Write a compiled network, and delete those that were not used for longest."""
    write_cached(file, network)
    cached = sorted(file.parent.glob("*.compiled"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in cached[_CACHE_SIZE:]:
        path.unlink(missing_ok=True)
