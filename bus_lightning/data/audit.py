"""Can this folder be trained on? Counts, broken files, odd masks, duplicates; and the groups that splits keep whole.

`python -m bus_lightning.data.audit DIR --out OUT` prints a table and writes `audit.json` and `groups.csv`.
"""

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from rich.console import Console
from rich.table import Table

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import write_aside
from bus_lightning.core.progress import watched
from bus_lightning.data.content import content_hash, known_content
from bus_lightning.data.duplicates import Fingerprint, group_of, matching_pairs
from bus_lightning.data.fingerprints import save_fingerprints
from bus_lightning.data.folder import Listing, describe, list_folder
from bus_lightning.data.index import MaskSizeError, find_root, read_image, read_index
from bus_lightning.data.looking import look_at
from bus_lightning.data.mask_files import find_mask_files
from bus_lightning.data.masks import MaskValueError

VERSION = 4  # part of the cache's key: raise it when a finding changes
HEALTHY = "normal"  # the class that has no lesion, by BUSI's name
DEFAULT_CACHE = Path("data/cache")  # as conf/data/default.yaml has it
_MASK_CURE = (
    "Put masks beside their image as <image>_mask.png, move them out of the folder, or leave them out with "
    "data.exclude=FILE.csv."
)
_BLOCKING = (
    "unreadable",
    "mask_among_images",
    "mask_size_mismatch",
    "mask_of_another_scale",
    "mask_unclear",
    "image_without_mask",
)


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
        rules: Mask file -> the rule by which it was read; only masks that do not have just two plain levels.
        bad_images: Image files (not masks) that cannot be used.
        prints: Id -> fingerprint of every image that could be read; empty for an audit from the cache, whose
            fingerprints are in a file beside it.
    """

    counts: dict[str, int]
    problems: dict[str, list[str]]
    broken: dict[str, str]
    groups: dict[str, int]
    exact_duplicate_of: dict[str, str]
    conflicts: list[str]
    content: str
    rules: dict[str, str]
    bad_images: list[str]
    prints: dict[str, Fingerprint] = field(default_factory=dict, compare=False, repr=False)

    @property
    def trainable(self) -> bool:
        """Whether some task can be trained on the folder as it is."""
        return bool(self.tasks)

    @property
    def tasks(self) -> list[str]:
        """The tasks that can be trained on the folder as it is: classification needs classes, segmentation masks."""
        if self.bad_images:
            return []
        classes = len(self.counts.keys() - {"images", "masks"})
        needs_none = ["classification"] if classes > 1 else []
        hinders = self.broken or self.problems["mask_of_another_scale"] or self.problems["image_without_mask"]
        return needs_none if hinders else [*needs_none, "segmentation"]

    def to_json(self) -> dict[str, Any]:
        """Return everything but the fingerprints, for a JSON file."""
        return {key: value for key, value in asdict(replace(self, prints={})).items() if key != "prints"}

    def say(self, name: str, finding: str = "") -> str:
        """Describe a finding about a file or an id, one of this kind if given, in a line that begins with its name."""
        if finding == "mask_read_by_rule":
            return f"{name}: {self.rules[name]}"
        if name in self.problems["mask_of_another_scale"]:
            return (
                f"{name} has the same proportions as its image, but another size: pass data.resize_masks=true, "
                "or leave the image out with data.exclude=FILE.csv."
            )
        rule = self.rules.get(name)
        return self.broken.get(name) or (f"{name}: {rule}" if rule else name)

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


def audit_folder(root: Path, progress: bool = True) -> Audit:
    """Decode every file of a data folder once and report what is there.

    Args:
        root: Folder in BUSI's layout, with any class names.
        progress: Whether to show the progress on the standard error.
    """
    frame = read_index(root)

    def shown(things: Any, what: str, total: int) -> Any:
        return watched(things, what, total) if progress else things

    rows = list(frame.rename(columns={"class": "class_name"}).itertuples(index=False))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = list(shown(pool.map(lambda row: look_at(root, row), rows), "decoding", len(rows)))

    prints = {row.id: look.print for row, look in zip(rows, looks, strict=True) if look.print is not None}
    first: dict[bytes, str] = {}
    exact = {id_: first[one.digest] for id_, one in prints.items() if first.setdefault(one.digest, id_) != id_}
    pairs = matching_pairs(list(prints.values()), lambda found: shown(found, "comparing", len(list(found))))
    read = [number for number, look in enumerate(looks) if look.print is not None]
    numbers = group_of(len(frame), [(read[one], read[other]) for one, other in pairs])
    groups = {id_: int(number) for id_, number in zip(frame["id"], numbers, strict=True)}

    classes: dict[int, set[str]] = {}
    for id_, group in groups.items():
        classes.setdefault(group, set()).add(id_.partition("/")[0])
    healthy = frame["class"] == HEALTHY
    lesion = np.array([look.lesion for look in looks])
    whole = np.array([not look.broken for look in looks])
    broken = {file: error for look in looks for file, error in look.broken.items()}
    likenesses = {row.id: look.likeness for row, look in zip(rows, looks, strict=True) if look.likeness}
    taken = find_mask_files(rows, likenesses, lambda file: read_image(root / file))
    broken |= {file: UserError(f"{root / file} {reason}. {_MASK_CURE}") for file, reason in taken.items()}
    misfits = sorted(file for file, error in broken.items() if isinstance(error, MaskSizeError))
    unclear = sorted(file for file, error in broken.items() if isinstance(error, MaskValueError))

    def ids(condition: "pd.Series[bool] | np.ndarray") -> list[str]:
        return frame.loc[np.asarray(condition), "id"].tolist()

    return Audit(
        counts={name: int(number) for name, number in frame["class"].value_counts().sort_index().items()}
        | {"images": len(frame), "masks": int(frame["masks"].map(len).sum())},
        problems={
            "unreadable": sorted(broken.keys() - {*misfits, *unclear, *taken}),
            "mask_among_images": sorted(taken),
            "mask_size_mismatch": misfits,
            "mask_of_another_scale": sorted(file for look in looks for file in look.resized),
            "mask_unclear": unclear,
            "mask_read_by_rule": sorted(file for look in looks for file in look.rules),
            "image_without_mask": ids((frame["masks"].map(len) == 0) & ~healthy),
            "mask_without_image": list_folder(root).orphans(),
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
        rules={file: rule for look in looks for file, rule in look.rules.items()},
        bad_images=sorted(broken.keys() & set(frame["image"])),
        prints=prints,
    )


def cached_audit(root: Path, frame: pd.DataFrame, cache: Path, listing: Listing | None = None) -> Audit:
    """Audit a folder, or take the findings of an earlier audit of the same content.

    Jobs that start together wait for the first; the file is written aside and renamed.

    Args:
        root: The data folder.
        frame: Its whole index, with every class.
        cache: Folder that keeps the findings, a file per content.
        listing: What `list_folder` returned for the folder; None lists it.

    Returns:
        The findings, without the fingerprints, which are in the file that `fingerprints_of` names.

    Raises:
        UserError: When files change meanwhile.
    """
    content = known_content(root, frame, cache)
    name = f"audit-{VERSION}-{content[:16]}"
    path, prints = cache / f"{name}.json", fingerprints_of(content, cache)
    if not (path.is_file() and prints.is_file()):
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{name}.lock"):
            if not (path.is_file() and prints.is_file()):
                for left in (*cache.glob(f".{path.name}.*"), *cache.glob(f".{prints.name}.*")):  # by a killed process
                    left.unlink()
                audit = audit_folder(root)
                if audit.content != content:
                    raise UserError(f"{root} changed while it was audited: give the command again.")
                save_fingerprints(prints, audit.prints)
                write_aside(path, json.dumps(audit.to_json()))
    audit = Audit(**json.loads(path.read_text()))
    # Masks without an image are not part of the content hash, so they are listed again.
    return replace(audit, problems=audit.problems | {"mask_without_image": (listing or list_folder(root)).orphans()})


def fingerprints_of(content: str, cache: Path) -> Path:
    """Return the path of the file with the fingerprints of a folder's images, named by the hash of its files."""
    return cache / f"fingerprints-{VERSION}-{content[:16]}.npz"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0 when some task can be trained on the folder, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bus_lightning.data.audit", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="data folder (default: BUSI_ROOT, else data/...)")
    parser.add_argument("--out", type=Path, default=Path("audit"), help="where audit.json and groups.csv go")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="findings kept for trainings (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        root = find_root(options.folder)
        listing = list_folder(root)
        audit = cached_audit(root, read_index(root, listing=listing), options.cache, listing)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1

    summary = audit.summary() | {"passed_over": len(listing.passed_over)}
    found = {"summary": summary, "passed_over": listing.passed_over} | audit.to_json()
    write_aside(options.out / "audit.json", json.dumps(found, indent=1) + "\n")
    write_aside(options.out / "groups.csv", audit.groups_table().to_csv(index=False))
    table = Table("finding", "number", "for example", title=f"Audit of {root}")
    for finding, number in summary.items():
        examples = [audit.say(name, finding) for name in audit.problems.get(finding, [])[:2]]
        table.add_row(
            finding.replace("_", " "),
            str(number),
            "\n".join(examples),
            style="red" if examples and finding in _BLOCKING else None,
        )
    console = Console()
    console.print(table)
    if listing.passed_over:
        console.print(f"Skipped: {describe(listing.passed_over)}.", markup=False)
    console.print(f"{_verdict(audit)} Written: {options.out}/audit.json, {options.out}/groups.csv", markup=False)
    return 0 if audit.trainable else 1


def _verdict(audit: Audit) -> str:
    """Say which tasks can be trained on a folder, and what prevents the others."""
    if audit.tasks:
        verdict = f"The folder can be trained on: {' and '.join(audit.tasks)}."
    else:
        verdict = "The folder cannot be trained on: fix the files in red."
    if audit.tasks == ["classification"]:
        without = len(audit.problems["image_without_mask"])
        bad = len(audit.broken) + len(audit.problems["mask_of_another_scale"])
        why = [f"{without} images have no mask"] * bool(without) + [f"{bad} masks cannot be used"] * bool(bad)
        verdict += f" Segmentation cannot: {' and '.join(why)}."
    return verdict


if __name__ == "__main__":
    sys.exit(main())
