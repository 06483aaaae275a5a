"""`python -m bus_lightning.tracking sync | build`: send what was recorded offline, or save the ready dashboard."""

import argparse
import sys
from pathlib import Path

from bus_lightning.core.arguments import add_version, path_of
from bus_lightning.core.errors import UserError
from bus_lightning.core.output import prepare_output


def main(arguments: list[str] | None = None) -> int:
    """Run one of the two commands.

    Returns:
        Exit code: 0; 1 after an error; 130 after Ctrl-C.
    """
    prepare_output()
    parser = argparse.ArgumentParser(prog="python -m bus_lightning.tracking", description="Weights & Biases.")
    add_version(parser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    sync = commands.add_parser("sync", help="send what was recorded offline")
    sync.add_argument(
        "runs_dir", nargs="?", type=path_of, default=Path("runs"), help="folder of groups (default: runs)"
    )
    sync.add_argument("--dry-run", action="store_true", help="only list what would be sent")
    build = commands.add_parser("build", help="save the ready dashboard online, and mark each group's champion")
    build.add_argument("--entity", required=True, help="user or team")
    build.add_argument("--project", default="bus_lightning", help="W&B project (default: bus_lightning)")
    build.add_argument("--group", help="only this group of runs")
    options = parser.parse_args(arguments)
    try:
        if options.command == "sync":
            from bus_lightning.tracking import syncing

            return syncing.sync(options.runs_dir, options.dry_run)
        from bus_lightning.tracking import champions

        address, lines = champions.build(options.entity, options.project, options.group)
        print("\n".join([f"Dashboard: {address}", *(f"Champion of {line}" for line in lines)]))
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. The same command does the rest.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
