"""`python -m bus_lightning.launch.results`: fill docs/results.md from the runs, and write docs/results.json."""

import argparse
import logging
import sys
from contextlib import nullcontext
from pathlib import Path

from bus_lightning.core.arguments import add_version, path_of
from bus_lightning.core.console import PrintableConsole
from bus_lightning.core.errors import UserError, disk_trouble
from bus_lightning.core.interruption import Interrupted, interruptible
from bus_lightning.core.output import prepare_output
from bus_lightning.core.printable import log_to_terminal, printable
from bus_lightning.launch.report import extensions

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Write the page and print where it is.

    Returns:
        Exit code: 0; 1 when the page cannot be made; 128 more than the signal that stopped it.
    """
    prepare_output()
    parser = argparse.ArgumentParser(
        prog="python -m bus_lightning.launch.results",
        description="Fill the tables of the page of results from the runs, and write the same numbers as JSON.",
    )
    add_version(parser)
    parser.add_argument("--runs", type=path_of, default=Path("runs"), help="folder of groups (default: %(default)s)")
    parser.add_argument("--page", type=path_of, default=Path("docs/results.md"), help="the page (default: %(default)s)")
    parser.add_argument(
        "--summary", type=path_of, metavar="PAGE",
        help="another page, such as README.md, with the goals in short (table `headline`) and the plan's `summary`",
    )  # fmt: skip
    parser.add_argument(
        "--plan", type=path_of, default=Path("docs/results.yaml"), metavar="FILE",
        help="which groups make which table, and the goals (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--protocol", type=path_of, default=Path("docs/protocol.md"), metavar="FILE",
        help="the protocol of the runs (default: %(default)s, if it is there)",
    )  # fmt: skip
    parser.add_argument(
        "--only-runs", action="store_true",
        help="leave out conditions whose runs are gone; without this, they keep their numbers from the JSON",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    log_to_terminal()
    is_given = options.protocol != parser.get_default("protocol")
    protocol = options.protocol if is_given or options.protocol.is_file() else None
    try:
        with interruptible():
            unplaced = _make(options, protocol, is_usual=options.runs == parser.get_default("runs"))
    except Interrupted as stop:
        print("Stopped. The same command starts again.", file=sys.stderr)
        return 128 + stop.signal
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        folders = {"--page": options.page} | ({"--summary": options.summary} if options.summary else {})
        if trouble := disk_trouble(error, {option: page.parent for option, page in folders.items()}):
            print(f"Error: {trouble}", file=sys.stderr)
            return 1
        raise
    if unplaced:
        log.warning("no markers on the pages for the tables %s", ", ".join(unplaced))
    print(printable(f"The results are in {options.page} and {options.page.with_suffix('.json')}"))
    return 0


def _make(options: argparse.Namespace, protocol: Path | None, is_usual: bool) -> list[str]:
    """Make the page, alone; return the tables without a place.

    Args:
        options: Those of the command.
        protocol: The file; None without one.
        is_usual: Whether the folder of the groups is the default, which may be missing.
    """
    if not is_usual and not options.runs.is_dir():  # as if all runs were gone
        raise UserError(f"--runs {options.runs}: there is no such folder; name the folder of the groups.")
    from bus_lightning.report.up_to_date import alone  # after --help

    # Two at a time could each keep what the other has just replaced. A missing page has its own error.
    once = alone(options.page.resolve()) if options.page.is_file() else nullcontext()
    with once, PrintableConsole(stderr=True).status("reading the runs"):
        from bus_lightning.report.results.making import make_results

        return make_results(
            options.runs, options.page, options.plan, protocol, extensions(), options.summary, options.only_runs
        )


if __name__ == "__main__":
    sys.exit(main())
