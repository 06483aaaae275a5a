"""Holm's adjustment is that of statsmodels, to the last bit."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from bus_lightning.statistics.comparisons import adjust_by_holm


@pytest.mark.parametrize("number", [1, 2, 7, 100])
def test_adjusted_p_are_those_of_another_library(number):
    rng = np.random.default_rng(number)
    p = np.round(rng.random(number) ** 4, 3)  # with equal ones
    assert (adjust_by_holm(p) == multipletests(p, method="holm")[1]).all()
