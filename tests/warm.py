"""Start Python commands in processes that need not import torch and Lightning first, which takes five seconds.

A server (`warm_server.py`) has imported them, and forks a process for each command. All else is as for a new Python:
the command's modules are imported again, and it has a process, signals and an exit code. Two things are shared: what
libraries read when they are imported, and the state of `random` and NumPy before a seed is set. Tests that depend on
one of them start a new Python instead.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from threading import Lock

SERVER = Path(__file__).parent / "warm_server.py"


class Server:
    """The server of this process."""

    def __init__(self):
        self.connection, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen([sys.executable, SERVER, str(other.fileno())], pass_fds=[other.fileno()],
                                        stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        other.close()
        self.codes, self.lock = {}, Lock()
        atexit.register(self.close)

    def start(self, request, outputs):
        """Start a command, and return its process id."""
        with self.lock:
            socket.send_fds(self.connection, [json.dumps(request).encode()], outputs)
            while True:
                message = self._receive()
                if "started" in message:
                    return message["started"]

    def exit_code(self, pid):
        """Return the exit code of a process, None while it runs; a negative number is a signal."""
        with self.lock:
            while pid not in self.codes:
                try:
                    self._receive(socket.MSG_DONTWAIT)
                except BlockingIOError:
                    break
            return self.codes.get(pid)

    def _receive(self, flags=0):
        received = self.connection.recv(1 << 16, flags)
        assert received, "the server of warm processes has ended"
        message = json.loads(received)
        if "ended" in message:
            self.codes[message["ended"]] = message["code"]
        return message

    def close(self):
        """End the server, and with it what still runs."""
        self.connection.close()
        self.process.wait(60)


server = cache(Server)


class Process:
    """A command that runs; it has the methods of `subprocess.Popen` that tests need."""

    def __init__(self, arguments, cwd, env=None, new_session=False):
        self.args = list(map(str, arguments))
        self._outputs = [tempfile.TemporaryFile("w+") for _ in range(2)]  # noqa: SIM115 (`communicate` closes them)
        request = {"arguments": self.args, "cwd": str(cwd), "environment": dict(env or os.environ),
                   "new_session": new_session}  # fmt: skip
        self.pid = server().start(request, [output.fileno() for output in self._outputs])

    @property
    def returncode(self):
        return self.poll()

    def poll(self):
        return server().exit_code(self.pid)

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout):
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(0.01)
        return self.returncode

    def communicate(self, timeout=60):
        """Wait for the end, and return what was printed."""
        self.wait(timeout)
        texts = []
        for output in self._outputs:
            with output:
                output.seek(0)
                texts.append(output.read())
        return tuple(texts)


def run(arguments, cwd, timeout, env=None):
    """Run a command to its end, as `subprocess.run` does."""
    process = Process(arguments, cwd, env)
    try:
        texts = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, *texts)
