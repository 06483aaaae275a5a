"""Read the values of a bundle's manifest, which others may have made, by their types and ranges."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, NoReturn, TypeVar

from bus_lightning.core.errors import UserError
from bus_lightning.data.levels import DEPTHS, OWN_SCALE, Scale
from bus_lightning.data.preprocess import RULES, Overlay, Preprocessing
from bus_lightning.diagnosis.trained_on import Trained, TrainingData, from_card

T = TypeVar("T")
_LARGEST_SIDE = 2048  # pixels of a network's square


@dataclass(frozen=True)
class Entry:
    """A value of a manifest, and its place, such as `segmenter.mean`.

    Every method raises a ValueError that names the place if the value is of another type or out of range.
    """

    value: Any
    place: str = "the manifest"

    def __getitem__(self, key: str) -> "Entry":
        """Return a value of a mapping, which must be there."""
        if key not in self.mapping():
            raise ValueError(f"{self.place} has no '{key}'")
        return Entry(self.value[key], self._inside(key))

    def get(self, key: str) -> "Entry | None":
        """Return a value of a mapping; None if it is missing or null."""
        return None if self.mapping().get(key) is None else self[key]

    def mapping(self, known: Sequence[str] | None = None) -> dict[str, Any]:
        """Return a mapping; with `known`, its keys must be among these."""
        if not isinstance(self.value, dict):
            self._refuse("a mapping")
        if known is not None and (others := self.value.keys() - set(known)):
            raise ValueError(f"{self.place} has the unknown key '{min(others)[:40]}'")
        return self.value

    def items(self) -> Iterator[tuple[str, "Entry"]]:
        """Yield the keys and values of a mapping."""
        for key in self.mapping():
            yield Entry(key, f"a key of {self.place}").text(), self[key]

    def entries(self, least: int, most: int) -> list["Entry"]:
        """Return the values of a list of `least` to `most` values."""
        if not isinstance(self.value, list) or not least <= len(self.value) <= most:
            self._refuse(f"a list of {least} to {most} values" if least < most else f"a list of {least} values")
        return [Entry(value, self._inside(str(k))) for k, value in enumerate(self.value)]

    def number(self, low: float, high: float) -> float:
        """Return a finite number from `low` to `high`."""
        if type(self.value) not in (int, float) or not low <= self.value <= high:  # nor is NaN
            self._refuse(f"a number from {low:g} to {high:g}")
        return float(self.value)

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`."""
        if type(self.value) is not int or not low <= self.value <= high:
            self._refuse(f"a whole number from {low} to {high}")
        return int(self.value)

    def text(self, most: int = 100) -> str:
        """Return a printable text of 1 to `most` characters."""
        if not isinstance(self.value, str) or not 0 < len(self.value) <= most or not self.value.isprintable():
            self._refuse(f"a printable text of up to {most} characters")
        return str(self.value)

    def flag(self) -> bool:
        """Return true or false."""
        if not isinstance(self.value, bool):
            self._refuse("true or false")
        return bool(self.value)

    def one_of(self, choices: Sequence[T]) -> T:
        """Return one of several values, of the same type."""
        for choice in choices:
            if type(choice) is type(self.value) and choice == self.value:
                return choice
        self._refuse(f"one of {', '.join(map(str, choices))}")

    def _inside(self, key: str) -> str:
        return key[:40] if self.place == "the manifest" else f"{self.place}.{key[:40]}"

    def _refuse(self, expected: str) -> NoReturn:
        shown = repr(self.value)[:40] if isinstance(self.value, str | int | float | None) else type(self.value).__name__
        raise ValueError(f"{self.place} is {shown}, not {expected}")


def read_preprocessing(content: Entry) -> Preprocessing:
    """Read how a network's images are cleaned and resized."""
    content.mapping([field.name for field in fields(Preprocessing)])
    texts = {name: content[name].text() for name in ("resize", "denoise", "contrast") if name in content.value}
    parts: dict[str, Any] = {"parts": _read_texts(content["parts"])} if "parts" in content.value else {}
    rules = content["rules"].one_of((1, RULES)) if "rules" in content.value else 1  # bundles of version 1 have none
    with _naming(content.place):
        return Preprocessing(size=content["size"].whole(1, _LARGEST_SIDE), rules=rules, **texts, **parts)


def read_overlay(content: Entry, channels: int) -> Overlay:
    """Read how the mask enters the images of a network with so many channels."""
    content.mapping([field.name for field in fields(Overlay)])
    read: dict[str, Callable[[Entry], Any]] = {
        "style": Entry.text, "source": Entry.text, "parts": _read_texts, "tasks": _read_texts, "color": _read_color,
        "color_by_class": lambda value: [_read_color(color) for color in value.entries(1, 1000)],
        "alpha": lambda value: value.number(0, 1), "margin": lambda value: value.number(0, 100),
    }  # fmt: skip
    present = {name: value for name in read if (value := content.get(name))}
    with _naming(content.place):
        overlay = Overlay(**{name: read[name](value) for name, value in present.items()})
    if channels == 4 and (overlay.style != "channel" or "test" not in overlay.parts):
        raise ValueError(f"{content.place} gives no mask to a network that takes one")
    return overlay


def _read_color(content: Entry) -> list[int]:
    return [value.whole(0, 255) for value in content.entries(3, 3)]


def _read_texts(content: Entry) -> list[str]:
    return [value.text() for value in content.entries(0, 10)]


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Turn a refusal of an option into one of a manifest's value."""
    try:
        yield
    except UserError as error:
        raise ValueError(f"{place}: {str(error).rstrip('.')}") from error


def read_thresholds(content: Entry, classes: Sequence[str]) -> dict[str, Any] | None:
    """Read the thresholds of some of the classes, with their scores on out-of-fold predictions."""
    if content.value is None:
        return None
    content.mapping(classes)
    for _, chosen in content.items():
        chosen["threshold"].number(0, 1)
        for name in ("sensitivity", "specificity", "asked"):
            if name in chosen.value:
                chosen[name].number(0, 1)
        for name in ("positives", "negatives"):
            if name in chosen.value:
                chosen[name].whole(0, 10**9)
    return content.mapping()


def read_reference(content: Entry) -> dict[str, Any]:
    """Read the statistics of the training images; whether they are those of this version is checked by `doubt`."""
    if "threshold" in content.mapping():
        content["threshold"].number(1e-9, 1e9)
    if "statistics" in content.value:
        number = len([name.text() for name in content["statistics"].entries(1, 1000)])
        for row in (content["center"], *content["whitening"].entries(number, number)):
            for value in row.entries(number, number):
                value.number(-1e12, 1e12)
        content["threshold"].number(1e-9, 1e9)
    return content.mapping()


def read_trained_on(content: Entry, card: str) -> Trained:
    """Read the training images; an earlier version only says in the card whether they were phantoms."""
    stored = content.get("trained_on")
    return {network: _read_training_data(data) for network, data in stored.items()} if stored else from_card(card)


def _read_training_data(content: Entry) -> TrainingData:
    content.mapping([field.name for field in fields(TrainingData)])
    for text in (content["name"], content["content"] if "content" in content.value else Entry("")):
        if text.value != "":  # a data set may have no name
            text.text()
    content["synthetic"].flag()
    if images := content.get("images"):
        images.whole(0, 10**9)
    return TrainingData(**content.value)


def read_scale(content: Entry | None) -> Scale:
    """Read the grey scale of the training images."""
    if content is None:  # bundles of version 1 have none
        return OWN_SCALE
    content.mapping(("bits", "white"))
    return Scale(content["bits"].one_of(DEPTHS), content["white"].one_of((1, 255)))
