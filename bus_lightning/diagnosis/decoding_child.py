"""The process that decodes files: it is given paths, and answers with images as JSON records and raw bytes.

If a file takes over its decoder, this process limits the harm: its memory is bounded, it can write no file and print
nothing, and the parent checks every number that it sends.
"""

import gc
import os
import signal
import socket
import sys
from contextlib import closing, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2

from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import open_regular
from bus_lightning.data.levels import Scale
from bus_lightning.diagnosis.channel import OUT_OF_MEMORY, BrokenChannelError, Channel
from bus_lightning.diagnosis.frames import Frame, Limits, damaged
from bus_lightning.diagnosis.reading import read_stream


def work(memory_mb: int, life: int) -> None:
    """Decode one file after another until the parent closes the connection, which is the standard input.

    After `{"ready"}`, the request `{"path", "limits", "scale"}` opens a file; the answer is `{"images"}`, the number
    that the header states. Each `{}` asks for a frame; the answer is its fields and `shape`, and then its bytes, or
    `{"end"}` after the last one. The request `{"close"}` closes the file early and has no answer. The answer
    `{"failure"}` says in one line what is wrong, and closes the file, too.

    Args:
        memory_mb: Memory that the decoders may allocate, in megabytes.
        life: Descriptor of a pipe whose other end the parent holds open.
    """
    _confine(memory_mb * 1_000_000, life)
    if sys.platform == "win32":
        channel = Channel(socket.fromshare(sys.stdin.buffer.read()))
    else:
        channel = Channel(socket.socket(fileno=sys.stdin.fileno()))
    with suppress(BrokenChannelError), closing(channel):
        channel.send({"ready": True})
        while True:
            if "path" not in (request := channel.receive()):
                continue
            line = None
            try:
                _decode(channel, request)
            except BrokenChannelError:
                raise
            except Exception as error:
                line = _line(error)
            if line is not None:
                gc.collect()  # errors and images refer to each other, and the next file needs the memory
                channel.send({"failure": line})


def _decode(channel: Channel, request: dict[str, Any]) -> None:
    """Answer the requests for one file."""
    with open_regular(Path(request["path"])) as stream:
        number, frames = read_stream(stream, Limits(**request["limits"]), Scale(**request["scale"]))
        channel.send({"images": number})
        while not channel.receive():
            frame = next(frames, None)
            if frame is None:
                channel.send({"end": True})
                break
            channel.send(_record(frame), frame.image.data.cast("B"))
            del frame  # the next one needs its memory
            if number == 1:
                frames = iter(())  # the reader keeps the picture until its end


def _record(frame: Frame) -> dict[str, Any]:
    record = {field.name: getattr(frame, field.name) for field in fields(frame) if field.name != "image"}
    return {"shape": frame.image.shape[:2], **record}


def _line(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    return str(error if isinstance(error, UserError) else damaged("file"))


def _confine(memory: int, life: int) -> None:
    """Bound what this process can do, as far as the system lets it."""
    cv2.setNumThreads(1)
    with suppress(ImportError, OSError, ValueError):
        import resource

        for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
            resource.setrlimit(kind, (0, 0))
    if sys.platform == "linux":
        _bound_memory(memory)
        _end_with_parent(life)


def _bound_memory(memory: int) -> None:
    """Let this process allocate so many bytes more than it has."""
    import resource

    present = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (present + memory, present + memory))


def _end_with_parent(life: int) -> None:
    """Let the kernel kill this process when the parent ends, even while a decoder works.

    Nothing is ever written into the pipe, so its signal comes when its other end is closed. (The kernel's signal at
    the death of a parent would come as soon as the thread ends that started this process.)
    """
    import fcntl

    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
