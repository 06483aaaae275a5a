"""How often the 95% intervals contain the true value, by simulation, with few patients and with many."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.processes import say
from benchmarks.report import table
from bus_lightning.metrics.ranking import auroc
from bus_lightning.statistics.intervals import group_draws, percentile_interval

ABOUT = {"data": "simulated"}  # also with BUSI_ROOT
CLASSES = 3  # normal, benign, malignant
METRICS = ("accuracy", "sensitivity", "balanced accuracy", "macro AUC", "difference of two accuracies")
_SIGNAL, _OF_PATIENT = 1.6, 0.8  # the true class's lead in the logits, and the deviation that a patient's images share
_BIG = 15_000  # patients of the sample that gives the true values
_ROUNDS = (1000, 500)  # simulated data sets for few groups, and for many


@dataclass(frozen=True)
class Scenario:
    """A data set to simulate.

    Attributes:
        groups: Number of patients, or of near-duplicate groups.
        combinations: The classes that a patient's images have.
        shares: Probability of each combination.
        images: Draws the number of images of a patient.
    """

    groups: int
    combinations: tuple[tuple[int, ...], ...]
    shares: tuple[float, ...]
    images: Callable[[np.random.Generator], int]


_ONE_CLASS = ((0,), (1,), (2,))
SCENARIOS = {
    # 28 of 38 patients have two classes, 5 all three; 18 images each.
    "38 patients, several classes (BUS-UCLM)": Scenario(
        38, ((0, 1, 2), (0, 1), (0, 2), *_ONE_CLASS), (5 / 38, 19 / 38, 9 / 38, 3 / 38, 1 / 38, 1 / 38),
        lambda generator: max(2, int(generator.gamma(3, 6))),
    ),
    "15 patients, several classes": Scenario(
        15, ((0, 1, 2), (0, 1), (0, 2), *_ONE_CLASS), (5 / 38, 19 / 38, 9 / 38, 3 / 38, 1 / 38, 1 / 38),
        lambda generator: max(2, int(generator.gamma(3, 6))),
    ),
    "30 patients, one class each, 18 images": Scenario(
        30, _ONE_CLASS, (0.4, 0.35, 0.25), lambda generator: max(2, int(generator.gamma(3, 6)))
    ),
    "105 patients, one image (part of BrEaST)": Scenario(105, ((1,), (2,)), (0.61, 0.39), lambda generator: 1),
    "535 patients, one or two images (half of BUS-BRA)": Scenario(
        535, ((1,), (2,)), (0.69, 0.31), lambda generator: 1 + (generator.random() < 0.77)
    ),
    "125 near-duplicate groups (test part of BUSI)": Scenario(
        125, (*_ONE_CLASS, (1, 2)), (0.17, 0.55, 0.27, 0.01), lambda generator: 1 + (generator.random() < 0.2)
    ),
}  # fmt: skip


def measure(quick: bool) -> dict[str, Any]:
    """Simulate each scenario; the same numbers come out each time."""
    results = {}
    for name, scenario in SCENARIOS.items():
        repetitions = 50 if quick else _ROUNDS[scenario.groups > 100]
        covered = measure_scenario(scenario, repetitions)
        results[name] = {"data_sets": repetitions, "covered": covered}
        say(f"{name}: " + "; ".join(f"{method} {_text(shares)}" for method, shares in covered.items()))
    return results


def measure_scenario(scenario: Scenario, repetitions: int, draws: int = 500) -> dict[str, dict[str, float]]:
    """Count how often the interval of each bootstrap holds the true value.

    Returns:
        Bootstrap -> metric -> share of the simulated data sets, in [0, 1]. A data set counts for a metric if it has
        images of every class and the interval is defined.
    """
    true = _metrics(*_simulate(np.random.default_rng(0), scenario, _BIG))
    classes = len(set().union(*scenario.combinations))
    held: dict[str, dict[str, list[bool]]] = {}
    for seed in range(1, repetitions + 1):
        groups, labels, logits = _simulate(np.random.default_rng(seed), scenario, scenario.groups)
        if len(np.unique(labels)) < classes:
            continue
        for method, weights in _weights(groups, labels, draws).items():
            metrics = _metrics(groups, labels, logits, weights)
            for metric in METRICS:
                low, high = percentile_interval(metrics[metric])
                if np.isfinite(low):
                    held.setdefault(method, {}).setdefault(metric, []).append(bool(low <= true[metric][0] <= high))
    return {
        method: {metric: float(np.mean(of_metric[metric])) for metric in METRICS} for method, of_metric in held.items()
    }


def _weights(groups: NDArray[np.int64], labels: NDArray[np.int64], draws: int) -> dict[str, NDArray[np.float32]]:
    """Draw groups by our rule, by two simpler rules, and image by image: (D, n) each."""
    combinations = {group: str(np.unique(labels[groups == group])) for group in np.unique(groups)}
    rules: dict[str, tuple[NDArray[np.int64], Sequence[Hashable]]] = {
        "ours": (groups, labels.tolist()),
        # One name for all images of a group, so that each group has one stratum.
        "strata of combinations": (groups, [combinations[group] for group in groups]),
        "no strata": (groups, [""] * len(groups)),
        "images": (np.arange(len(groups)), labels.tolist()),
    }
    return {name: group_draws(of.tolist(), strata, draws)[1][:, of] for name, (of, strata) in rules.items()}


def _simulate(
    generator: np.random.Generator, scenario: Scenario, number: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Simulate the images of some patients, and the answers of two networks: logits (2, n, K).

    A patient's images share a deviation in the logits of each class, so that a network is right or wrong on several.
    """
    counts = [scenario.images(generator) for _ in range(number)]
    kinds = generator.choice(len(scenario.combinations), size=number, p=scenario.shares)
    prevalence = np.array([0.6, 0.25, 0.15])
    labels = []
    for kind, count in zip(kinds, counts, strict=True):
        classes = list(scenario.combinations[kind])
        labels.append(generator.choice(classes, size=count, p=prevalence[classes] / prevalence[classes].sum()))
    groups, label = np.repeat(np.arange(number), counts), np.concatenate(labels)
    shared = generator.normal(0, _OF_PATIENT, (2, number, CLASSES))[:, groups]
    common = generator.normal(0, 1, (len(label), CLASSES))  # images that are hard for both networks
    logits = shared + common + generator.normal(0, 0.5, (2, len(label), CLASSES))
    logits[:, np.arange(len(label)), label] += _SIGNAL
    return groups, label, logits


