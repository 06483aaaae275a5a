"""Many conditions are worked on by several processes, to the same results in the same order."""

import os

import pytest

from bus_lightning.statistics import parallel
from bus_lightning.statistics.parallel import call_in_parallel


@pytest.mark.parametrize("cases", [10, parallel._MANY + 1])
def test_results_come_in_the_order_of_the_calls(cases):
    assert call_in_parallel(divmod, [(number, 3) for number in range(7)], cases) == [divmod(n, 3) for n in range(7)]


def test_few_cases_stay_in_this_process_and_many_do_not(monkeypatch):
    monkeypatch.setattr(parallel, "cpu_count", lambda: 2)  # this process may have one core of several
    assert set(call_in_parallel(os.getpid, [()] * 4, 10)) == {os.getpid()}
    assert os.getpid() not in call_in_parallel(os.getpid, [()] * 4, parallel._MANY + 1)
