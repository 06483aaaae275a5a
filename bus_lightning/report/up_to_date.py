"""Tell whether a report shows its runs as they are now, so that it need not be made again.

A record says what a report was made from: the options, this program and its libraries, and the content of every folder
that was read. It is kept next to the cached summaries and holds hashes, and the warnings of that time. A report with
such a record is up to date while all of these are the same, and its own files are still those that were written: their
inodes and times of change count, so that a report which came from elsewhere, with a record or without, is always made
again.
"""

import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from bus_lightning.core.cache import keep_cached, read_cached
from bus_lightning.core.folder_content import digest_folder, version_of

log = logging.getLogger(__name__)

SUMMARIES = ".summaries"  # folder in a group for what is kept from one report to the next
_PACKAGE = Path(__file__).parents[1]
_NOT_READ = {"wandb", "fingerprints.npz", "train.log"}  # in a run, but read by no report
_BY_TIME = {"checkpoints"}  # a report tells the size of a checkpoint and does not open it
_PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".dcm"}


def find_summaries(group: Path) -> Path | None:
    """Return the folder in which a group keeps its summaries; None if the group cannot be written."""
    return group / SUMMARIES if os.access(group, os.W_OK) else None


class MadeFrom:
    """What a report is made from, as it was when this object was made.

    Args:
        out: Folder of the report.
        groups: The groups of runs.
        options: What else decides what the report shows: option -> value.
        packages: Further folders of code that adds to the report.

    Attributes:
        warnings: What was logged as a warning when the report was made; a kept report repeats it.
    """

    def __init__(
        self, out: Path, groups: Sequence[Path], options: Mapping[str, Any], packages: Sequence[Path] = ()
    ) -> None:
        self._out = out
        self._groups = list(dict.fromkeys(groups))
        self._file = groups[0] / SUMMARIES / f"report-{_hash(str(out.resolve()))}.json"
        self._command = _hash(json.dumps([sorted(options.items()), *_program(packages)], default=str))
        self._sources = {str(group): self._digest(group) for group in self._groups}
        self.warnings: list[str] = []

    def is_shown(self) -> bool:
        """Say whether the report was made from the same and is still whole; then take over its warnings."""
        record = read_cached(self._file, json.loads)
        if not isinstance(record, dict) or record.get("command") != self._command:
            return False
        sources, files = record.get("sources"), record.get("files")
        if not isinstance(sources, dict) or not isinstance(files, dict) or not files:
            return False
        if any(sources.get(group) != digest for group, digest in self._sources.items()):
            return False
        others = sources.keys() - self._sources.keys()
        if files != _versions(self._out) or any(self._digest(Path(other)) != sources[other] for other in others):
            return False
        self.warnings = [str(line) for line in record.get("warnings") or ()]
        return True

    @contextmanager
    def keeping_warnings(self) -> Iterator[None]:
        """Keep what is logged as a warning while the block runs."""
        self.warnings = []
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: self.warnings.append(record.getMessage())  # type: ignore[method-assign]
        logger = logging.getLogger(_PACKAGE.name)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)

    def add(self, paths: Iterable[Path]) -> None:
        """Add what the runs lead to, before it is read: data folders, and runs in other groups."""
        for path in paths:
            if str(path) not in self._sources and not any(map(path.is_relative_to, self._groups)):
                self._sources[str(path)] = self._digest(path)

    def record(self) -> None:
        """Record that the report shows this; a folder that cannot be written has no record."""
        content = {"command": self._command, "sources": self._sources, "files": _versions(self._out),
                   "warnings": self.warnings}  # fmt: skip
        keep_cached(self._file, json.dumps(content).encode())

    def forget(self) -> None:
        """Remove the record, before the report is replaced."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _digest(self, path: Path) -> str:
        """Hash a group, a run, a folder of images or a file."""
        is_group = path in self._groups
        out = self._out.absolute()

        def skip(inner: Path) -> bool:
            is_no_run = inner.parent == path and (inner.name.startswith(".") or inner.name == "report")
            return inner.absolute() == out or (is_group and (is_no_run or inner.name in _NOT_READ))

        def by_time(inner: Path) -> bool:
            return inner.parent.name in _BY_TIME or (not is_group and inner.suffix.lower() in _PICTURES)

        return digest_folder(path, skip, by_time)


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Let one process at a time make a report; the others wait, and say so.

    Without a lock, where none can be made: the report itself says why it cannot be written.
    """
    file = out.with_name(f".{out.name}.lock")
    lock: BaseFileLock | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            file.touch()  # filelock also waits where no file can be made, for ever
            log.warning("Another process is writing %s; waiting until it has finished.", out)
            lock.acquire()
    except (OSError, NotImplementedError):
        lock = None
    try:
        yield
    finally:
        if lock:
            with suppress(OSError):
                file.unlink()  # before the release: who waits notices, and makes a new one
            lock.release()


def _program(packages: Sequence[Path]) -> list[str]:
    """Identify the code, the libraries and where the command runs."""
    code = [digest_folder(folder, lambda path: path.name == "__pycache__") for folder in (_PACKAGE, *packages)]
    folders = [folder for folder in map(Path, sys.path) if folder.is_dir()]
    libraries = sorted({path.name for folder in folders for path in folder.glob("*-info")})
    roots = sorted(f"{name}={value}" for name, value in os.environ.items() if name.endswith("_ROOT"))
    return [*code, *libraries, *roots, sys.version, str(Path.cwd())]


def _versions(folder: Path) -> dict[str, list[int]]:
    """Tell the versions of all files in a folder: path -> inode, size and times."""
    versions = {}
    for path in sorted(folder.rglob("*")):
        with suppress(OSError):
            if not path.is_dir():
                versions[str(path.relative_to(folder))] = version_of(path.lstat())
    return versions


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=12).hexdigest()
