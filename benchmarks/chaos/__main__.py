"""Kill a grid at random moments until it is complete, and compare it with an undisturbed one."""

import argparse
import math
import shlex
import shutil
import signal
import sys
from pathlib import Path
from random import Random
from typing import Any

from rich.progress import Progress

from benchmarks import report
from benchmarks.chaos.grids import KINDS, Grid
from benchmarks.chaos.kills import Kill
from benchmarks.chaos.tables import is_well, tables, troubles
from benchmarks.chaos.trial import trial
from benchmarks.processes import SCRATCH, MeasurementError, say
from benchmarks.provenance import provenance

_OUT = SCRATCH / "chaos"


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos",
        description=f"{__doc__} When a grid is complete, the next one starts, until the number of kills is reached. "
        f"The grids take turns: {'; '.join(KINDS)}.",
        epilog="Writes benchmarks/results/chaos.json and the tables of docs/reliability.md. The exit code is 1 when "
        "something was lost, differs, or failed.",
    )
    parser.add_argument(
        "options", nargs="*", metavar="KEY=VALUE", help="more options of train.py, such as logger=wandb"
    )
    parser.add_argument("--kills", type=int, default=60, help="number of kills (default: 60, about half an hour)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments and the signals (default: 0)")
    parser.add_argument("--out", type=Path, default=_OUT, metavar="FOLDER",
                        help="a new folder, where the grids go and what each launch printed "
                        "(default: benchmarks/scratch/chaos, which is emptied first)")  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true", help="smaller grids; the tables are printed and nothing is kept"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns:
        Exit code: 0, or 1 when something was lost, differs, or failed.
    """
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so would ours
    about = provenance() | {
        "command": shlex.join(["python", "-m", "benchmarks.chaos", *sys.argv[1:]]),
        "data": "phantom",
    }
    models = ("alexnet", "u2net_lite") if options.quick else ("alexnet", "resnet34", "u2net_lite")
    seeds, epochs = (1, 3) if options.quick else (2, 6)
    rng, grids, dealt = Random(options.seed), list[dict[str, Any]](), 0
    if options.out == _OUT:
        shutil.rmtree(_OUT, ignore_errors=True)
    elif options.out.exists():
        parser().error(f"{options.out} is there already: name a new folder")
    with Progress(transient=True) as bar:
        task = bar.add_task("kills", total=options.kills)

        def show(kill: Kill) -> None:
            aimed = f" (aimed at {kill.target})" if kill.target else ""
            bar.console.print(f"  {kill.sent} after {kill.after:.1f} s, {kill.doing}{aimed}", highlight=False)
            bar.advance(task)

        while dealt < options.kills:
            number = len(grids)
            kind = list(KINDS)[number % len(KINDS)]
            numbers = tuple(range(number * seeds, (number + 1) * seeds))
            more = (*KINDS[kind], *options.options)
            undisturbed, disturbed = (
                Grid(options.out.absolute() / f"{number}-{name}", models, numbers, epochs, more)
                for name in ("undisturbed", "disturbed")
            )
            bar.console.print(f"grid {number}: {kind}, {len(models) * seeds} jobs, undisturbed, then with kills",
                              highlight=False)  # fmt: skip
            most = min(options.kills - dealt, math.ceil(options.kills / len(KINDS)))  # so that each kind gets some
            try:
                outcome = trial(undisturbed, disturbed, rng, most, show)
            except MeasurementError as error:
                bar.console.print(str(error), style="red", markup=False)
                return 1
            for key, trouble in troubles(outcome).items():
                bar.console.print(f"{key}: {trouble}", style="red", markup=False)
            grids.append({"kind": kind} | outcome | {"errors": len(outcome["errors"])})
            dealt += len(outcome["kills"])
            if len(outcome["errors"]) > 2:
                break
    result = {"jobs": len(models) * seeds, "options": options.options, "grids": grids}
    say("\n\n".join(tables(result).values()))
    if not options.quick:
        report.save(report.RESULTS, "chaos", about, result)
        report.render(report.section_tables(report.RESULTS, "chaos", tables), report.RELIABILITY)
    return 0 if is_well(result) else 1


if __name__ == "__main__":
    sys.exit(main())
