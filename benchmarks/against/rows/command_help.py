"""Ask train.py for its help, in a fresh interpreter."""

import argparse
import json
import resource
import subprocess
import sys
import time


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True, help="an empty folder (not used)")
    parser.parse_args()
    begin = time.perf_counter()
    subprocess.run([sys.executable, "train.py", "--help"], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    worked, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3
    print(json.dumps({"seconds": seconds, "processor_seconds": worked, "peak_mb": peak}))


if __name__ == "__main__":
    main()
