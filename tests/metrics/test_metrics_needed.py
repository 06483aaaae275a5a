"""A metric has the same bits whichever others are computed, and however many draws are computed at once."""

import numpy as np
import pandas as pd
import pytest

from bus_lightning.metrics import ranking, risk_coverage
from bus_lightning.metrics.per_case import metrics_of, weighted_metrics

CLASSES = ("benign", "malignant", "normal")


def cases_of(task, n=60):
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"label": rng.choice(CLASSES, n), "group": np.arange(n)})
    if task != "segmentation":
        shares = rng.dirichlet(np.ones(3), n)
        table[[f"prob_{name}" for name in CLASSES]] = shares
    if task != "classification":
        for name in ("tp", "fp", "fn", "tn"):
            table[name] = rng.integers(0, 100, n)
    return table


@pytest.mark.parametrize("task", ["classification", "segmentation", "joint"])
def test_a_metric_does_not_depend_on_which_others_are_computed(task):
    cases = cases_of(task)
    weights = np.random.default_rng(0).integers(0, 3, (50, len(cases))).astype(np.float32)
    every, values = weighted_metrics(cases, weights), metrics_of(cases)
    for key in every:
        alone = weighted_metrics(cases, weights, (key,))
        assert alone[key].tobytes() == every[key].tobytes(), key
        assert len(alone) < len(every)
        assert metrics_of(cases, (key,))[key] == values[key], key


@pytest.mark.parametrize("n", [0, 1, 40])
@pytest.mark.parametrize("draws", [0, 1, 7, 64])
@pytest.mark.parametrize("has_ties", [False, True])
def test_draws_have_the_same_bits_in_blocks_of_any_size(monkeypatch, n, draws, has_ties):
    rng = np.random.default_rng(1)
    scores, truth = rng.random(n).round(1 if has_ties else 9), rng.random(n) < 0.4
    weights = rng.integers(0, 3, (draws, n)).astype(np.float32)

    def compute(block):
        monkeypatch.setattr(ranking, "AT_ONCE", block)
        monkeypatch.setattr(risk_coverage, "AT_ONCE", block)
        results = (
            ranking.auroc(truth, scores, weights),
            *ranking.auroc_and_average_precision(truth, scores, weights),
            *risk_coverage.area_under_risk_coverage(truth, scores, weights),
        )
        return [(result.shape, result.dtype, result.tobytes()) for result in results]

    assert compute(7) == compute(10_000)
    assert compute(7)[0][0] == (draws,)
