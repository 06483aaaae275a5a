"""Check whether a folder can be trained on: counts, broken files, odd masks, duplicates.

`python -m bus_lightning.data.audit` runs the command of `audit_command`.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
from filelock import FileLock

from bus_lightning.core.cache import caching, cleared, is_whole, read_cached, write_cached
from bus_lightning.core.class_names import HEALTHY
from bus_lightning.core.errors import UserError
from bus_lightning.core.progress import watched
from bus_lightning.data.content import content_hash, findings_key, known_content
from bus_lightning.data.duplicates import Fingerprint, group_of, make_fingerprint, matching_pairs
from bus_lightning.data.findings import Audit
from bus_lightning.data.fingerprints import save_fingerprints
from bus_lightning.data.index import MaskSizeError, read_image, read_single_mask, rows_of
from bus_lightning.data.mask_files import Likeness, find_mask_files, measure_likeness
from bus_lightning.data.masks import MaskValueError
from bus_lightning.data.measures import Measures, by_column, measure_image
from bus_lightning.data.sources.source_index import SourceIndex

VERSION = 7  # part of the cache's key: raise it when a finding changes
DEFAULT_CACHE = Path("data/cache")  # as in conf/data/default.yaml
_MASK_CURE = (
    "Put masks next to their image as <image>_mask.png, move them out of the folder, or leave them out with "
    "data.exclude=FILE.csv."
)


@dataclass(frozen=True)
class _Decoded:
    """The findings about one image and its masks; without a fingerprint, the image could not be read."""

    broken: dict[str, UserError]
    rules: dict[str, str]
    resized: list[str]
    fingerprint: Fingerprint | None = None
    likeness: Likeness | None = None
    has_lesion: bool = False
    measures: Measures | None = None


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

    with _single_threads_of_opencv(), ThreadPoolExecutor(os.cpu_count()) as pool:
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
    return Audit(
        counts={name: int(count) for name, count in frame["class"].value_counts().sort_index().items()}
        | {"images": len(frame), "masks": int(frame["masks"].map(len).sum())},
        problems=_list_problems(index, decoded, broken, mask_files),
        # Without the root: the cache keeps the findings by content, wherever the folder is.
        broken={file: str(error).removeprefix(f"{root}/") for file, error in broken.items()},
        groups=dict(zip(frame["id"], groups.tolist(), strict=True)),
        exact_duplicate_of=exact,
        conflicts=frame.loc[frame.groupby(groups)["class"].transform("nunique") > 1, "id"].tolist(),
        content=content_hash(root, frame),
        rules={file: rule for image in decoded for file, rule in image.rules.items()},
        bad_images=sorted(broken.keys() & set(frame["image"])),
        measures=by_column(image.measures for image in decoded),
        fingerprints=fingerprints,
    )


def _list_problems(
    index: SourceIndex, decoded: Sequence[_Decoded], broken: Mapping[str, UserError], mask_files: Mapping[str, str]
) -> dict[str, list[str]]:
    """List the findings by kind, as `Audit.problems` has them; `decoded` is in the order of the index."""
    frame = index.frame
    mismatched = sorted(file for file, error in broken.items() if isinstance(error, MaskSizeError))
    unclear = sorted(file for file, error in broken.items() if isinstance(error, MaskValueError))
    number, healthy = frame["masks"].map(len), frame["class"] == HEALTHY
    lesion, whole, colored = (
        pd.Series(values, index=frame.index, dtype=bool)
        for values in (
            [image.has_lesion for image in decoded],
            [not image.broken for image in decoded],
            [image.measures is not None and image.measures.colored for image in decoded],
        )
    )

    def ids(condition: "pd.Series[bool]") -> list[str]:
        return frame.loc[condition, "id"].tolist()

    return {
        "unreadable": sorted(broken.keys() - {*mismatched, *unclear, *mask_files}),
        "mask_among_images": sorted(mask_files),
        "mask_size_mismatch": mismatched,
        "mask_of_another_scale": sorted(file for image in decoded for file in image.resized),
        "mask_unclear": unclear,
        "mask_read_by_rule": sorted(file for image in decoded for file in image.rules),
        "image_without_mask": ids((number == 0) & ~healthy),
        "mask_without_image": index.orphans,
        "normal_with_lesion": ids(healthy & lesion),
        "lesion_with_empty_mask": ids(~healthy & ~lesion & whole),
        "several_masks": ids(number > 1),
        "color_marks": ids(colored),
    }


@contextmanager
def _single_threads_of_opencv() -> Iterator[None]:
    """Let OpenCV use one thread per image: images are decoded in parallel already, so more threads would only wait."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _decode(root: Path, row: Any) -> _Decoded:
    """Decode the image of a row and all of its masks, also after an error: every broken file is named."""
    broken: dict[str, UserError] = {}
    rules: dict[str, str] = {}
    resized: list[str] = []
    image, lesion = None, None
    try:
        image = read_image(root / row.image)
    except UserError as error:
        broken[row.image] = error
    for file in row.masks:
        try:
            mask, rule, is_resized = read_single_mask(root / file, image.shape[:2] if image is not None else None)
        except UserError as error:
            broken[file] = error
            continue
        rules |= {file: rule} if rule else {}
        resized += [file] if is_resized else []
        if image is not None:
            lesion = mask if lesion is None else lesion | mask
    if image is None:
        return _Decoded(broken, {}, [])
    has_lesion = lesion is not None and bool(lesion.any())
    measures = measure_image(image, None if broken else lesion)
    return _Decoded(broken, rules, resized, make_fingerprint(image), measure_likeness(image), has_lesion, measures)


def cached_audit(root: Path, index: SourceIndex, cache: Path) -> Audit:
    """Audit a folder, or read the findings of an earlier audit of its content and ids; concurrent jobs audit once.

    Args:
        root: The data folder.
        index: Its whole index, with every class.
        cache: Folder that keeps the findings, a file per content and ids.

    Returns:
        The findings, without the fingerprints, which are in the file of `fingerprints_of`.

    Raises:
        UserError: If files change meanwhile.
    """
    content = known_content(root, index.frame, cache)
    key = findings_key(content, index.frame)
    name = f"audit-{VERSION}-{key[:16]}"
    path, fingerprints = cache / f"{name}.json", fingerprints_of(key, cache)
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


def fingerprints_of(key: str, cache: Path) -> Path:
    """Return the path of the file with the fingerprints of an index's images, named by its `findings_key`."""
    return cache / f"fingerprints-{VERSION}-{key[:16]}.npz"


if __name__ == "__main__":
    from bus_lightning.data.audit_command import main  # imports this module

    sys.exit(main())
