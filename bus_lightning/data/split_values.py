"""Check the values of a split file before they are used: the file may come from elsewhere."""

import re
from collections.abc import Mapping
from typing import Any

from bus_lightning.config.split_options import METHODS
from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import LARGEST_WHOLE

_LISTS = ("train", "val", "test", "ratio")
_NO_NAME = re.compile("[\0\ud800-\udfff]")  # in no name of a file that is text


def check_values(content: Mapping[str, Any]) -> None:
    """Refuse values of another kind, and ids that are not paths below the data folder.

    Args:
        content: The content of `split.json`.

    Raises:
        UserError: At the first such value.
    """
    for name in _LISTS:
        if not isinstance(content.get(name), list):
            raise UserError(f"{name} is not a list")
    groups = content.get("groups")
    if not isinstance(groups, dict):
        raise UserError("groups is not a mapping")
    for number in (content.get("seed"), *groups.values()):
        if type(number) is not int or abs(number) > LARGEST_WHOLE:
            raise UserError("the seed or a group is not a whole number")
    if not all(type(share) in (int, float) and abs(share) < LARGEST_WHOLE for share in content["ratio"]):
        raise UserError("a share is not a number")
    divided = content.get("divided", {})
    if not isinstance(divided, dict) or not all(isinstance(pairs, dict) for pairs in divided.values()):
        raise UserError("divided is not a mapping of counts")
    if not all(type(number) is int for pairs in divided.values() for number in pairs.values()):
        raise UserError("divided has a count that is not a whole number")
    if content.get("method") not in METHODS:
        raise UserError(f"its method is {content.get('method')!r}")
    for id_ in (*content["train"], *content["val"], *content["test"], *groups):
        if not isinstance(id_, str) or id_.startswith("/") or ".." in id_.split("/") or _NO_NAME.search(id_):
            raise UserError(f"{id_!r} is not a path below the data folder")
