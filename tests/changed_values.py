"""Change one value of a nested content, to see whether a reader refuses it."""

import copy

DELETED = object()  # stands for a value that is removed


def changed(content, place, value):
    """Copy a content of mappings and lists with another value at a place, which is a tuple of keys; () is the whole."""
    if not place:
        return value
    content = copy.deepcopy(content)
    *above, last = place
    inner = content
    for key in above:
        inner = inner[key]
    if value is DELETED:
        del inner[last]
    else:
        inner[last] = value
    return content
