"""Draw a seeded sample of mutants: first a place in the code, then a mistake at this place."""

import ast
import random
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from parso.tree import NodeOrLeaf

from benchmarks.mutants.modules import TESTS
from benchmarks.mutants.operators import OURS

PACKAGE = "bus_lightning"
_SAYS = (
    *("log.", "logger.", "logging.", "warnings.", "print(", "say(", "rank_zero_", "UserError(", "ValueError("),
    *("argparse.", "parser.add_argument(", "tqdm("),
)
_CAMEL = re.compile("_?[A-Z][a-z]\\w* = ")


@dataclass(frozen=True)
class Mutant:
    """One mistake in one file.

    Attributes:
        module: Path below the package.
        operator: Name of the operator.
        occurrence: Which of the places where the operator applies, in the order of the file.
        before: The line, stripped, without the mistake.
        after: The line with it.
        text: The whole file with the mistake.
    """

    module: str
    operator: str
    occurrence: int
    before: str
    after: str
    text: str

    def row(self) -> str:
        """Return the beginning of the mutant's row in survivors.md."""
        before, after = (line.replace("|", "\\|") for line in (self.before, self.after))
        return f"| `{self.module}` | `{before}` | `{after}` |"

    def about(self) -> dict[str, Any]:
        """Return the fields that the results keep: all except the text."""
        return {name: value for name, value in asdict(self).items() if name != "text"}


def chosen_modules(root: Path, wanted: list[str]) -> dict[str, list[str]]:
    """Find the modules, and the test files of each, the fastest first.

    Args:
        root: The checkout.
        wanted: Beginnings of paths below the package; empty takes every module of the table.
    """
    files_of = {}
    for pattern, tests in TESTS.items():
        for path in sorted((root / PACKAGE).glob(pattern)):
            module = path.relative_to(root / PACKAGE).as_posix()
            if path.name != "__init__.py" and (not wanted or module.startswith(tuple(wanted))):
                files = [path for name in tests.split() for path in sorted(root.glob(f"tests/**/test_{name}.py"))]
                files_of[module] = [path.relative_to(root).as_posix() for path in files]
    return files_of


def draw(root: Path, modules: list[str], sample: int, seed: int) -> list[Mutant]:
    """Draw mutants; the same seed, modules and code give the same ones.

    Args:
        root: The checkout.
        modules: Paths below the package.
        sample: How many.
        seed: Of the draw.
    """
    rng, codes = random.Random(seed), {module: (root / PACKAGE / module).read_text() for module in sorted(modules)}
    places: dict[tuple[str, tuple[int, int]], list[tuple[str, int]]] = {}
    for module, code in codes.items():
        for operator, occurrence, start in _mistakes(code):
            places.setdefault((module, start), []).append((operator, occurrence))
    drawn: list[Mutant] = []
    for place in rng.sample(sorted(places), len(places)):
        operator, occurrence = rng.choice(places[place])
        if len(drawn) < sample and (mutant := _mutant(place[0], codes[place[0]], operator, occurrence)):
            drawn.append(mutant)
    return drawn


# Of cosmic-ray's operators those that people take for each other: the many others fail at once, and prove little.
_BINARY = (
    *("Add_Sub", "Sub_Add", "Mul_Div", "Mul_Add", "Div_Mul", "Div_FloorDiv", "FloorDiv_Div", "FloorDiv_Mul"),
    *("Mod_FloorDiv", "Pow_Mul", "BitOr_BitAnd", "BitAnd_BitOr", "BitXor_BitOr"),
)
_COMPARISONS = (
    *("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_Gt", "LtE_Lt", "LtE_GtE", "Gt_GtE", "Gt_Lt", "GtE_Gt", "GtE_LtE"),
    *("Is_IsNot", "IsNot_Is"),
)
_THEIRS = (
    *(f"ReplaceBinaryOperator_{pair}" for pair in _BINARY),
    *(f"ReplaceComparisonOperator_{pair}" for pair in _COMPARISONS),
    *(f"ReplaceUnaryOperator_Delete_{sign}" for sign in ("USub", "Invert", "Not")),
    *("AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer"),
    *("RemoveDecorator", "ZeroIterationForLoop"),
)
_OPERATORS: dict[str, Any] = {name: cosmic_ray.plugins.get_operator(f"core/{name}") for name in _THEIRS} | OURS


def _mistakes(code: str) -> Iterator[tuple[str, int, tuple[int, int]]]:
    """List the mistakes that can be made: operator, occurrence, and where."""
    nodes = list(ast_nodes(get_ast(code)))
    for name, operator_class in _OPERATORS.items():
        operator, occurrence = operator_class(), 0
        for node in nodes:
            for start, _ in operator.mutation_positions(node):
                if not _is_words(node):
                    yield name, occurrence, start
                occurrence += 1


def _is_words(node: NodeOrLeaf) -> bool:
    """Return whether a node only describes and does nothing.

    That is: an annotation, an alias of types, an import, the text of a message or of a log line, a progress bar, the
    help of a command line, the decorator of a data class, and `strict` of zip, which checks the code and not its input.
    """
    below = None
    for above in _upwards(node.children[0] if node.type == "simple_stmt" else node):
        looked_at = ("atom_expr", "expr_stmt", "decorator", "argument")
        code = above.get_code(include_prefix=False) if above.type in looked_at else ""
        if above.type in ("tfpdef", "fstring", "raise_stmt", "import_from", "import_name"):
            return True
        if above.type == "annassign" and below is above.children[1]:
            return True
        if above.type == "funcdef" and below is not None and below is above.annotation:
            return True
        if above.type == "atom_expr" and code.startswith(_SAYS):
            return True
        if above.type == "expr_stmt" and above.parent.parent.type == "file_input" and _CAMEL.match(code):
            return True
        if code.startswith(("@dataclass", "strict=")):
            return True
        below = above
    return False


def _upwards(node: NodeOrLeaf | None) -> Iterator[NodeOrLeaf]:
    while node is not None:
        yield node
        node = node.parent


def _mutant(module: str, code: str, operator: str, occurrence: int) -> Mutant | None:
    """Make the mistake; None where the file means the same, or nothing, with it."""
    try:
        text = mutate_code(code, _OPERATORS[operator](), occurrence)
        if text is None or ast.dump(ast.parse(text)) == ast.dump(ast.parse(code)):
            return None
    except (SyntaxError, AttributeError):  # cosmic-ray cannot replace `except (module.Error, ...)`
        return None
    pairs = list(zip(code.splitlines(), text.splitlines(), strict=False))
    before, after = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
    return Mutant(module, operator, occurrence, before.strip(), after.strip(), text)
