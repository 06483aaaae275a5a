"""Check the fields of a file that a user writes, such as a protocol or the plan of a page."""

from collections.abc import Mapping, Sequence
from typing import Any

from bus_lightning.config.kinds import Kind
from bus_lightning.config.schema import check_value
from bus_lightning.core.errors import UserError


def check_fields(values: Mapping[str, Any], kinds: Mapping[str, Kind], needed: Sequence[str], place: str = "") -> None:
    """Refuse fields that are unknown, missing, or of the wrong kind.

    Args:
        values: Field -> value.
        kinds: Field -> what it may be.
        needed: Fields that must be there.
        place: Prefix of the names in an error, such as `conditions.first.`.

    Raises:
        UserError: At the first such field, in one line.
    """
    for key in values:
        if key not in kinds:
            raise UserError(f"{place}{key} is unknown: choose from {', '.join(kinds)}.")
    for key in needed:
        if key not in values:
            raise UserError(f"{place}{key} is missing: give {kinds[key].description}.")
    for key, value in values.items():
        check_value(f"{place}{key}", value, kinds[key])
