"""Start and end a process that decodes files."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.channel import BrokenChannelError, Channel

NOT_STARTED = "The process that decodes files does not start: close other programs, or install the package again."
TICK = 0.1  # seconds between two checks of the time
_START_SECONDS = 60  # to import the readers, on a busy machine
_CODE = (
    "import sys; sys.path[:] = {path}; "
    "from bus_lightning.diagnosis.decoding_child import work; work({memory_mb}, {life})"
)
_SETTINGS = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "MALLOC_MMAP_THRESHOLD_": "1000000",  # glibc gives larger blocks back at once
}


class DecodingProcess:
    """A process that runs `decoding_child.work`, and the connection to it.

    It is a fresh interpreter: a fork would copy locks that other threads hold, and the processes of multiprocessing
    import the main module of this one, whatever that does.

    Attributes:
        channel: The connection.

    Raises:
        OSError: When the process cannot be started.
    """

    def __init__(self, memory_mb: int) -> None:
        parent_end, child_end = socket.socketpair()
        parent_end.settimeout(TICK)
        self.channel, self._is_ready = Channel(parent_end), False
        life, self._life = os.pipe()  # nothing is written: the child ends when the other end is closed
        path = [os.path.abspath(place) for place in sys.path]  # noqa: PTH100
        try:
            with child_end:
                self._process = _launch(_CODE.format(path=path, memory_mb=memory_mb, life=life), child_end, life)
        except OSError:
            os.close(self._life)
            parent_end.close()
            raise
        finally:
            os.close(life)

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        return self._process.poll() is None

    def wait_until_ready(self, check: Callable[[], None]) -> None:
        """Wait until the process has imported the readers; `check` is called again and again, and may raise.

        Raises:
            UserError: When the process does not start.
        """
        limit = time.monotonic() + _START_SECONDS

        def check_both() -> None:
            check()
            if time.monotonic() > limit:
                raise UserError(NOT_STARTED)

        if not self._is_ready:
            try:
                self.channel.receive(check_both)
            except BrokenChannelError:
                check()  # another thread may have killed the process
                raise UserError(NOT_STARTED) from None
            self._is_ready = True

    def kill(self) -> None:
        """Kill the process; any thread may do so."""
        self._process.kill()

    def end(self) -> None:
        """Kill the process and close the connection, which no other thread may be using."""
        self._process.kill()
        self._process.wait()
        self.channel.close()
        os.close(self._life)


def _launch(code: str, connection: socket.socket, life: int) -> subprocess.Popen[bytes]:
    """Start Python with a connection as its standard input, in a session without a terminal, so without Ctrl-C."""
    command, environment = [sys.executable, "-c", code], {**os.environ, **_SETTINGS}
    if sys.platform == "win32":  # hands over sockets only as bytes
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        process.communicate(connection.share(process.pid))
        return process
    return subprocess.Popen(
        command, env=environment, stdin=connection.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        pass_fds=[life], start_new_session=True,
    )  # fmt: skip
