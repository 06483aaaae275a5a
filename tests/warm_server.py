"""A process that has imported the libraries and forks itself for each command (see `warm.py`).

Of the package it imports only what switches the reports of libraries off. A forked process becomes the command: it
takes over the arguments, the environment, the folder and the output, and ends as any Python does.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from pathlib import Path

from bus_lightning.core.telemetry import switch_off


def import_libraries():
    """Import what a training needs of other projects."""
    gc.disable()
    import albumentations  # noqa: F401
    import hydra  # noqa: F401
    import lightning.pytorch  # noqa: F401
    import pandas  # noqa: F401
    import scipy.sparse.csgraph  # noqa: F401
    import torch._dynamo  # noqa: F401

    gc.freeze()
    gc.enable()
    threads = [Path(task, "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    others = [name for name in threads[1:] if name != "jemalloc_bg_thd"]  # of pyarrow, which can be forked
    assert not others, f"{others}: a forked process would lack these threads"


def serve(connection):
    """Fork a process for each request, and report the end of each.

    Returns:
        In a forked process: its request, and its stdout and stderr.
    """
    awakened, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking)
    started = set()
    while True:
        ready, _, _ = select.select([connection, awakened], [], [])
        if awakened in ready:
            os.read(awakened, 4096)
            for pid in sorted(started):
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    started.remove(pid)
                    connection.send(json.dumps({"ended": pid, "code": code}).encode())
        if connection in ready:
            message, outputs, _, _ = socket.recv_fds(connection, 1 << 20, 2)
            if not message:  # the tests have ended
                for pid in started:
                    os.kill(pid, signal.SIGKILL)
                sys.exit()
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for file in (awakened, waking):
                    os.close(file)
                connection.close()
                return json.loads(message), outputs
            started.add(pid)
            for output in outputs:
                os.close(output)
            connection.send(json.dumps({"started": pid}).encode())


def folders_named():
    """List the folders in PYTHONPATH."""
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def become(request, outputs):
    """Take over what a new process gets from the one that starts it."""
    for number, output in zip((1, 2), outputs, strict=True):
        os.dup2(output, number)
        os.close(output)
    if request["new_session"]:
        os.setsid()
    os.chdir(request["cwd"])
    others = [path for path in sys.path[1:] if path not in folders_named()]
    os.environ.clear()
    os.environ.update(request["environment"])
    switch_off()  # as the first import of the package does, which is done already
    script = request["arguments"][0]
    first = request["cwd"] if script == "-m" else str(Path(script).absolute().parent)
    sys.path[:] = [first, *dict.fromkeys([*folders_named(), *others])]
    sys.argv[:] = request["arguments"]


if __name__ == "__main__":
    import_libraries()
    become(*serve(socket.socket(fileno=int(sys.argv[1]))))
    if sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        __file__ = str(Path(sys.argv[0]).absolute())
        with open(__file__) as script:
            code = compile(script.read(), __file__, "exec")
        exec(code, globals())
