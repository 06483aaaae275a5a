"""Time `make test` of a build: half an hour, so it is measured only on request."""

import argparse
import json
import os
import re
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True, type=Path, help="a folder for what the tests write")
    parser.add_argument("tests", nargs="*", help="files and folders of tests (default: all)")
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    recipe = re.search(r"^test:.*\n\t\$\(BIN\)/python (.*) \$\(ARGS\)$", Path("Makefile").read_text(), re.MULTILINE)
    if recipe is None:
        sys.exit("The Makefile has no target `test` of the expected form.")
    command = [sys.executable, *shlex.split(recipe[1]), "-p", "no:cacheprovider", f"--basetemp={work / 'tmp'}"]
    begin = time.perf_counter()
    done = subprocess.run([*command, *arguments.tests], check=False, stdout=subprocess.PIPE, text=True, env=os.environ)
    seconds = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(done.stdout[-3000:])
    if done.returncode not in (0, 1):  # 1: a test failed, as some of an older build do with newer libraries
        sys.exit(f"The tests ended early, with exit code {done.returncode}.")
    (passed,) = re.findall(r"(\d+) passed", done.stdout) or ["0"]
    print(json.dumps({"seconds": seconds, "processor_seconds": used.ru_utime + used.ru_stime, "passed": int(passed)}))


if __name__ == "__main__":
    main()
