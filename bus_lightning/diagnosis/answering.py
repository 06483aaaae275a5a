"""Answer a list of files: read, look at and write pictures side by side, and go on after a bad file."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus_lightning.core.errors import UserError
from bus_lightning.data.levels import Scale
from bus_lightning.diagnosis.diagnosing import Diagnoser, Diagnosis
from bus_lightning.diagnosis.frames import Frame
from bus_lightning.diagnosis.reading import fingerprint, read_frames
from bus_lightning.diagnosis.results import Results, frame_name

_AHEAD = 1  # pictures that are read, and batches that are written, beside the one that is looked at


@dataclass
class File:
    """One file of the list.

    Attributes:
        path: Where it is, which is not told.
        name: What it is called in the results.
        failure: Why it could not be answered, in a line without its own name.
    """

    path: Path
    name: str
    failure: str | None = None


@dataclass(frozen=True)
class _Item:
    """A picture of a file, or the file's end.

    Attributes:
        frame: The picture; None at the end.
        frames: At the end: how many there were, where the file may have several.
    """

    file: File
    frame: Frame | None = None
    frames: int | None = None


def name_files(paths: Sequence[Path]) -> list[File]:
    """Name files by position, from 1, and content; one that cannot be read has a position and a failure."""
    digits = max(4, len(str(len(paths))))

    def name(number: int, path: Path) -> File:
        try:
            return File(path, f"{number:0{digits}d}-{fingerprint(path)}")
        except UserError as error:
            return File(path, f"{number:0{digits}d}", str(error))

    with ThreadPoolExecutor(2) as pool:  # reading and hashing hold no lock
        return list(pool.map(name, range(1, len(paths) + 1), paths))


def answer_files(
    files: Sequence[File],
    diagnoser: Diagnoser,
    results: Results,
    batch: int = 1,
    heat_map: bool = True,
    keep_names: bool = False,
    tick: Callable[[bool], Any] = lambda ended: None,
) -> None:
    """Answer files and save what is found; what fails is noted in its file.

    Args:
        files: What to look at.
        diagnoser: Looks at it.
        results: Where it goes; frames that are there already are left as they are.
        batch: Pictures at once.
        heat_map: Whether to make heat maps.
        keep_names: Whether to write the files' own names into the results.
        tick: Called with False after each picture, and with True at the end of each file.

    Raises:
        OSError: When the results cannot be written.
    """

    def save(looked_at: list[tuple[_Item, Diagnosis | None]]) -> None:
        for item, found in looked_at:
            if item.frame is None:
                if item.frames is not None and item.file.failure is None:
                    results.finish_file(item.file.name, item.frames)
            elif found is not None:
                own = plain_name(item.file.path) if keep_names else None
                try:
                    results.save(frame_name(item.file.name, item.frame.number), item.frame, found, own)
                except OSError:  # the folder's fault, and the next file's too
                    raise
                except Exception as error:
                    item.file.failure = _reason(error, "drawn")
            tick(item.frame is None)

    saving: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1) as writer:
        with closing(_ahead(_read(files, results, diagnoser.bundle.scale))) as items:
            for together in _batches(items, batch):
                saving.append(writer.submit(save, _look(together, diagnoser, heat_map)))
                while len(saving) > _AHEAD:
                    saving.popleft().result()
        for future in saving:
            future.result()


def plain_name(path: Path) -> str:
    """Write a file's name as text that any file can hold, whatever bytes it has."""
    return str(path).encode(errors="backslashreplace").decode()


def _read(files: Iterable[File], results: Results, scale: Scale) -> Iterator[_Item]:
    """Read the pictures that are not answered yet, and tell where each file ends."""
    for file in files:
        frames = None
        try:
            for frame in read_frames(file.path, scale=scale):
                if frame.number is not None:
                    frames = frame.number + 1
                if not results.is_complete(frame_name(file.name, frame.number)):
                    yield _Item(file, frame)
        except Exception as error:
            file.failure = _reason(error, "read")
        yield _Item(file, frames=frames)


def _look(items: list[_Item], diagnoser: Diagnoser, heat_map: bool) -> list[tuple[_Item, Diagnosis | None]]:
    """Diagnose pictures at once, or one by one where that fails."""
    pictures = [item for item in items if item.frame is not None]
    try:
        found = diagnoser.diagnose([item.frame for item in pictures if item.frame is not None], heat_map)
    except Exception as error:
        if len(pictures) > 1:
            return [answered for item in items for answered in _look([item], diagnoser, heat_map)]
        pictures[0].file.failure = _reason(error, "looked at")
        return [(item, None) for item in items]
    answers = iter(found)
    return [(item, None if item.frame is None else next(answers)) for item in items]


def _reason(error: Exception, attempted: str) -> str:
    """Say why a file failed; what libraries say is kept back, for it may quote the file's name or header."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There is too little memory for it: make the picture smaller."
    return f"It could not be {attempted} ({type(error).__name__}): save it as a PNG of 8 bits."


def _batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Gather items until they hold as many pictures as go through the networks at once."""
    gathered: list[_Item] = []
    for item in items:
        gathered.append(item)
        if sum(held.frame is not None for held in gathered) == size:
            yield gathered
            gathered = []
    yield gathered


def _ahead(items: Iterator[_Item]) -> Generator[_Item]:
    """Take items in a thread of their own, a few ahead of who uses them."""
    waiting: queue.Queue[_Item | None] = queue.Queue(_AHEAD)
    stopped = threading.Event()

    def take() -> None:
        for item in items:
            waiting.put(item)
            if stopped.is_set():
                return
        waiting.put(None)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            yield item
    finally:
        stopped.set()
        while thread.is_alive():  # it may wait for room
            while not waiting.empty():
                waiting.get()
            thread.join(0.05)
