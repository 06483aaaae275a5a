"""`python -m bus_lightning.launch.report [runs/<group> ...]`: tables and figures of finished runs, in one page."""

import argparse
import logging
import sys
from pathlib import Path

from rich.console import Console

from bus_lightning.core.errors import UserError

USUAL = Path("runs/classification")


def the_group() -> Path:
    """Choose the default group of a report: `runs/classification` if it exists, else the only group.

    Raises:
        UserError: When there are several groups and none is `runs/classification`.
    """
    from bus_lightning.runs.folder import groups_below  # after --help

    found = groups_below(USUAL.parent)
    if USUAL in found or not found:
        return USUAL
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise UserError(
            f"Name the runs to report: GROUPS='{found[0]}' with make, else as arguments; choose from {names}."
        )
    return found[0]


def main(arguments: list[str] | None = None) -> int:
    """Write a report and say where it lies.

    Returns:
        Exit code: 0, or 1 when there is nothing to report.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bus_lightning.launch.report",
        description="Write a report of the runs of one or more groups: index.html, report.md, tables, figures.",
    )
    parser.add_argument(
        "groups", nargs="*", type=Path, metavar="runs/GROUP", help=f"folder of runs; default: {USUAL}, or the only one"
    )
    parser.add_argument("--out", type=Path, help="folder of the report; default: report/ in the first group")
    parser.add_argument("--title", default="Breast ultrasound: what was measured", help="title of the page")
    parser.add_argument(
        "--no-wandb", action="store_true", help="do not send tables and figures to W&B, though runs did"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    console = Console(stderr=True)
    try:
        with console.status("reading the runs") as status:
            from bus_lightning.report.making import make_report  # after --help

            page = make_report(
                options.groups or [the_group()],
                options.out,
                options.title,
                to_wandb=not options.no_wandb,
                say=status.update,
            )
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"The report is {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
