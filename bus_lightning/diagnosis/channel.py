"""Send JSON records and raw bytes between two processes: what is received can only become data, never objects."""

import json
import socket
from collections.abc import Callable, Mapping
from typing import Any

OUT_OF_MEMORY = "out of memory"  # the failure that a decoding process sends
_LENGTH = 4  # bytes that hold the length of a record
_LONGEST = 64_000  # bytes of a record


class BrokenChannelError(Exception):
    """The other process has ended, or sends something else than records."""


def _wait_forever() -> None:
    pass


class Channel:
    """One end of a connection.

    Args:
        connection: A connected socket. With a timeout, `check` is called whenever it is over.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, record: Mapping[str, Any], data: memoryview | bytes = b"") -> None:
        """Send a record and the raw bytes that belong to it.

        Raises:
            BrokenChannelError: When the other process has ended.
        """
        text = json.dumps(record, allow_nan=False).encode()
        try:
            self._socket.sendall(len(text).to_bytes(_LENGTH, "big") + text)
            self._socket.sendall(data)
        except OSError:
            raise BrokenChannelError from None

    def receive(self, check: Callable[[], None] = _wait_forever) -> dict[str, Any]:
        """Receive a record; `check` is called again and again while it waits, and may raise to end that.

        Raises:
            BrokenChannelError: When the other process has ended, or sends something else.
        """
        length = bytearray(_LENGTH)
        self.fill(memoryview(length), check)
        if (size := int.from_bytes(length, "big")) > _LONGEST:
            raise BrokenChannelError
        text = bytearray(size)
        self.fill(memoryview(text), check)
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            raise BrokenChannelError from None
        if not isinstance(record, dict):
            raise BrokenChannelError
        return record

    def fill(self, buffer: memoryview, check: Callable[[], None] = _wait_forever) -> None:
        """Receive as many raw bytes as the buffer holds; see `receive`."""
        while len(buffer):
            check()
            try:
                number = self._socket.recv_into(buffer)
            except TimeoutError:
                continue
            except OSError:
                raise BrokenChannelError from None
            if number == 0:
                raise BrokenChannelError
            buffer = buffer[number:]

    def close(self) -> None:
        """Close the connection; the other process sees its end."""
        self._socket.close()
