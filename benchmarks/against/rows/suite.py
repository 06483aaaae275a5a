"""Time all tests of a build, fast and slow: half an hour, so it is measured only on request."""

import argparse
import json
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
    recipes = re.findall(
        r"^test(?:-slow)?:.*\n\t\$\(BIN\)/python (.*) \$\(ARGS\)$", Path("Makefile").read_text(), re.MULTILINE
    )
    if not recipes:
        sys.exit("The Makefile has no target `test` of the expected form.")
    begin, passed = time.perf_counter(), 0
    for recipe in recipes:
        command = [sys.executable, *shlex.split(recipe), "-p", "no:cacheprovider", f"--basetemp={work / 'tmp'}"]
        done = subprocess.run([*command, *arguments.tests], check=False, stdout=subprocess.PIPE, text=True)
        print(done.stdout[-3000:])
        if done.returncode not in (0, 1, 5):  # 1: some failed, as of an older build; 5: none chosen
            sys.exit(f"The tests ended early, with exit code {done.returncode}.")
        passed += int((re.findall(r"(\d+) passed", done.stdout) or ["0"])[0])
    seconds = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"seconds": seconds, "processor_seconds": used.ru_utime + used.ru_stime, "passed": passed}))


if __name__ == "__main__":
    main()
