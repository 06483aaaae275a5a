"""Many conditions are worked on by several processes, to the same results in the same order."""

import os

import pytest

from bus_lightning.statistics import side_by_side as module
from bus_lightning.statistics.side_by_side import side_by_side


@pytest.mark.parametrize("cases", [10, module._PAYS + 1])
def test_results_come_in_the_order_of_the_calls(cases):
    assert side_by_side(divmod, [(number, 3) for number in range(7)], cases) == [divmod(n, 3) for n in range(7)]


def test_few_cases_stay_in_this_process_and_many_do_not():
    assert set(side_by_side(os.getpid, [()] * 4, 10)) == {os.getpid()}
    if os.cpu_count() > 1:
        assert os.getpid() not in side_by_side(os.getpid, [()] * 4, module._PAYS + 1)
