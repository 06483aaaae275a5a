"""Map the words that a table uses for the classes to the classes of a run."""

from collections.abc import Iterable, Mapping
from typing import Any

from bus_lightning.core.errors import UserError


def map_classes(values: Iterable[str], mapping: Mapping[str, Iterable[Any]] | None, where: str) -> list[str]:
    """Map each value to a class.

    Args:
        values: The words of the table or the names of the folders.
        mapping: Class -> its values, as in `data.map.class={benign: [Benign, 2, 3], malignant: [Malignant, 4a]}`.
            Values are compared as text without upper and lower case, and without spaces around them. None keeps the
            values as they are.
        where: The column or folder, for messages.

    Raises:
        UserError: If the map names a value twice, or does not name one that is there; counts them.
    """
    given = [str(value).strip() for value in values]
    if mapping is None:
        return given
    class_of: dict[str, str] = {}
    for name, names in mapping.items():
        for value in names if isinstance(names, list | tuple) else [names]:
            folded = fold(value)
            if class_of.setdefault(folded, name) != name:
                raise UserError(f"data.map.class names '{value}' for both {class_of[folded]} and {name}: choose one.")
    unknown: dict[str, int] = {}
    for value in given:
        if fold(value) not in class_of:
            unknown[value] = unknown.get(value, 0) + 1
    if unknown:
        counts = ", ".join(f"{value or '(empty)'}: {number}" for value, number in sorted(unknown.items()))
        raise UserError(
            f"{where} has values that data.map.class does not name ({counts}): add each to a class, or leave the rows "
            "out with data.drop.class='[VALUE,...]'."
        )
    return [class_of[fold(value)] for value in given]


def fold(value: object) -> str:
    """Write a value as it is compared: as text, 4.0 as 4, without case and without spaces around it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().casefold()
