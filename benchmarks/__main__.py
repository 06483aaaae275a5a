"""Measure how fast the framework is, and put the tables into benchmarks/README.md."""

import argparse
import sys
import time
from types import ModuleType

from benchmarks import (
    against,
    coverage,
    data,
    diagnosis,
    doubt,
    good_model,
    gradients,
    grid,
    growth,
    int8,
    job_overhead,
    local,
    machine,
    precision,
    report,
    shipped,
    startup,
    throughput,
)
from benchmarks.against.builds import FIRST
from benchmarks.gpu import tables as gpu_tables
from benchmarks.processes import MeasurementError, say
from benchmarks.provenance import provenance
from bus_lightning.core.errors import UserError
from bus_lightning.core.interruption import Interrupted

SECTIONS: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        throughput,
        grid,
        machine,
        gradients,
        data,
        startup,
        job_overhead,
        growth,
        precision,
        doubt,
        diagnosis,
        shipped,
        int8,
        local,
        coverage,
        good_model,
        against,
    )
}
QUICK = ("throughput", "startup")  # what --quick measures when no section is named
ON_REQUEST = ("good_model", "against")  # hours; against needs the history, too


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    lines = [f"  {name:12s} {(module.__doc__ or '').splitlines()[0]}" for name, module in SECTIONS.items()]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="sections, in the order in which they run:\n" + "\n".join(lines) + "\n\nSet BUSI_ROOT to measure on "
        "BUSI; without it, synthetic images are drawn. Run nothing else at the same time.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="what to measure "
                        f"(default: everything except {' and '.join(ON_REQUEST)})")  # fmt: skip
    parser.add_argument("--quick", action="store_true",
                        help=f"few rounds, {' and '.join(QUICK)} alone unless sections are named: about three minutes; "
                        "the tables are printed, README.md stays")  # fmt: skip
    parser.add_argument("--reference", metavar="COMMIT", help="for against: the tag, branch or commit to compare with "
                        f"(default: the newest tag before this commit, otherwise {FIRST})")  # fmt: skip
    parser.add_argument("--rows", nargs="+", metavar="ROW", default=[], choices=against.list_probes(),
                        help=f"for against: only these of {', '.join(against.list_probes())}")  # fmt: skip
    parser.add_argument("--render", action="store_true", help="measure nothing, only make the tables again")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns:
        Exit code: 0, or 1 when a section or a row of it could not be measured.
    """
    options = parser().parse_args(arguments)
    if unknown := set(options.sections) - SECTIONS.keys():
        parser().error(f"no section {', '.join(sorted(unknown))}: choose from {', '.join(SECTIONS)}")
    if (options.reference or options.rows) and "against" not in options.sections:
        parser().error("--reference and --rows belong to the section against: name it")
    everything = [name for name in SECTIONS if name not in ON_REQUEST]
    wanted = options.sections or (QUICK if options.quick else SECTIONS if options.render else everything)
    chosen = [name for name in SECTIONS if name in wanted]
    folder = report.RESULTS / "quick" if options.quick else report.RESULTS
    failed, incomplete = [], False
    for name in [] if options.render else chosen:
        say(f"== {name}")
        begin = time.monotonic()
        about = provenance() | getattr(SECTIONS[name], "ABOUT", {})  # a section may know better
        try:
            if name == "against":
                results = against.measure(options.quick, about, options.reference, options.rows, against.Places(folder))
            else:
                results = SECTIONS[name].measure(options.quick)
        except Interrupted as stop:
            say(f"{stop}: the same command continues where it stopped")
            raise
        except (MeasurementError, UserError) as error:
            say(f"{name} could not be measured: {error}")
            failed.append(name)
            continue
        report.save(folder, name, about, results)
        for row, why in results.get("failed", {}).items():
            say(f"{name}, {row} failed: {why}")
            incomplete = True
        say(f"== {name}: {time.monotonic() - begin:.0f} s")
    tables: dict[str, str] = {}
    for name in chosen:
        if name not in failed:
            tables |= report.section_tables(folder, name, SECTIONS[name].tables)
    if options.render and not options.sections:
        tables |= gpu_tables.page_tables(folder)
    if options.quick:
        say("\n\n".join(f"## {name}\n{text}" for name, text in tables.items()))
        return int(bool(failed) or incomplete)
    try:
        homeless = set.intersection(*(set(report.render(tables, page)) for page in report.PAGES))
    except UserError as error:  # a page with a damaged marker; the numbers are saved
        say(str(error))
        return 1
    if homeless:
        say(f"No page has a place for: {', '.join(sorted(homeless))}")
    return int(bool(failed) or incomplete)


if __name__ == "__main__":
    sys.exit(main())
