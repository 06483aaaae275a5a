"""The risk-coverage curve of several replicates is the mean of their curves."""

import numpy as np
import pandas as pd
import pytest

from bus_lightning.statistics.selective import GRID, risk_curve


def answers(wrong, replicate):
    """Twenty answers, of which the last ones are wrong and the least confident."""
    malignant = np.linspace(0.95, 0.55, 20)
    labels = ["malignant"] * (20 - wrong) + ["benign"] * wrong
    return pd.DataFrame({"id": range(20), "group": range(20), "label": labels, "replicate": replicate,
                         "prob_benign": 1 - malignant, "prob_malignant": malignant})  # fmt: skip


def test_the_best_curve_is_the_mean_of_the_best_curves_of_the_replicates():
    few, many = (risk_curve(answers(wrong, 0), draws=20) for wrong in (2, 8))
    both = risk_curve(pd.concat([answers(2, 0), answers(8, 1)], ignore_index=True), draws=20)
    assert both.risk == pytest.approx((few.risk + many.risk) / 2)
    assert both.best == pytest.approx((few.best + many.best) / 2)
    at = int(np.abs(GRID - 0.8).argmin())  # the better replicate makes no error there, the other one must
    assert few.best[at] == 0 < both.best[at]
    assert (both.best <= both.risk + 1e-9).all()
