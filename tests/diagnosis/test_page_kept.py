"""The results that the page keeps for its reports: without loss, within a bound, and not for long."""

import numpy as np
import pytest

from bus_lightning.diagnosis.diagnoser import Diagnosis
from bus_lightning.diagnosis.measurements import measure
from bus_lightning.diagnosis.page.kept import Kept
from bus_lightning.diagnosis.page.view import View

HERE, GONE = (lambda visitor: True), (lambda visitor: False)


def view(name="a", side=100, colour=False, heat=True):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (side, side + 3, 3), np.uint8)
    if not colour:
        image[:] = image[..., :1]
    mask = rng.random(image.shape[:2]) < 0.5
    heat_map = rng.random(mask.shape, np.float32) if heat else None
    diagnosis = Diagnosis({"benign": 1.0}, True, "benign", None, mask, measure(mask), heat_map, ())
    return View(name, image, diagnosis, (side, side + 3), None, None, "bundle")


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("heat", [False, True])
def test_a_result_comes_back_as_it_was(colour, heat):
    kept, shown = Kept(), view(colour=colour, heat=heat)
    assert kept.put("visitor", shown, 1.0)
    for _ in range(2):
        back = kept.get("visitor")
        for array, expected in ((back.image, shown.image), (back.diagnosis.mask, shown.diagnosis.mask),
                                (back.diagnosis.heat_map, shown.diagnosis.heat_map)):  # fmt: skip
            assert (array is None) == (expected is None)
            if expected is not None:
                assert array.dtype == expected.dtype
                np.testing.assert_array_equal(array, expected)
        assert (back.name, back.shape, back.made_with) == (shown.name, shown.shape, shown.made_with)
        assert back.diagnosis.measurements == shown.diagnosis.measurements
    assert kept.get("another") is None


def test_all_results_together_have_a_bound_and_the_least_recently_used_goes_first():
    size = 100 * 103 + 100 * 103 * 4 + (100 * 103 + 7) // 8
    kept = Kept(total_bytes=3 * size)
    for visitor in ("a", "b", "c"):
        kept.put(visitor, view(visitor), 0.0)
    assert kept.get("a").name == "a"
    kept.put("d", view("d"), 0.0)
    assert [kept.get(visitor) is not None for visitor in ("a", "b", "c", "d")] == [True, False, True, True]
    kept.put("c", None, 0.0)
    assert kept.get("c") is None


def test_a_result_goes_when_it_is_old_or_its_visitor_has_left_for_a_while():
    kept = Kept(after_leaving_s=1000)
    kept.put("a", view(), 0.0)
    kept.sweep(GONE)
    kept.sweep(HERE)  # came back
    assert kept.get("a") is not None
    for bounds, is_here in (({"after_leaving_s": 0.0}, GONE), ({"kept_s": 0.0}, HERE)):
        kept = Kept(**bounds)
        kept.put("a", view(), 0.0)
        kept.sweep(is_here)
        assert kept.get("a") is None


def test_a_late_result_of_an_earlier_request_is_not_kept():
    kept = Kept()
    assert kept.put("a", view("second"), 2.0)
    assert not kept.put("a", view("first"), 1.0)
    assert kept.get("a").name == "second"
    assert kept.put("a", None, 3.0)  # a refusal
    assert not kept.put("a", view("first"), 1.0)
    assert kept.get("a") is None
    assert kept.put("b", view(), 1.0)  # of another visitor
    kept.sweep(GONE)
    assert kept.put("a", view("a new page"), 0.5)
