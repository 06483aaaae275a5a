"""Can this folder be trained on? Counts, broken files, odd masks, duplicates; and the groups that splits keep whole.

`python -m bus_lightning.data.audit DIR --out OUT` prints a table and writes `audit.json` and `groups.csv`.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from bus_lightning.data.content import content_hash, known_content
from bus_lightning.data.duplicates import Fingerprint, fingerprint, group_of, matching_pairs
from bus_lightning.data.index import (
    MaskSizeError,
    find_root,
    orphan_masks,
    read_image,
    read_index,
    read_mask,
)
from bus_lightning.errors import UserError
from bus_lightning.files import write_aside

VERSION = 3  # part of the cache's key: raise it when a finding changes
HEALTHY = "normal"  # the class that has no lesion, by BUSI's name
_BLOCKING = ("unreadable", "mask_size_mismatch", "image_without_mask")
_COLOR_SPREAD, _COLOR_PIXELS = 5, 20  # grey levels between channels, pixels: BUSI has 16 such images, the rest none


@dataclass(frozen=True)
class Audit:
    """What was found in a data folder.

    Attributes:
        counts: Number of images per class, and of masks.
        problems: Kind of finding -> ids, or files below the root, sorted.
        broken: File below the root -> why it cannot be used, a line that begins with its name.
        groups: Id -> number of its near-duplicate group; a lone or unreadable image is its own.
        exact_duplicate_of: Id -> first id with the same decoded pixels, for those that have one.
        conflicts: Ids whose group carries more than one class.
        content: Hash of the files.
    """

    counts: dict[str, int]
    problems: dict[str, list[str]]
    broken: dict[str, str]
    groups: dict[str, int]
    exact_duplicate_of: dict[str, str]
    conflicts: list[str]
    content: str

    @property
    def trainable(self) -> bool:
        """Whether every image and mask can be read and they fit each other."""
        return not any(self.problems[kind] for kind in _BLOCKING)

    def groups_table(self) -> pd.DataFrame:
        """Tabulate the groups, with the columns `id,class,group,exact_duplicate_of,conflict`."""
        conflicts = set(self.conflicts)
        return pd.DataFrame(
            {
                "id": id_,
                "class": id_.partition("/")[0],
                "group": group,
                "exact_duplicate_of": self.exact_duplicate_of.get(id_, ""),
                "conflict": id_ in conflicts,
            }
            for id_, group in self.groups.items()
        )

    def summary(self) -> dict[str, int]:
        """Count the findings, in the order in which they are shown."""
        sizes = pd.Series(self.groups).value_counts() if self.groups else pd.Series(dtype=int)
        groups = sizes[sizes > 1]
        return {
            **self.counts,
            **{kind: len(found) for kind, found in self.problems.items()},
            "exact_duplicates": len(self.exact_duplicate_of),
            "near_duplicate_groups": len(groups),
            "images_in_near_duplicate_groups": int(groups.sum()),
            "groups_with_several_classes": len({self.groups[id_] for id_ in self.conflicts}),
        }


@dataclass(frozen=True)
class _Look:
    """What one image and its masks tell when they are decoded."""

    broken: dict[str, UserError]
    print: Fingerprint | None = None
    colored: bool = False
    lesion: bool = False


def audit_folder(root: Path, progress: bool = True) -> Audit:
    """Decode every file of a data folder once and report what is there.

    Args:
        root: Folder in BUSI's layout, with any class names.
        progress: Whether to show progress bars on the standard error.
    """
    frame = read_index(root)

    def bar(things: Iterable[Any], what: str, total: int | None = None) -> Iterable[Any]:
        return tqdm(things, total=total, desc=what, disable=None if progress else True, leave=False)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = list(frame.itertuples(index=False))
        looks = list(bar(pool.map(lambda row: _look(root, row), rows), "decoding", len(rows)))

    read = [number for number, look in enumerate(looks) if look.print is not None]
    prints = [look.print for look in looks if look.print is not None]
    first: dict[bytes, str] = {}
    named = [(frame["id"][number], print_.digest) for number, print_ in zip(read, prints, strict=True)]
    exact = {id_: first[digest] for id_, digest in named if first.setdefault(digest, id_) != id_}
    pairs = matching_pairs(prints, progress=lambda things: bar(things, "comparing"))
    numbers = group_of(len(frame), [(read[one], read[other]) for one, other in pairs])
    groups = {id_: int(number) for id_, number in zip(frame["id"], numbers, strict=True)}

    classes: dict[int, set[str]] = {}
    for id_, group in groups.items():
        classes.setdefault(group, set()).add(id_.partition("/")[0])
    healthy = frame["class"] == HEALTHY
    lesion = np.array([look.lesion for look in looks])
    whole = np.array([not look.broken for look in looks])
    broken = {file: error for look in looks for file, error in look.broken.items()}
    misfits = sorted(file for file, error in broken.items() if isinstance(error, MaskSizeError))

    def ids(condition: "pd.Series[bool] | np.ndarray") -> list[str]:
        return frame.loc[np.asarray(condition), "id"].tolist()

    return Audit(
        counts={name: int(number) for name, number in frame["class"].value_counts().sort_index().items()}
        | {"images": len(frame), "masks": int(frame["masks"].map(len).sum())},
        problems={
            "unreadable": sorted(broken.keys() - misfits),
            "mask_size_mismatch": misfits,
            "image_without_mask": ids((frame["masks"].map(len) == 0) & ~healthy),
            "mask_without_image": orphan_masks(root),
            "normal_with_lesion": ids(healthy & lesion),
            "lesion_with_empty_mask": ids(~healthy & ~lesion & whole),
            "several_masks": ids(frame["masks"].map(len) > 1),
            "color_marks": ids(np.array([look.colored for look in looks])),
        },
        # The findings are kept by content, wherever the folder lies: without the root.
        broken={file: str(error).removeprefix(f"{root}/") for file, error in broken.items()},
        groups=groups,
        exact_duplicate_of=exact,
        conflicts=[id_ for id_, group in groups.items() if len(classes[group]) > 1],
        content=content_hash(root, frame),
    )


def cached_audit(root: Path, frame: pd.DataFrame, cache: Path) -> Audit:
    """Audit a folder, or take the findings of an earlier audit of the same content.

    Jobs that start together wait for the first; the file is written aside and renamed.

    Args:
        root: The data folder.
        frame: Its whole index, with every class.
        cache: Folder that keeps the findings, a file per content.

    Raises:
        UserError: When files change meanwhile.
    """
    content = known_content(root, frame, cache)
    name = f"audit-{VERSION}-{content[:16]}"
    path = cache / f"{name}.json"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{name}.lock"):
            if not path.is_file():
                for left in cache.glob(f".{path.name}.*"):  # by a process that was killed
                    left.unlink()
                audit = audit_folder(root)
                if audit.content != content:
                    raise UserError(f"{root} changed while it was audited: give the command again.")
                write_aside(path, json.dumps(asdict(audit)))
    return Audit(**json.loads(path.read_text()))


def _look(root: Path, row: Any) -> _Look:
    """Decode one image and its masks; all of them, so that every broken file is named."""
    broken: dict[str, UserError] = {}
    image, lesion = None, False
    try:
        image = read_image(root / row.image)
    except UserError as error:
        broken[row.image] = error
    for file in row.masks:
        try:
            mask = read_image(root / file) if image is None else read_mask(root, (file,), image.shape[:2])
            lesion = lesion or bool(mask.any())
        except UserError as error:
            broken[file] = error
    if image is None:
        return _Look(broken)
    colored = bool((np.ptp(image, axis=2) > _COLOR_SPREAD).sum() > _COLOR_PIXELS)
    return _Look(broken, fingerprint(image), colored, lesion)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0 when the folder can be trained on, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bus_lightning.data.audit", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="data folder (default: BUSI_ROOT, else data/...)")
    parser.add_argument("--out", type=Path, default=Path("audit"), help="where audit.json and groups.csv go")
    options = parser.parse_args(arguments)
    try:
        audit = audit_folder(find_root(options.folder))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1

    write_aside(options.out / "audit.json", json.dumps({"summary": audit.summary()} | asdict(audit), indent=1) + "\n")
    write_aside(options.out / "groups.csv", audit.groups_table().to_csv(index=False))
    table = Table("finding", "number", "for example", title=f"Audit of {find_root(options.folder)}")
    for finding, number in audit.summary().items():
        examples = [audit.broken.get(name, name) for name in audit.problems.get(finding, [])[:2]]
        table.add_row(
            finding.replace("_", " "),
            str(number),
            "\n".join(examples),
            style="red" if examples and finding in _BLOCKING else None,
        )
    console = Console()
    console.print(table)
    verdict = "can be trained on" if audit.trainable else "can not be trained on: mend the files in red"
    console.print(f"The folder {verdict}. Written: {options.out}/audit.json, {options.out}/groups.csv")
    return 0 if audit.trainable else 1


if __name__ == "__main__":
    sys.exit(main())
