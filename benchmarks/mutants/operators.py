"""Mistakes that people make and cosmic-ray's own operators do not: the wrong function, a dropped line or argument."""

import builtins
import re
from collections.abc import Iterator
from typing import Any

from cosmic_ray.operators.operator import Operator
from parso.python.tree import Name
from parso.tree import NodeOrLeaf

_PAIRS = (
    *(("min", "max"), ("argmin", "argmax"), ("minimum", "maximum"), ("any", "all"), ("floor", "ceil")),
    *(("mean", "sum"), ("median", "mean"), ("train", "val"), ("val", "test"), ("prod", "sum")),
    *(("precision", "recall"), ("tp", "tn"), ("fp", "fn"), ("height", "width"), ("low", "high")),
    *(("std", "var"), ("union", "intersection"), ("erode", "dilate")),
)
SWAPPED = {old: new for pair in _PAIRS for old, new in (pair, pair[::-1])}

Position = tuple[tuple[int, int], tuple[int, int]]


class SwapName(Operator):  # type: ignore[misc]
    """Take the sibling of a function, a split or a count: min for max, mean for median, val for test."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Position]:
        """Find names and plain strings that have a sibling."""
        word = node.value.strip("\"'") if node.type in ("name", "string") else ""
        if word in SWAPPED and not _is_keyword(node) and (node.type == "string" or _is_known(node, SWAPPED[word])):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> NodeOrLeaf:
        """Put the sibling in its place."""
        word = node.value.strip("\"'")
        return type(node)(node.value.replace(word, SWAPPED[word]), node.start_pos, node.prefix)

    examples = classmethod(lambda cls: ())


class DropCall(Operator):  # type: ignore[misc]
    """Leave out a line that calls something for its effect."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Position]:
        """Find lines that are a call and nothing else."""
        if node.type == "simple_stmt" and node.children[0].type == "atom_expr":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> NodeOrLeaf:
        """Do nothing instead."""
        node.children[0] = Name("pass", node.start_pos, node.children[0].get_first_leaf().prefix)
        return node

    examples = classmethod(lambda cls: ())


class DropKeyword(Operator):  # type: ignore[misc]
    """Leave out a keyword argument of a call, so that its default holds: no seed, no axis, no weight."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Position]:
        """Find the keyword arguments of calls with more arguments than one."""
        yield from ((child.start_pos, child.end_pos) for child in _keywords(node))

    def mutate(self, node: Any, index: int) -> NodeOrLeaf:
        """Take the argument out, with the comma before it, or behind it where it is the first."""
        at = node.children.index(_keywords(node)[index])
        del node.children[max(0, at - 1) : at + (1 if at else 2)]
        return node

    examples = classmethod(lambda cls: ())


class DropAbsolute(Operator):  # type: ignore[misc]
    """Add up signed values: `abs(x)` becomes `(x)`."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Position]:
        """Find calls of a bare `abs`, and of the one of numpy."""
        if node.type == "atom_expr" and node.get_code(include_prefix=False).startswith(("abs(", "np.abs(")):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> NodeOrLeaf:
        """Keep the argument alone."""
        at = next(k for k, child in enumerate(node.children) if child.get_code().startswith("("))
        node.children[at].get_first_leaf().prefix = node.get_first_leaf().prefix
        del node.children[:at]
        return node

    examples = classmethod(lambda cls: ())


OURS = {operator.__name__: operator for operator in (SwapName, DropCall, DropKeyword, DropAbsolute)}


def _is_known(node: NodeOrLeaf, word: str) -> bool:
    """Tell whether a name means something here: an attribute, a builtin, or what the file itself speaks of."""
    before = node.get_previous_leaf()
    if (before is not None and before.value == ".") or hasattr(builtins, word):
        return True
    return bool(re.search(rf"\b{word}\b", node.get_root_node().get_code()))


def _is_keyword(node: NodeOrLeaf) -> bool:
    """Tell whether a name is that of an argument or a parameter, which is no value."""
    parent = node.parent
    return parent.type in ("argument", "param", "funcdef", "classdef", "import_from") and parent.children[0] is node


def _keywords(node: NodeOrLeaf) -> list[NodeOrLeaf]:
    if node.type != "arglist":
        return []
    named = [child for child in node.children if child.type == "argument" and child.children[1] == "="]
    return [child for child in named if child.children[0].value != "strict"]  # of zip: it checks the code
