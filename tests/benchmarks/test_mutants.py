"""Mutation testing draws realistic mistakes, repeatably, and tells a mistake that is noticed from one that is not."""

import ast
from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray", reason="needs cosmic-ray: pip install -e '.[mutants]'")

from benchmarks.mutants import drawing, trying
from benchmarks.mutants.drawing import chosen_modules, draw
from benchmarks.mutants.modules import TESTS

ROOT = Path(__file__).parents[2]
CODE = '''"""A module."""
import logging
from dataclasses import dataclass

log = logging.getLogger(__name__)
Pair = tuple[int | None, int]


@dataclass(frozen=True)
class Kept:
    number: int | None = None


def spread(values: list[int], first: int | None = None) -> int | None:
    """Tell how far the values lie apart."""
    if not values:
        raise ValueError(f"give {1 + 1} or more")
    log.info("%d values", len(values) + 1)
    for one, other in zip(values, values[1:], strict=False):
        print(one + other)
    return max(values) - min(values)
'''


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A tiny checkout with one module and its test."""
    (tmp_path / "bus_lightning").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "bus_lightning" / "spread.py").write_text(CODE)
    (tmp_path / "tests" / "test_spread.py").write_text("def test_spread():\n    assert True\n")
    monkeypatch.setattr(drawing, "TESTS", {"spread.py": "spread"})
    return tmp_path


def test_every_module_of_the_table_is_there_and_has_tests():
    tests_of = chosen_modules(ROOT, [])
    assert all(any((ROOT / "bus_lightning").glob(pattern)) for pattern in TESTS)
    for module, tests in tests_of.items():
        named = next(names for pattern, names in TESTS.items() if Path(module).match(pattern))
        assert [Path(file).stem for file in tests] == [f"test_{name}" for name in named.split()], module


def test_the_same_seed_draws_the_same_mutants_and_a_smaller_sample_is_its_beginning(checkout):
    modules = list(chosen_modules(checkout, []))
    first, again, other = (draw(checkout, modules, 6, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert draw(checkout, modules, 3, 1) == first[:3]


def test_mutants_change_code_and_never_texts(checkout):
    mutants = draw(checkout, ["spread.py"], 1000, 0)
    lines = {(mutant.before, mutant.after) for mutant in mutants}
    assert len(lines) == len(mutants)
    assert {before for before, _ in lines} == {
        "if not values:",
        "for one, other in zip(values, values[1:], strict=False):",
        "return max(values) - min(values)",
    }
    for mutant in mutants:
        assert ast.dump(ast.parse(mutant.text)) != ast.dump(ast.parse(CODE))


@pytest.mark.parametrize(("assertion", "end"), [("spread([3, 8]) == 5", "caught"), ("spread([3, 8]) > 0", "survived")])
def test_a_mutant_is_caught_by_a_test_that_fails_and_survives_one_that_does_not(assertion, end, tmp_path):
    copy = tmp_path / "copy"
    (copy / "bus_lightning").mkdir(parents=True)
    (copy / "tests").mkdir()
    (copy / "bus_lightning" / "__init__.py").write_text("")
    (copy / "bus_lightning" / "spread.py").write_text(CODE.replace("max(values) -", "max(values) +"))
    test = f"from bus_lightning.spread import spread\n\ndef test_spread():\n    assert {assertion}\n"
    (copy / "tests" / "test_spread.py").write_text(test)
    child, outcome = trying.finished([trying.start(0, ["tests/test_spread.py"], copy, 100)])
    assert outcome == end, child.output.read_text()
    assert ("test_spread.py::test_spread" in trying.catcher(child.output)) == (end == "caught")


def test_a_mutant_that_never_ends_is_stopped(tmp_path):
    copy = tmp_path / "copy"
    (copy / "tests").mkdir(parents=True)
    (copy / "tests" / "test_long.py").write_text("import time\n\ndef test_long():\n    time.sleep(600)\n")
    _, outcome = trying.finished([trying.start(0, ["tests/test_long.py"], copy, 3)])
    assert outcome == "timeout"
