"""`python -m bus_lightning.launch.report [runs/<group> ...]`: tables and figures of finished runs, in one page."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bus_lightning.core.arguments import add_version, path_of
from bus_lightning.core.commands import name_command
from bus_lightning.core.console import PrintableConsole
from bus_lightning.core.errors import UserError, disk_trouble
from bus_lightning.core.folder_content import digest_folder
from bus_lightning.core.garbage import collection_paused, freeze_imports
from bus_lightning.core.output import prepare_output
from bus_lightning.core.printable import log_to_terminal, printable

if TYPE_CHECKING:
    from bus_lightning.report.extension import Extension
    from bus_lightning.report.sections import Section
    from bus_lightning.statistics.conditions import Group

log = logging.getLogger(__name__)
USUAL = Path("runs/classification")
# Each has a module `additions` with an EXTENSION. Any of these folders can be deleted; a second paper is one more name.
PAPERS = ("bus_lightning.paper",)
_WANDB = ("WANDB_MODE", "WANDB_ENTITY", "WANDB_PROJECT", "WANDB_BASE_URL")  # where a report is sent


def default_group() -> Path:
    """Choose the default group of a report: `runs/classification` if it exists, else the only group.

    Raises:
        UserError: When there are several groups and none is `runs/classification`.
    """
    from bus_lightning.runs.folder import groups_below  # after --help

    groups = groups_below(USUAL.parent)
    if USUAL in groups or not groups:
        return USUAL
    if len(groups) > 1:
        names = ", ".join(map(str, groups))
        raise UserError(
            f"Name the runs to report: GROUPS='{groups[0]}' with make, otherwise as arguments. Choose from {names}."
        )
    return groups[0]


def extensions() -> list[Extension]:
    """Return what each of the papers whose folder exists adds to a report."""
    modules = [f"{paper}.additions" for paper in PAPERS if find_spec(paper)]
    return [import_module(module).EXTENSION for module in modules if find_spec(module)]


def send_to_wandb(group: Group, sections: list[Section], entity: str | None = None) -> None:
    """Send the tables and figures of a report to W&B if its runs were logged there.

    Args:
        group: The runs.
        sections: The report.
        entity: Team or user that the report may go to, besides the user's own default. What the runs name is not
            enough: a run from elsewhere could name a stranger's project.
    """
    runs = [(run, condition.config) for condition in group.conditions for run in condition.runs]
    logged = [(run, config) for run, config in runs if (config.get("logger") or {}).get("wandb")]
    owners = {config.logger.wandb.get("entity") for _, config in logged}
    named = owners - {None, entity, os.environ.get("WANDB_ENTITY")}
    if named:
        log.warning("The report is not sent to W&B because its runs name the owner %s: add --wandb-entity %s if you "
                    "trust this owner, or --no-wandb.", min(named), min(named))  # fmt: skip
    elif logged:
        from bus_lightning.tracking.reports import send_report  # imports wandb, which takes seconds

        send_report(group.path, logged, [item for section in sections for item in section.items])


def main(arguments: list[str] | None = None) -> int:
    """Write a report and print where it is.

    Returns:
        Exit code: 0; 1 when there is nothing to report; 130 after Ctrl-C.
    """
    prepare_output()
    parser = argparse.ArgumentParser(
        prog=name_command("report"),
        description="Write a report of the runs of one or more groups: index.html, report.md, tables, figures.",
    )
    add_version(parser)
    parser.add_argument(
        "groups",
        nargs="*",
        type=path_of,
        metavar="runs/GROUP",
        help=f"folders of runs (default: {USUAL}, or the only one)",
    )
    parser.add_argument("--out", type=path_of, help="folder of the report; default: report/ in the first group")
    parser.add_argument("--title", default="Breast ultrasound: what was measured", help="title of the page")
    parser.add_argument(
        "--no-wandb", action="store_true", help="send nothing to W&B, even if the runs were logged there"
    )
    parser.add_argument(
        "--wandb-entity",
        metavar="OWNER",
        help="W&B team or user that you trust; the report is sent to it if the runs name it",
    )
    parser.add_argument(
        "--trust", action="append", default=[], metavar="PACKAGE",
        help="package of your own whose networks may be built, to count their cost; its code is run"
    )  # fmt: skip
    parser.add_argument(
        "--prevalence", type=float, default=0.015, metavar="SHARE",
        help="share of malignant at which PPV and NPV are stated (default: %(default)s, of screening with ultrasound)"
    )  # fmt: skip
    parser.add_argument(
        "--protocol", type=path_of, metavar="FILE",
        help="protocol to compare the runs with; default: the one under which they were trained",
    )  # fmt: skip
    parser.add_argument("--again", action="store_true", help="make the report even if nothing has changed since")
    options = parser.parse_args(arguments)
    log_to_terminal()
    groups: list[Path] = []
    try:
        groups = options.groups or [default_group()]
        out = options.out or groups[0] / "report"
        # A missing group has its own error, and gets no folder with a lock.
        from bus_lightning.report.up_to_date import alone  # after --help

        with alone(out) if all(group.is_dir() for group in groups) else nullcontext():
            line = _make_or_keep(groups, out, options)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if groups and (trouble := disk_trouble(error, {"--out": options.out or groups[0] / "report"})):
            print(f"Error: {trouble}", file=sys.stderr)
            return 1
        raise
    except KeyboardInterrupt:  # a report appears complete or not at all
        print("Stopped. The same command starts again.", file=sys.stderr)
        return 130
    print(printable(line))
    return 0


def _make_or_keep(groups: list[Path], out: Path, options: argparse.Namespace) -> str:
    """Make a report, unless it is there and nothing has changed since; return the line to print."""
    from bus_lightning.report.up_to_date import MadeFrom

    made_from = None
    if not options.trust:  # the user's own packages may have changed
        decisive = vars(options) | {"groups": list(map(str, groups)), "out": str(out), "again": False}
        decisive |= {name: value for name, value in os.environ.items() if name in _WANDB and not options.no_wandb}
        if options.protocol:
            decisive["protocol"] = [str(options.protocol), digest_folder(options.protocol)]
        made_from = MadeFrom(out, groups, decisive, list(_packages()))
        if not options.again and made_from.is_shown():
            for line in made_from.warnings:
                log.warning("%s", line)
            return f"The report is {out / 'index.html'}; nothing that it shows has changed since it was made."
    noting = made_from.keeping_warnings() if made_from else nullcontext()
    # Nearly all objects of a report stay until it is written.
    with noting, collection_paused(), PrintableConsole(stderr=True).status("reading the runs") as status:
        from bus_lightning.report.making import make_report  # after --help

        freeze_imports()  # each adjustment of p-values by statsmodels collects garbage, and would visit them

        page = make_report(
            groups,
            options.out,
            options.title,
            extensions(),
            send=None if options.no_wandb else partial(send_to_wandb, entity=options.wandb_entity),
            say=status.update,
            trusted=options.trust,
            prevalence=options.prevalence,
            protocol=options.protocol,
            made_from=made_from,
        )
    return f"The report is {page}"


def _packages() -> Iterator[Path]:
    """List the folders of the papers."""
    for spec in filter(None, map(find_spec, PAPERS)):
        yield from map(Path, spec.submodule_search_locations or ())


if __name__ == "__main__":
    sys.exit(main())
