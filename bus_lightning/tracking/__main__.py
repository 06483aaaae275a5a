"""`python -m bus_lightning.tracking sync | build | picture`: send what waits, build the ready dashboard, draw it."""

import argparse
import sys
from pathlib import Path

from bus_lightning.core.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Do one of the three.

    Returns:
        Exit code: 0, or 1 when it could not be done.
    """
    parser = argparse.ArgumentParser(prog="python -m bus_lightning.tracking", description="Weights & Biases.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    sync = commands.add_parser("sync", help="send what was recorded offline")
    sync.add_argument("runs_dir", nargs="?", type=Path, default=Path("runs"), help="folder of the groups: runs")
    sync.add_argument("--dry-run", action="store_true", help="only say what waits")
    build = commands.add_parser("build", help="save the ready dashboard online, and mark each group's champion")
    build.add_argument("--entity", required=True, help="user or team")
    build.add_argument("--project", default="bus_lightning", help="W&B project: bus_lightning")
    build.add_argument("--group", help="only this group of runs")
    picture = commands.add_parser("picture", help="draw what the dashboard shows, from runs recorded offline")
    picture.add_argument("group", type=Path, metavar="runs/GROUP", help="folder of runs")
    picture.add_argument("--out", type=Path, required=True, help="the PNG")
    options = parser.parse_args(arguments)
    try:
        if options.command == "sync":
            from bus_lightning.tracking import syncing

            return syncing.sync(options.runs_dir, options.dry_run)
        if options.command == "build":
            from bus_lightning.tracking import champions

            address, chosen = champions.build(options.entity, options.project, options.group)
            print("\n".join([f"The dashboard is {address}", *(f"Champion of {line}" for line in chosen)]))
        else:
            from bus_lightning.tracking.picture import save_picture

            save_picture(options.group, options.out)
            print(f"The picture is {options.out}")
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
