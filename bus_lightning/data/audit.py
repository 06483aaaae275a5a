"""Check whether a folder can be trained on: counts, broken files, odd masks, duplicates.

`python -m bus_lightning.data.audit DIR --out OUT` prints a table and writes `audit.json` and `groups.csv`, the groups
of near-duplicates that splits keep whole.
"""

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from rich.table import Table
from rich.text import Text

from bus_lightning.core.cache import caching, cleared, is_whole, read_cached, write_cached
from bus_lightning.core.class_names import HEALTHY
from bus_lightning.core.console import PrintableConsole
from bus_lightning.core.csv_files import write_csv
from bus_lightning.core.errors import UserError, disk_trouble
from bus_lightning.core.files import aside, write_aside
from bus_lightning.core.printable import printable
from bus_lightning.core.progress import watched
from bus_lightning.data.content import content_hash, known_content
from bus_lightning.data.duplicates import Fingerprint, group_of, make_fingerprint, matching_pairs
from bus_lightning.data.findings import Audit
from bus_lightning.data.fingerprints import save_fingerprints
from bus_lightning.data.index import MaskSizeError, read_image, read_single_mask, rows_of
from bus_lightning.data.listing import describe_skipped
from bus_lightning.data.mask_files import Likeness, find_mask_files, measure_likeness
from bus_lightning.data.masks import MaskValueError
from bus_lightning.data.sources.registry import read_sets
from bus_lightning.data.sources.source_index import SourceIndex

VERSION = 5  # part of the cache's key: raise it when a finding changes
DEFAULT_CACHE = Path("data/cache")  # as in conf/data/default.yaml
_COLOR_SPREAD, _COLOR_PIXELS = 5, 20  # grey levels between channels, pixels: BUSI has 16 such images, other sets none
_MASK_CURE = (
    "Put masks next to their image as <image>_mask.png, move them out of the folder, or leave them out with "
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
class _Decoded:
    """The findings about one image and its masks; without a fingerprint, the image could not be read."""

    broken: dict[str, UserError]
    rules: dict[str, str]
    resized: list[str]
    lesion: bool
    fingerprint: Fingerprint | None = None
    likeness: Likeness | None = None
    colored: bool = False


def audit_folder(root: Path, index: SourceIndex, progress: bool = True) -> Audit:
    """Decode every file of a data folder once and collect the findings.

    Args:
        root: The data folder.
        index: Its index, as a source gives it.
        progress: Whether to show the progress on the standard error.
    """
    frame = index.frame
    rows = rows_of(frame)

    def watch(items: Any, verb: str, total: int) -> Any:
        return watched(items, verb, total) if progress else items

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoded = list(watch(pool.map(lambda row: _decode(root, row), rows), "decoding", len(rows)))
    by_row = list(zip(rows, decoded, strict=True))

    fingerprints = {row.id: image.fingerprint for row, image in by_row if image.fingerprint}
    first: dict[bytes, str] = {}
    exact = {id_: first[f.digest] for id_, f in fingerprints.items() if first.setdefault(f.digest, id_) != id_}
    pairs = matching_pairs(
        list(fingerprints.values()), lambda candidates: watch(candidates, "comparing", len(list(candidates)))
    )
    readable = [position for position, image in enumerate(decoded) if image.fingerprint]
    groups = group_of(len(frame), [(readable[i], readable[j]) for i, j in pairs])

    broken = {file: error for image in decoded for file, error in image.broken.items()}
    likenesses = {row.id: image.likeness for row, image in by_row if image.likeness}
    mask_files = find_mask_files(rows, likenesses, lambda file: read_image(root / file))
    broken |= {file: UserError(f"{root / file} {reason}. {_MASK_CURE}") for file, reason in mask_files.items()}
    mismatched = sorted(file for file, error in broken.items() if isinstance(error, MaskSizeError))
    unclear = sorted(file for file, error in broken.items() if isinstance(error, MaskValueError))
    rules = {file: rule for image in decoded for file, rule in image.rules.items()}
    number, healthy = frame["masks"].map(len), frame["class"] == HEALTHY
    lesion, whole = (pd.Series(values) for values in zip(*((d.lesion, not d.broken) for d in decoded), strict=True))

    def ids(condition: "pd.Series[bool]") -> list[str]:
        return frame.loc[condition, "id"].tolist()

    return Audit(
        counts={name: int(count) for name, count in frame["class"].value_counts().sort_index().items()}
        | {"images": len(frame), "masks": int(number.sum())},
        problems={
            "unreadable": sorted(broken.keys() - {*mismatched, *unclear, *mask_files}),
            "mask_among_images": sorted(mask_files),
            "mask_size_mismatch": mismatched,
            "mask_of_another_scale": sorted(file for image in decoded for file in image.resized),
            "mask_unclear": unclear,
            "mask_read_by_rule": sorted(rules),
            "image_without_mask": ids((number == 0) & ~healthy),
            "mask_without_image": index.orphans,
            "normal_with_lesion": ids(healthy & lesion),
            "lesion_with_empty_mask": ids(~healthy & ~lesion & whole),
            "several_masks": ids(number > 1),
            "color_marks": [row.id for row, image in by_row if image.colored],
        },
        # Without the root: the cache keeps the findings by content, wherever the folder is.
        broken={file: str(error).removeprefix(f"{root}/") for file, error in broken.items()},
        groups=dict(zip(frame["id"], groups.tolist(), strict=True)),
        exact_duplicate_of=exact,
        conflicts=ids(frame.groupby(groups)["class"].transform("nunique") > 1),
        content=content_hash(root, frame),
        rules=rules,
        bad_images=sorted(broken.keys() & set(frame["image"])),
        fingerprints=fingerprints,
    )


def _decode(root: Path, row: Any) -> _Decoded:
    """Decode the image of a row and all of its masks, also after an error: every broken file is named."""
    broken: dict[str, UserError] = {}
    rules: dict[str, str] = {}
    resized: list[str] = []
    image, lesion = None, False
    try:
        image = read_image(root / row.image)
    except UserError as error:
        broken[row.image] = error
    for file in row.masks:
        try:
            mask, rule, is_resized = read_single_mask(root / file, image.shape[:2] if image is not None else None)
            lesion = lesion or bool(mask.any())
            rules |= {file: rule} if rule else {}
            resized += [file] if is_resized else []
        except UserError as error:
            broken[file] = error
    if image is None:
        return _Decoded(broken, {}, [], lesion=False)
    colored = bool((np.ptp(image, axis=2) > _COLOR_SPREAD).sum() > _COLOR_PIXELS)
    return _Decoded(broken, rules, resized, lesion, make_fingerprint(image), measure_likeness(image), colored)


def cached_audit(root: Path, index: SourceIndex, cache: Path) -> Audit:
    """Audit a folder, or read the findings of an earlier audit of the same content; concurrent jobs audit once.

    Args:
        root: The data folder.
        index: Its whole index, with every class.
        cache: Folder that keeps the findings, a file per content.

    Returns:
        The findings, without the fingerprints, which are in the file of `fingerprints_of`.

    Raises:
        UserError: If files change meanwhile.
    """
    content = known_content(root, index.frame, cache)
    name = f"audit-{VERSION}-{content[:16]}"
    path, fingerprints = cache / f"{name}.json", fingerprints_of(content, cache)
    audit = _known(path, fingerprints)
    if audit is None:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cleared(cache / f"{name}.lock")):
            audit = _known(path, fingerprints) or _make_audit(root, index, content, path, fingerprints)
    # Masks without an image are not part of the content hash, so they are listed again.
    return replace(audit, problems=audit.problems | {"mask_without_image": index.orphans})


