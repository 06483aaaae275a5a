"""Find the files that a table or a JSON names, below the root of a data set."""

import re
import unicodedata
from bisect import bisect_left
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath, PureWindowsPath

from bus_lightning.core.errors import UserError
from bus_lightning.data.file_kinds import PICTURES

_DRIVE = re.compile(r"[A-Za-z]:")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class Places:
    """The files below a root; each folder that is asked for is listed once.

    Args:
        root: The root of the data set.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed: dict[str, list[str]] = {}
        self._folded: dict[str, dict[str, list[str]]] = {}

    def path_below(self, cell: str, where: str, folder: str = "") -> str:
        """Return a path that a table names as a path below the root; it need not exist.

        Args:
            cell: The path, with slashes or backslashes; an absolute one must lead into the root.
            where: The table and row, for messages.
            folder: The folder below the root that the path is relative to.

        Raises:
            UserError: If it leads elsewhere.
        """
        text = cell.replace("\\", "/")
        if _ADDRESS.match(text):
            raise UserError(f"{where}: {cell} is an address: download the files, and name them below {self.root}.")
        if PurePosixPath(text).is_absolute() or PureWindowsPath(cell).is_absolute() or _DRIVE.match(text):
            return self._from_absolute(cell, text, where)
        parts = PurePosixPath(f"{folder}/{text}" if folder else text).parts
        if ".." in parts:
            raise UserError(
                f"{where}: {cell} leads out of {self.root}: set data.root to a folder that holds all images."
            )
        return "/".join(parts)

    def _from_absolute(self, cell: str, text: str, where: str) -> str:
        for root in (self.root.absolute(), self.root.resolve()):
            if text.startswith(f"{root.as_posix()}/") and ".." not in PurePosixPath(text).parts:
                return PurePosixPath(text).relative_to(root.as_posix()).as_posix()
        parts = PurePosixPath(text).parts
        tails = ("/".join(parts[start:]) for start in range(1, len(parts)))
        known = next((tail for tail in tails if ".." not in tail and self.find(tail)), None)
        cure = f", such as {known}" if known else ""
        raise UserError(
            f"{where}: {cell} is a path of another machine or folder: write paths relative to {self.root}{cure}."
        )

    def find(self, file: str) -> str | None:
        """Find a file below the root, and return its path as the folders spell it; None if there is none.

        If there is no file of just this name, one is taken that is alone in differing by upper and lower case or the
        composition of accents, or that has the extension of a picture in addition.
        """
        spelled: list[str] = []
        *folders, name = file.split("/")
        for folder in folders:
            if (known := self._same("/".join(spelled), folder)) is None:
                return None
            spelled.append(known)
        place = "/".join(spelled)
        known = self._same(place, name)
        if known is None:
            stems = [f"{name}{ending}" for ending in PICTURES]
            with_ending = [other for stem in stems if (other := self._same(place, stem))]
            known = with_ending[0] if len(set(with_ending)) == 1 else None
        if known is None:
            return None
        path = f"{place}/{known}" if place else known
        return path if (self.root / path).is_file() else None

    def match(self, pattern: str) -> list[str]:
        """List the files that fit a path below the root, in which `*` stands for any text within a name."""
        places = [""]
        for part in PurePosixPath(pattern).parts:
            places = [f"{place}/{name}" if place else name for place in places for name in self._matching(place, part)]
        return sorted(place for place in places if (self.root / place).is_file())

    def _matching(self, place: str, part: str) -> list[str]:
        names = self._list(place)
        if "*" not in part:
            return [known] if (known := self._same(place, part)) else []
        start = part.partition("*")[0]
        matching = []
        for name in names[bisect_left(names, start) :]:
            if not name.startswith(start):
                break
            if not name.startswith(".") and fnmatchcase(name, re.sub(r"[\[?]", r"[\g<0>]", part)):
                matching.append(name)
        return matching

    def _same(self, place: str, name: str) -> str | None:
        names = self._list(place)
        position = bisect_left(names, name)
        if position < len(names) and names[position] == name:
            return name
        if place not in self._folded:
            self._folded[place] = {}
            for known in names:
                self._folded[place].setdefault(_fold(known), []).append(known)
        matches = self._folded[place].get(_fold(name), [])
        return matches[0] if len(matches) == 1 else None

    def _list(self, place: str) -> list[str]:
        if place not in self._listed:
            self._listed[place] = []
            with suppress(OSError, ValueError):  # no such folder
                self._listed[place] = sorted(path.name for path in (self.root / place).iterdir())
        return self._listed[place]


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
