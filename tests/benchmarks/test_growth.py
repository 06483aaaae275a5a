"""The table of growing costs fits the exponent that its numbers have."""

import pytest

from benchmarks.growth import fit_exponent, tables


def test_the_exponent_is_that_of_the_numbers():
    assert fit_exponent({n: 3.0 * n**1.1 for n in (780, 1560, 31_200)}) == pytest.approx(1.1)


def test_each_command_has_a_row_per_size_and_one_exponent():
    sized = {"index": {"seconds": 1.0, "peak_mb": 1.0}}
    stages = dict.fromkeys(("index", "audit", "split", "epochs", "metrics"), sized["index"])
    of_sizes = {str(n): {"seconds": n / 2, "processor_seconds": float(n**2), "peak_mb": 5.0} for n in (10, 100)}
    results = {"images": {"10": stages, "100": stages}, "runs": {"10": sized["index"], "100": sized["index"]}}
    assert tables(results)["growth_commands"] == "Not measured."  # an earlier measurement lacks it
    text = tables(results | {"commands": {"audit": of_sizes}})["growth_commands"]
    assert "| audit of n images | 10 | 5.0 | 100.0 | 5 | 2.00 |" in text
    assert "|  | 100 | 50.0 | 10000.0 | 5 |  |" in text
