"""Look at a data set before training: counts, broken files, odd masks, duplicates, sizes, and a page with pictures.

The command prints a table and writes `audit.json`, `groups.csv` (the groups of near-duplicates that splits keep whole)
and `audit.html`. Of several sets, each has a folder with its files, and `audit.html` is about all of them.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from bus_lightning.config.composing import compose_data
from bus_lightning.config.data_sets import options_by_set
from bus_lightning.core.arguments import add_version, path_of
from bus_lightning.core.commands import name_command
from bus_lightning.core.console import PrintableConsole
from bus_lightning.core.csv_files import write_csv
from bus_lightning.core.errors import UserError, disk_trouble
from bus_lightning.core.files import aside, write_aside
from bus_lightning.core.output import prepare_output
from bus_lightning.core.printable import printable
from bus_lightning.data.audit import DEFAULT_CACHE, cached_audit
from bus_lightning.data.audited import BLOCKING, AuditedSet, count_published, say_verdict
from bus_lightning.data.collection import find_shared_frames
from bus_lightning.data.listing import describe_skipped
from bus_lightning.data.phantom import draw_phantom
from bus_lightning.data.sources.registry import get_source, read_sets

_OF_TRAINING = ("classes", "exclude", "drop_conflicts", "skip_unreadable", "resize_masks")  # options of the images
_OVERRIDE = re.compile(r"[+~]*data([.@][^=]*)?(=.*)?", re.DOTALL)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0 if some task can be trained on each set, else 1, and 130 after Ctrl-C."""
    prepare_output()
    options = _parse(arguments)
    try:
        data = _compose(options)
        sets = _audit(data, Path(data["cache"]))
        across = find_shared_frames([audited.dataset for audited in sets], [audited.audit for audited in sets],
                                    Path(data["cache"]))  # fmt: skip
        written = _write(sets, across, options.out)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. The same command starts again with the first image.", file=sys.stderr)
        return 130
    except OSError as error:
        if trouble := disk_trouble(error, {"--out": options.out, "--cache": options.cache or DEFAULT_CACHE}):
            print(trouble, file=sys.stderr)
            return 1
        raise
    console = PrintableConsole()
    for audited in sets:
        _show(audited, console)
    if given := [f"data.{name}" for name in _OF_TRAINING if data.get(name)]:
        console.print(f"All files were audited as they are: only a training uses {' and '.join(given)}.", markup=False)
    if len(sets) > 1:
        console.print(f"Same frames in two sets: {len(across)}.", markup=False)
    console.print(f"Written: {', '.join(map(str, written))}", markup=False)
    return 0 if all(audited.audit.tasks for audited in sets) else 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=name_command("audit"), description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument(
        "data", nargs="*", metavar="DIR | data=NAME data.KEY=VALUE",
        help="a folder with a folder per class, or a data set as in training, such as data=bus_bra data.root=DIR; "
        "data='[busi,bus_bra]' takes several (default: data=busi)",
    )  # fmt: skip
    parser.add_argument("--out", type=path_of, default=Path("audit"), help="folder of results (default: %(default)s)")
    parser.add_argument("--cache", type=path_of, help=f"cache of training (default: data.cache, {DEFAULT_CACHE})")
    return parser.parse_args(arguments)


def _compose(options: argparse.Namespace) -> dict[str, Any]:
    """Compose the config group `data` from a command line.

    Raises:
        UserError: If an argument is neither a folder nor an override of `data`, or is wrong.
    """
    overrides = [text for text in options.data if _OVERRIDE.fullmatch(text) and not Path(text).is_dir()]
    folders = [text for text in options.data if text not in overrides]
    if wrong := [text for text in folders if "=" in text and not Path(text).is_dir()]:
        raise UserError(f"{wrong[0]}: the audit takes a folder, data=NAME and data.KEY=VALUE, nothing else.")
    if len(folders) > 1 or (folders and overrides):
        raise UserError(f"{' '.join(options.data)}: name one folder, or data=NAME data.root=FOLDER.")
    data = compose_data(["data=folder", "data.root=."] if folders else overrides)
    if folders:
        data["root"] = folders[0]  # as it is: Hydra would read some characters as its own
    return data | ({"cache": str(options.cache)} if options.cache else {})


def _audit(data: dict[str, Any], cache: Path) -> list[AuditedSet]:
    """Audit each set that a config names."""
    if data.get("phantom") and data["root"] and not Path(data["root"]).is_dir():
        draw_phantom(Path(data["root"]), **data["phantom"])
    sources = {name: get_source(options["source"]) for name, options in options_by_set(data).items()}
    return [
        AuditedSet(dataset, cached_audit(dataset.root, dataset.index, cache), sources[dataset.name].CARD)
        for dataset in read_sets(data)
    ]


def _write(sets: Sequence[AuditedSet], across: Sequence[tuple[str, str]], out: Path) -> list[Path]:
    """Write the results, and return the paths of the files."""
    from bus_lightning.data.audit_page import make_page  # imports Matplotlib

    written = []
    for audited in sets:
        folder = out / audited.name if len(sets) > 1 else out
        write_aside(folder / "audit.json", json.dumps(audited.to_json(), indent=1) + "\n")
        with aside(folder / "groups.csv") as path:
            write_csv(audited.audit.groups_table(audited.index.frame), path)
        written += [folder / "audit.json", folder / "groups.csv"]
    if len(sets) > 1:
        with aside(out / "across.csv") as path:
            write_csv(pd.DataFrame(across, columns=["first", "second"]), path)
        written.append(out / "across.csv")
    write_aside(out / "audit.html", make_page(sets, across))
    return [*written, out / "audit.html"]


def _show(audited: AuditedSet, console: PrintableConsole) -> None:
    """Print the findings about a set."""
    audit = audited.audit
    table = Table("finding", "number", "for example", title=Text(f"Audit of {audited.root}"))
    for finding, number in audited.summary().items():
        examples = [audit.describe(name, finding) for name in audited.names_of(finding)[:2]]
        style = "red" if examples and finding in BLOCKING else None
        table.add_row(finding.replace("_", " "), str(number), Text("\n".join(map(printable, examples))), style=style)
    console.print(table)
    for line in (*audited.measured(), *count_published(audited), *audited.index.notes):
        console.print(line, markup=False)
    if audited.index.skipped:
        console.print(f"Skipped: {describe_skipped(audited.index.skipped)}.", markup=False)
    console.print(f"{say_verdict(audit)} {audited.advice}".strip(), markup=False)
