"""Measure on one GPU, in at most eight minutes: six networks and the bare loop, memory, a resumed run, the tests."""

import argparse
import shlex
import shutil
import sys

from benchmarks import report
from benchmarks.gpu.check import check, is_well
from benchmarks.gpu.parts import Settings
from benchmarks.gpu.tables import SECTION, page_tables
from benchmarks.processes import say
from benchmarks.provenance import provenance
from bus_lightning.core.interruption import interruptible

_AROUND = 20  # seconds


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns:
        Exit code: 0, or 1 when there is no GPU, something was not measured, a test failed, or a resumed run differs.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda",
                        help="cpu: try the check itself; goes to results/quick/, README.md stays")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=8, help="time for everything (default: 8)")
    options = parser.parse_args(arguments)
    if not 0 < options.minutes <= 60:
        parser.error("--minutes: give a number above 0, at most 60")
    about = provenance() | {"command": shlex.join(["python", "-m", "benchmarks.gpu", *(arguments or sys.argv[1:])])}
    if options.device == "cuda" and not about["gpu"]:
        say("No GPU: PyTorch sees no CUDA device, so nothing was measured.")
        return 1
    # The start and the tables take some seconds, too.
    settings = Settings(options.device, seconds=max(0, 60 * options.minutes - _AROUND))
    card = about["gpu"] if options.device == "cuda" else f"the CPU, {about['cpu']}"
    folder = report.RESULTS if options.device == "cuda" else report.RESULTS / "quick"
    try:
        with interruptible():
            results = check(settings, lambda parts: report.save(folder, SECTION, about, parts | {"card": card}))
    finally:
        shutil.rmtree(settings.folder, ignore_errors=True)
    made = page_tables(folder)
    if options.device == "cuda":
        report.render(made)
    say("\n\n".join(made.values()))
    return int(not is_well(results))


if __name__ == "__main__":
    sys.exit(main())