def _metrics(
    groups: NDArray[np.int64], labels: NDArray[np.int64], logits: NDArray[np.float64],
    weights: NDArray[np.float32] | None = None,
) -> dict[str, NDArray[np.floating]]:  # fmt: skip
    """Compute the metrics in each draw, (D,), NaN where a class is missing."""
    if weights is None:
        weights = np.ones((1, len(groups)), np.float32)
    right = (logits.argmax(axis=2) == labels).astype(np.float32)
    accuracies = weights @ right.T / weights.sum(axis=1, keepdims=True)
    recalls, areas = [], []
    present = np.unique(labels)
    for name in present:
        own = labels == name
        total = weights[:, own].sum(axis=1)
        recalls.append(np.divide(weights[:, own] @ right[0, own], total, out=np.full_like(total, np.nan),
                                 where=total > 0))  # fmt: skip
        lead = logits[0, :, name] - np.delete(logits[0][:, present], present.tolist().index(name), axis=1).max(axis=1)
        areas.append(auroc(own, lead, weights))
    return {
        "accuracy": accuracies[:, 0],
        "sensitivity": recalls[-1],  # of malignant, the last class
        "balanced accuracy": np.mean(recalls, axis=0),
        "macro AUC": np.mean(areas, axis=0),
        "difference of two accuracies": accuracies[:, 0] - accuracies[:, 1],
    }


def _text(shares: dict[str, float]) -> str:
    return ", ".join(f"{share:.3f}" for share in shares.values())


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the table `coverage`."""
    rows = [
        [f"{name}: {method}", *(f"{shares[metric]:.3f}" for metric in METRICS),
         result["data_sets"]]
        for name, result in results.items()
        for method, shares in result["covered"].items()
    ]  # fmt: skip
    return {"coverage": table(["groups: bootstrap", *METRICS, "simulated data sets"], rows)}
