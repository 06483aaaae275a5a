"""Give many commands of the project, each in a fork of one process that has imported the libraries.

`python -m benchmarks.attack.forks CASES.json` prints the name of each case when it ends. CASES.json holds the `modules`
to import, and `cases`, each with a `name`, its `patience` in seconds and a `command`: `-m`, a module and its arguments,
or a script and its arguments. The results go to CASES.results.json.
"""

import importlib
import json
import os
import runpy
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any


def main() -> None:
    """Run the command line."""
    file = Path(sys.argv[1])
    task = json.loads(file.read_text())
    for module in task["modules"]:
        importlib.import_module(module)
    print("imported", flush=True)
    results = []
    for case in task["cases"]:
        results.append(_give(case, file.with_suffix(".output")))
        print(f"[{len(results)}] {case['name']!a}", flush=True)
    file.with_suffix(".results.json").write_text(json.dumps(results))


def _give(case: dict[str, Any], output: Path) -> dict[str, Any]:
    """Give a command in a fork and wait for it."""
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        _become(case["command"], output)
    code = None
    while code is None and time.monotonic() - begin < case["patience"]:
        ended, status = os.waitpid(child, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if ended else None
        time.sleep(0.005)
    if code is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    printed = output.read_text(errors="replace")
    return {"code": code, "seconds": time.monotonic() - begin, "output": printed}


def _become(command: list[str], output: Path) -> None:
    """Run a command in this process, and end it with the command's exit code."""
    stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    code: Any = 0
    try:
        if command[0] == "-m":
            sys.argv = command[1:]
            warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)  # it is imported already
            runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = command
            runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code or 0))


if __name__ == "__main__":
    main()
