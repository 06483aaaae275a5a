"""Diagnose a list of files: read, diagnose and write side by side, and continue after a bad file."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from bus_lightning.core.errors import UserError
from bus_lightning.data.levels import Scale
from bus_lightning.diagnosis.decoding import Decoders
from bus_lightning.diagnosis.diagnoser import Diagnoser, Diagnosis
from bus_lightning.diagnosis.frames import LARGE, Frame
from bus_lightning.diagnosis.reading import fingerprint
from bus_lightning.diagnosis.results import Results, frame_name


@dataclass
class File:
    """A file of the list."""

    path: Path  # no result or message shows it
    name: str  # in the results
    failure: str | None = None  # why it could not be diagnosed, a line without its path


@dataclass(frozen=True)
class _Item:
    """A frame of a file, or (None) the file's end, with the number of its frames if it may have several."""

    file: File
    frame: Frame | None = None
    frames: int | None = None


def name_files(paths: Sequence[Path]) -> list[File]:
    """Name files by position, from 1, and content; a file that cannot be read has a position and a failure."""
    digits = max(4, len(str(len(paths))))

    def name(number: int, path: Path) -> File:
        try:
            return File(path, f"{number:0{digits}d}-{fingerprint(path)}")
        except UserError as error:
            return File(path, f"{number:0{digits}d}", str(error))

    with ThreadPoolExecutor(2) as pool:  # reading and hashing release Python's lock
        return list(pool.map(name, range(1, len(paths) + 1), paths))


def diagnose_files(
    files: Sequence[File],
    diagnoser: Diagnoser,
    results: Results,
    decoders: Decoders,
    batch: int = 1,
    heat_map: bool = True,
    keep_names: bool = False,
    on_frame: Callable[[int], Any] = lambda number: None,
    on_file: Callable[[], Any] = lambda: None,
) -> None:
    """Diagnose files that have no results yet, a batch of frames at a time, and save the results.

    The decoders are closed at the end. A failure is stored in its file. `keep_names` writes the files' own names into
    the results; `on_frame` is called with the number of frames so far, `on_file` at the end of each file.

    Raises:
        OSError: When the results cannot be written.
    """
    numbers = count(1)

    def save(diagnosed: list[tuple[_Item, Diagnosis | None]]) -> None:
        for item, diagnosis in diagnosed:
            if item.frame is None:
                if item.frames is not None and item.file.failure is None:
                    results.finish_file(item.file.name, item.frames)
                on_file()
                continue
            if diagnosis is not None:
                source = printable_name(item.file.path) if keep_names else None
                try:
                    results.save(frame_name(item.file.name, item.frame.number), item.frame, diagnosis, source)
                except OSError:  # the next file could not be written either
                    raise
                except Exception as error:
                    item.file.failure = failure_line(error, "drawn")
            on_frame(next(numbers))

    saving: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1) as writer:
        with closing(_read_ahead(_read(files, results, decoders, diagnoser.bundle.scale), decoders)) as items:
            for items_of_batch in _batches(items, batch):
                is_large = _count_pixels(items_of_batch) > LARGE
                while len(saving) > (0 if is_large else 1):
                    saving.popleft().result()
                saving.append(writer.submit(save, _diagnose(items_of_batch, diagnoser, heat_map)))
                if is_large:
                    saving.popleft().result()
                del items_of_batch  # while the next ones are read
        for future in saving:
            future.result()


def printable_name(path: Path) -> str:
    """Write a path as text that any file can hold, whatever bytes it has."""
    return str(path).encode(errors="backslashreplace").decode()


def failure_line(error: Exception, attempted: str) -> str:
    """Say why a file failed; messages of libraries are not shown, because they may quote its name or header."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There is too little memory for it: make the image smaller."
    return f"It could not be {attempted} ({type(error).__name__}): save it as a PNG of 8 bits."


def _read(files: Iterable[File], results: Results, decoders: Decoders, scale: Scale) -> Iterator[_Item]:
    """Read the frames that have no results yet, and mark the end of each file."""
    for file in files:
        frames = None
        try:
            for frame in decoders.read(file.path, scale=scale)[1]:
                if frame.number is not None:
                    frames = frame.number + 1
                if not results.is_complete(frame_name(file.name, frame.number)):
                    yield _Item(file, frame)
        except Exception as error:
            file.failure = failure_line(error, "read")
        yield _Item(file, frames=frames)


def _read_ahead(items: Iterator[_Item], decoders: Decoders) -> Generator[_Item]:
    """Read each item in another thread while the one before it is used."""
    with ThreadPoolExecutor(1) as reader, closing(decoders):  # nobody waits for an image that is not used any more
        following = reader.submit(next, items, None)
        while (item := following.result()) is not None:
            following = reader.submit(next, items, None)
            yield item


def _batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Group items so that each group but the last has `size` frames, or fewer if they are large."""
    group: list[_Item] = []
    for item in items:
        group.append(item)
        if sum(member.frame is not None for member in group) == size or _count_pixels(group) > LARGE:
            yield group
            group = []
            del item
    yield group


def _count_pixels(items: list[_Item]) -> int:
    """Count the pixels of the frames."""
    return sum(item.frame.image.size // 3 for item in items if item.frame is not None)


def _diagnose(items: list[_Item], diagnoser: Diagnoser, heat_map: bool) -> list[tuple[_Item, Diagnosis | None]]:
    """Diagnose the frames of a batch together, or one by one if that fails."""
    frames = [item.frame for item in items if item.frame is not None]
    try:
        diagnoses = iter(diagnoser.diagnose(frames, heat_map))
    except Exception as error:
        if len(frames) > 1:
            return [pair for item in items for pair in _diagnose([item], diagnoser, heat_map)]
        next(item for item in items if item.frame is not None).file.failure = failure_line(error, "diagnosed")
        return [(item, None) for item in items]
    return [(item, None if item.frame is None else next(diagnoses)) for item in items]