def _known(path: Path, fingerprints: Path) -> Audit | None:
    """Read the findings of an earlier audit; None without them or without the fingerprints."""
    return read_cached(path, lambda content: Audit(**json.loads(content))) if is_whole(fingerprints) else None


def _make_audit(root: Path, index: SourceIndex, content: str, path: Path, fingerprints: Path) -> Audit:
    """Audit a folder whose files have this hash, and keep the findings."""
    for leftover in (*path.parent.glob(f".*{path.name}.*"), *path.parent.glob(f".*{fingerprints.name}.*")):
        with suppress(OSError):
            leftover.unlink()  # of a killed process
    audit = audit_folder(root, index)
    if audit.content != content:
        raise UserError(f"{root} changed while it was audited: run the command again.")
    with caching(fingerprints) as temporary:
        save_fingerprints(temporary, audit.fingerprints)
    findings = json.dumps(audit.to_json())
    write_cached(path, findings.encode())
    return Audit(**json.loads(findings))


def fingerprints_of(content: str, cache: Path) -> Path:
    """Return the path of the file with the fingerprints of a folder's images, named by the hash of its files."""
    return cache / f"fingerprints-{VERSION}-{content[:16]}.npz"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0 if some task can be trained on the folder, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bus_lightning.data.audit", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="data folder (default: BUSI_ROOT, else data/...)")
    parser.add_argument("--out", type=Path, default=Path("audit"), help="folder for audit.json and groups.csv")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="cache of training (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        (dataset,) = read_sets({"root": options.folder})
        root, index = dataset.root, dataset.index
        audit = cached_audit(root, index, options.cache)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        return _report_trouble(error, options)

    summary = audit.summary() | {"passed_over": len(index.skipped)}
    content = {"summary": summary, "passed_over": index.skipped} | audit.to_json()
    try:
        write_aside(options.out / "audit.json", json.dumps(content, indent=1) + "\n")
        with aside(options.out / "groups.csv") as path:
            write_csv(audit.groups_table(index.frame), path)
    except OSError as error:
        return _report_trouble(error, options)
    table = Table("finding", "number", "for example", title=Text(f"Audit of {root}"))
    for finding, number in summary.items():
        examples = [audit.describe(name, finding) for name in audit.problems.get(finding, [])[:2]]
        style = "red" if examples and finding in _BLOCKING else None
        table.add_row(finding.replace("_", " "), str(number), Text("\n".join(map(printable, examples))), style=style)
    console = PrintableConsole()
    console.print(table)
    if index.skipped:
        console.print(f"Skipped: {describe_skipped(index.skipped)}.", markup=False)
    console.print(f"{_verdict(audit)} Written: {options.out}/audit.json, {options.out}/groups.csv", markup=False)
    return 0 if audit.tasks else 1


def _report_trouble(error: OSError, options: argparse.Namespace) -> int:
    """Print which folder cannot be read or written, and return the exit code."""
    trouble = disk_trouble(error, {"--out": options.out, "--cache": options.cache})
    if not trouble:
        raise error
    print(trouble, file=sys.stderr)
    return 1


def _verdict(audit: Audit) -> str:
    """Say which tasks can be trained on a folder, and what prevents the others."""
    if not audit.tasks:
        return "The folder cannot be used for training: fix the files in red."
    verdict = f"The folder can be used for {' and '.join(audit.tasks)}."
    if audit.tasks == ["classification"]:
        without = len(audit.problems["image_without_mask"])
        bad = len(audit.broken) + len(audit.problems["mask_of_another_scale"])
        reasons = [f"{without} images have no mask"] * bool(without) + [f"{bad} masks cannot be used"] * bool(bad)
        verdict += f" Not for segmentation: {' and '.join(reasons)}."
    return verdict


if __name__ == "__main__":
    sys.exit(main())
