"""Map the words that a table uses for the classes to the classes of a run."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from bus_lightning.core.class_names import COUNTS_IN_BUSI
from bus_lightning.core.errors import UserError

_SHOWN = 20  # words in a message
_WHOLE = re.compile(r"^(-?\d+)\.0+$")  # a whole number as programs write it in a column with gaps, also in a CSV
_ALIKE = 0.75  # of `difflib`: typing errors, not other words


def map_classes(
    values: Iterable[str], mapping: Mapping[str, Iterable[Any]] | None, where: str, dropped: Collection[str] = ()
) -> list[str]:
    """Map each value to a class.

    Args:
        values: The words of the table or the names of the folders.
        mapping: Class -> its values, as in `data.map.class={benign: [Benign, 2, 3], malignant: [Malignant, 4a]}`.
            Values are compared as text without upper and lower case, and without spaces around them. The name of a
            class stands for itself, so that a second mapping changes nothing. None keeps the values as they are.
        where: The column or folder, for messages.
        dropped: Values, folded, that stay as they are, also if the map names them: their images are left out later.

    Raises:
        UserError: If the map names a value twice, or does not name one that is there; counts them.
    """
    words = [str(value).strip() for value in values]
    if mapping is None:
        return words
    class_of = class_of_words(mapping)
    if unknown := Counter(value for value in words if fold(value) not in {*class_of, *dropped}):
        hint = _similar(unknown, class_of)
        raise UserError(
            f"{where} has values that data.map.class does not name ({list_counts(unknown)}){hint}: add each to a "
            "class, or leave the rows out with data.drop.class='[VALUE,...]'."
        )
    return [value if fold(value) in dropped else class_of.get(fold(value), value) for value in words]


def dropped_words(options: Mapping[str, Any]) -> set[str]:
    """Return the values of `drop.class` of the options of a data set, folded."""
    words = (options.get("drop") or {}).get("class")
    return {fold(word) for word in (words if isinstance(words, list | tuple) else [] if words is None else [words])}


def refuse_alike(values: Iterable[str], where: str) -> None:
    """Refuse classes that differ only by upper and lower case, which are one class in two spellings.

    Raises:
        UserError: At the first such class; counts its spellings.
    """
    spellings: dict[str, Counter[str]] = {}
    for value in values:
        spellings.setdefault(fold(value), Counter())[value] += 1
    for folded, counts in spellings.items():
        if len(counts) > 1:
            raise UserError(
                f"{where} has a class in several spellings ({list_counts(counts)}): write it in one way, or map it "
                f"with 'data.map.class={{{folded}: [{folded}], ...}}'."
            )


def rename_known(classes: Iterable[str]) -> str | None:
    """Write the `data.map.class` that renames classes such as `Malignant` to names that scores know, in lower case.

    Returns:
        The option; None if no class is to be renamed.
    """
    names = {name: fold(name) if fold(name) in COUNTS_IN_BUSI else name for name in sorted(set(classes))}
    if all(name == known for name, known in names.items()):
        return None
    return f"'data.map.class={{{', '.join(f'{known}: [{name}]' for name, known in names.items())}}}'"


def list_counts(counts: Mapping[str, int]) -> str:
    """List words with their numbers, such as `b: 2, c: 1`."""
    listed = ", ".join(f"{word or '(empty)'}: {number}" for word, number in sorted(counts.items())[:_SHOWN])
    return f"{listed}, and {len(counts) - _SHOWN} others" if len(counts) > _SHOWN else listed


def fold(value: object) -> str:
    """Write a value as it is compared: as text, 4.0 as 4, without case, accents composed, without spaces around it."""
    return _WHOLE.sub(r"\1", unicodedata.normalize("NFC", str(value)).strip().casefold())


def class_of_words(mapping: Any) -> dict[str, str]:
    """Return folded value -> class.

    Raises:
        UserError: If the map is none, or names a value twice.
    """
    if not isinstance(mapping, Mapping):
        raise UserError(f"data.map.class={mapping} names no classes: use 'data.map.class={{CLASS: [VALUE, ...]}}'.")
    class_of: dict[str, str] = {}
    for name, values in mapping.items():
        for value in (name, *(values if isinstance(values, list | tuple) else [values])):
            if class_of.setdefault(fold(value), str(name)) != name:
                raise UserError(
                    f"data.map.class names '{value}' for both {class_of[fold(value)]} and {name}: choose one."
                )
    return class_of


def _similar(unknown: Iterable[str], known: Mapping[str, str]) -> str:
    """Name the known words that resemble unknown ones; empty without any."""
    pairs = [
        f"{word} is like {match[0]}"
        for word in sorted(unknown)[:_SHOWN]
        if (match := get_close_matches(fold(word), list(known), 1, _ALIKE))
    ]
    return f"; {', '.join(pairs)}" if pairs else ""
