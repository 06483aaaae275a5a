"""Walk the directories of a TIFF, and those of a camera's notes (EXIF) in other files, and bound what they announce.

The values are counted before Pillow reads them, so that a small file cannot fill the memory.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase, BytesIO

from bus_lightning.data.structure_errors import excessive

_ENTRIES = 1_000  # in a directory; programs write up to a hundred
_VALUE_BYTES = 64_000_000  # in all directories
_NUMBERS = 1_000_000  # in one entry; one strip per row needs 65,535
_PAGES, _NOTES = 10_000, 20  # directories
# Kinds of values: their bytes, and the format of whole numbers. The first three are read as bytes.
_SIZES = {1: 1, 2: 1, 7: 1, 3: 2, 4: 4, 5: 8, 6: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_AS_BYTES, _WHOLE = (1, 2, 7), {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_BELOW = (34665, 34853, 40965)  # tags of the camera's notes that point to more of them
EXIF = b"Exif\0\0"  # how the camera's notes of a JPEG begin


@dataclass(frozen=True)
class Entry:
    """An entry of a directory: the kind and number of its values, and their byte offset."""

    kind: int
    number: int
    at: int


class Tags:
    """A file of directories.

    Raises:
        UserError: While walking, in one line without the file's name, when it announces too much.
    """

    def __init__(self, stream: BufferedIOBase, name: str = "TIFF") -> None:
        self._stream, self._name = stream, name
        self.bytes = stream.seek(0, 2)
        stream.seek(0)
        head = stream.read(4)
        self._order = ">" if head.startswith(b"MM") else "<"
        self._big = 43 in head[2:4]
        self._offset, self._offset_bytes = ("Q", 8) if self._big else ("I", 4)
        self._left = _VALUE_BYTES

    def pages(self) -> Iterator[dict[int, Entry]]:
        """Walk over the directories, each of which describes a page: tag -> entry."""
        at = self._read(self._offset, 8 if self._big else 4)
        visited: set[int] = set()
        while at and at not in visited:
            visited.add(at)
            if len(visited) > _PAGES:
                raise excessive(self._name, f"more than {_PAGES} pages")
            entries, at = self._directory(at)
            yield entries

    def check_notes(self) -> None:
        """Check the directories of a camera's notes and those that they point to."""
        directories, visited = [self._read(self._offset, 8 if self._big else 4)], set[int]()
        while directories:
            at = directories.pop()
            if at in visited:
                continue
            visited.add(at)
            if len(visited) > _NOTES:
                raise excessive(self._name, f"more than {_NOTES} directories of the camera")
            entries, _ = self._directory(at)
            directories += [self._read(self._offset, entries[tag].at) for tag in _BELOW if tag in entries]

    def whole(self, entry: Entry | None, default: int, most: int = _NUMBERS) -> list[int]:
        """Read the whole numbers of an entry, at most so many; the default if it is missing or holds others."""
        if entry is None or entry.kind not in _WHOLE or not entry.number:
            return [default]
        number = min(entry.number, most)
        layout = f"{self._order}{number}{_WHOLE[entry.kind]}"
        return list(struct.unpack(layout, self.bytes_at(entry.at, struct.calcsize(layout))))

    def bytes_at(self, at: int, number: int) -> bytes:
        """Read bytes; fewer at the end of the file."""
        self._stream.seek(at)
        return self._stream.read(number)

    def _read(self, layout: str, at: int) -> int:
        size = struct.calcsize(f"{self._order}{layout}")
        return int(struct.unpack(f"{self._order}{layout}", self.bytes_at(at, size))[0])

    def _directory(self, at: int) -> tuple[dict[int, Entry], int]:
        """Read the entries of a directory, and the offset of the next one; 0 after the last."""
        count_bytes, entry_bytes = (8, 20) if self._big else (2, 12)
        number = self._read("Q" if self._big else "H", at)
        if number > _ENTRIES:
            raise excessive(self._name, f"{number} entries in a directory")
        table = self.bytes_at(at + count_bytes, number * entry_bytes)
        entries: dict[int, Entry] = {}
        for start in range(0, len(table) - entry_bytes + 1, entry_bytes):
            tag, kind, values = struct.unpack_from(f"{self._order}HH{self._offset}", table, start)
            if kind not in _SIZES:
                continue
            value_at = at + count_bytes + start + entry_bytes - self._offset_bytes
            size = values * _SIZES[kind]
            if size > self._offset_bytes:
                value_at = self._read(self._offset, value_at)
                size = max(0, min(size, self.bytes - value_at))
                self._left -= size
            if self._left < 0 or (kind not in _AS_BYTES and size // _SIZES[kind] > _NUMBERS):
                raise excessive(self._name, "long values in its directories")
            entries[tag] = Entry(kind, values, value_at)
        following = at + count_bytes + number * entry_bytes
        return entries, self._read(self._offset, following) if following + self._offset_bytes <= self.bytes else 0


def check_exif(notes: bytes) -> None:
    """Check the notes of a camera in a picture file.

    Raises:
        UserError: In one line without the file's name, when they announce too much.
    """
    while notes.startswith(EXIF):
        notes = notes[len(EXIF) :]
    if len(notes) < 8:
        return
    try:
        Tags(BytesIO(notes), "picture's EXIF").check_notes()
    except struct.error:  # cut off: Pillow ignores the rest, too
        return
