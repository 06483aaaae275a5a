"""Run a command, and list what it connects to or looks up: strace sees the calls of Python and of native code."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_CALLS = "connect,sendto,sendmsg,sendmmsg"
_ADDRESS = re.compile(r'sin6?_port=htons\((\d+)\).*?(?:inet_addr\(|inet_pton\(AF_INET6, )"([^"]+)"')
_LOOK_UP = re.compile(r'sun_path="([^"]*/systemd/resolve/[^"]*)"')  # not nscd's socket: it has users' names, too
_LOOPBACK = re.compile(r"(::ffff:)?127\.|::1$")
_NAMES = 53  # the port of name servers, which can be on this machine


class Watched:
    """A Python command in a separate process, in an empty home; nothing of the caller's environment reaches it."""

    def __init__(self, arguments, folder, **environment):
        if shutil.which("strace") is None:
            pytest.skip("needs strace: apt-get install strace")
        self.home, self.calls, self.output = (folder / name for name in ("home", "calls", "output"))
        temporary = folder / "tmp"
        for made in (self.home, temporary):
            made.mkdir(parents=True, exist_ok=True)
        kept = {"PATH": os.environ["PATH"], "HOME": str(self.home), "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "signal=none", "-e", f"trace={_CALLS}", "-s", "80",
                 "-o", self.calls, sys.executable, *map(str, arguments)],
                stdout=output, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True,
                env={**kept, "OMP_NUM_THREADS": "1", **environment},
            )  # fmt: skip

    def interrupt(self):
        """Press Ctrl-C, which reaches the command; strace waits for it."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self, expected=0):
        """Wait until the command and all that it started have ended, and return its output."""
        code = self.process.wait(timeout=600)
        text = self.output.read_text()
        assert code == expected, text
        return text

    def contacts(self):
        """List the addresses outside this machine that were contacted, and the name servers, also those on it."""
        calls = self.calls.read_text()
        contacts = {f"{address} port {port}" for port, address in _ADDRESS.findall(calls)
                    if int(port) == _NAMES or not _LOOPBACK.match(address)}  # fmt: skip
        return sorted(contacts | set(_LOOK_UP.findall(calls)))

    def home_files(self):
        """List what lies in the home."""
        return sorted(str(file.relative_to(self.home)) for file in self.home.rglob("*") if not file.is_dir())


def watch(arguments, folder, **environment):
    """Run a Python command to its end under the watch."""
    watched = Watched(arguments, folder, **environment)
    watched.wait()
    return watched
