#!/usr/bin/env bash
# OpenVINO 2026.4.1 (x86-64 Linux, Python 3.11): the first use of the device "CPU" replaces the alternate signal stack of
# the calling thread, also one that faulthandler has set up and that is larger.
#
# Expected: a library for inference leaves the signal handling of a process alone; faulthandler keeps its stack.
# Seen: faulthandler.enable() sets a stack of 16,880 bytes; after Core().get_property("CPU", ...) the thread has another,
# smaller one (11,568 bytes on a CPU with AVX-512), which belongs to OpenVINO's plugin and lives as long as the plugin.
# Python runs its signal handlers on this stack. In a test suite in which OpenVINO had come and gone in other threads, the
# kernel could not deliver the next SIGCHLD to a Python handler and ended the process; faulthandler wrote no traceback,
# because its own handler needs the same stack. Cure: leave no Python handler of signals behind that is not needed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openvino==2026.4.1
"$folder/venv/bin/python" - <<'PY'
import ctypes
import faulthandler

import openvino


class Stack(ctypes.Structure):
    _fields_ = [("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


def present():
    stack = Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    return stack.address, stack.size


faulthandler.enable()
before = present()
core = openvino.Core()  # kept: a core that goes in this thread gives the stack back
core.get_property("CPU", "FULL_DEVICE_NAME")
after = present()
print(f"openvino {openvino.__version__}")
print(f"size of the alternate signal stack: {before[1]} bytes before, {after[1]} bytes after")
assert before[0] and after[0] != before[0], "the stack is that of faulthandler: the finding has changed"
PY
