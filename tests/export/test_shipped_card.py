"""Every number in the card of the model in the package is computed from the predictions that ship with it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bus_lightning.core.csv_files import read_table
from bus_lightning.diagnosis.bundle import CARD, CASES, MANIFEST, SHIPPED
from bus_lightning.export.calibration import calibrate, tempered
from bus_lightning.export.card_evidence import describe_evidence
from bus_lightning.export.evidence import OTHER_DATA, OUT_OF_FOLD, TEST, find_evidence
from bus_lightning.export.numbers import CLASSES, OUTLINES, interval_rows
from bus_lightning.metrics.catalogue import heading_of
from bus_lightning.metrics.columns import cases_of_task

PROBABILITIES = ["prob_benign", "prob_malignant", "prob_normal"]


@pytest.fixture(scope="module")
def cases() -> pd.DataFrame:
    return read_table(SHIPPED / CASES, ["set", "part", *PROBABILITIES, "tp"], ["set", "part", "id", "label", "device"])


@pytest.fixture(scope="module")
def manifest() -> dict:
    return json.loads((SHIPPED / MANIFEST).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def card() -> str:
    return (SHIPPED / CARD).read_text(encoding="utf-8")


def numbers_in(content) -> Iterator[float]:
    """Yield the numbers in a nested value, in their order; None is yielded as -1."""
    if isinstance(content, dict | list | tuple):
        for value in content.values() if isinstance(content, dict) else content:
            yield from numbers_in(value)
    elif not isinstance(content, str):
        yield -1.0 if content is None else float(content)


def words_in(content) -> Iterator[str]:
    """Yield the keys and texts in a nested value."""
    if isinstance(content, dict):
        yield from content
    if isinstance(content, dict | list | tuple):
        for value in content.values() if isinstance(content, dict) else content:
            yield from words_in(value)
    elif isinstance(content, str):
        yield content


def assert_alike(computed, kept) -> None:
    """Check that two nested values have the same texts and, to the last rounded digit, the same numbers."""
    assert list(words_in(computed)) == list(words_in(kept))
    assert list(numbers_in(computed)) == pytest.approx(list(numbers_in(kept)), abs=2e-4)


def test_each_image_was_predicted_once_by_a_network_that_saw_no_near_duplicate(cases):
    own = cases[cases["part"] != OTHER_DATA]
    assert own["id"].is_unique
    assert own["label"].value_counts().to_dict() == {"benign": 437, "malignant": 210, "normal": 133}
    assert own.groupby("group")["fold"].nunique().max() == 1
    assert set(own["fold"]) == set(range(5))
    assert set(own["fold"][own["part"] == TEST]) == {0}
    assert cases[cases["part"] == OTHER_DATA]["set"].value_counts().to_dict() == {"bus_bra": 946, "breast": 105}


def test_the_sections_of_the_card_are_rebuilt_from_its_cases(cases, manifest, card):
    sensitivity = manifest["thresholds"]["malignant"]["asked"]
    assert_alike(find_evidence(cases, manifest["temperature"], sensitivity), manifest["evidence"])
    sections = describe_evidence(manifest["evidence"])
    assert [text.splitlines()[0] for text in sections] == [
        "## Results out of fold", "## Results on other data", "## Operating points", "## Subgroups",
    ]  # fmt: skip
    for text in sections:
        assert text in card


def with_normal_images(cases: pd.DataFrame) -> pd.DataFrame:
    """Return cases in which the images of another data set include healthy ones."""
    healthy = cases[cases["part"] == TEST].query("label == 'normal'").assign(part=OTHER_DATA, set="bus_uclm")
    lesions = cases[cases["set"] == "breast"].assign(set="bus_uclm")
    return pd.concat([cases[cases["part"] != OTHER_DATA], lesions, healthy], ignore_index=True)


@pytest.mark.slow
def test_the_card_says_of_other_data_only_what_its_rows_show(cases):
    def section(table: pd.DataFrame, temperature: float | None) -> str:
        sections = describe_evidence(find_evidence(table, temperature, 0.95))
        return next(text for text in sections if text.startswith("## Results on other data"))

    lesions = section(cases, 1.4)
    assert "these images all show a lesion" in lesions
    assert "with the temperature of this bundle" in lesions
    assert "these images all show a lesion" not in section(with_normal_images(cases), 1.4)
    assert "temperature" not in section(cases, None)
    outlined = section(cases_of_task("segmentation", cases), None)
    assert "called normal" not in outlined


def test_the_test_results_of_the_card_are_rebuilt_from_its_cases(cases, manifest, card):
    test = cases[cases["part"] == TEST].reset_index(drop=True)
    computed = {
        "mask": interval_rows(cases_of_task("segmentation", test), OUTLINES),
        "class": interval_rows(cases_of_task("classification", test), CLASSES),
    }
    assert_alike(computed, manifest["numbers"])
    for row in (*manifest["numbers"]["mask"], *manifest["numbers"]["class"]):
        assert f"| {heading_of(row['metric'])} | {row['value']:.3f} | {row['low']:.3f} to {row['high']:.3f} |" in card


def test_temperature_and_threshold_are_fitted_on_images_that_other_networks_predicted(cases, manifest, card):
    classes = cases_of_task("classification", cases)
    parts = {part: classes[classes["part"] == part].reset_index(drop=True) for part in (OUT_OF_FOLD, TEST)}
    kept = manifest["calibration"]
    fitted = calibrate(parts[OUT_OF_FOLD], kept["on"], 4, parts[TEST], 0.95)
    assert fitted.temperature == pytest.approx(manifest["temperature"], rel=1e-3)
    assert_alike(fitted.thresholds, manifest["thresholds"])
    assert_alike(fitted.tested, kept["tested"])
    assert kept["n"] == len(parts[OUT_OF_FOLD]) == 624
    assert f"Temperature {fitted.temperature:.3f}" in card
    assert f"Threshold for malignant: {fitted.thresholds['malignant']['threshold']:.4f}" in card


def test_the_leading_numbers_of_the_card_agree_with_other_code(cases, manifest, card):
    own = cases[cases["part"] != OTHER_DATA]
    chosen = np.array(["benign", "malignant", "normal"])[own[PROBABILITIES].to_numpy().argmax(axis=1)]
    area = roc_auc_score(own["label"], own[PROBABILITIES], multi_class="ovr")
    lesions = own[own["tp"] + own["fn"] > 0]
    dice = (2 * lesions["tp"] / (2 * lesions["tp"] + lesions["fp"] + lesions["fn"])).mean()
    rows = {"accuracy": np.mean(chosen == own["label"]), "auroc_macro": area, "dice_image": dice}
    out_of_fold = card.partition("## Results out of fold")[2].partition("## Results on other data")[0]
    for metric, value in rows.items():
        assert f"| {heading_of(metric)} | {value:.3f} |" in out_of_fold
    bus_bra = cases[cases["set"] == "bus_bra"]
    share = bus_bra["prob_malignant"] / (bus_bra["prob_malignant"] + bus_bra["prob_benign"])
    elsewhere = card.partition("## Results on other data")[2].partition("## Operating points")[0]
    assert f"{roc_auc_score(bus_bra['label'] == 'malignant', share):.3f} (" in elsewhere
    flagged = (
        tempered(bus_bra, manifest["temperature"])["prob_malignant"] >= manifest["thresholds"]["malignant"]["threshold"]
    )
    specificity = np.mean(~flagged[bus_bra["label"] == "benign"])
    assert f"| BUS-BRA | {np.mean(flagged[bus_bra['label'] == 'malignant']):.3f} (" in card
    assert f"| {specificity:.3f} (" in card


def test_the_card_says_what_a_reader_must_know(card):
    for words in (
        "NOT A MEDICAL DEVICE", "## Intended use", "## Limits, and what it does not know", "## Licences",
        "Data in Brief", "not stated by its authors", "because it is the first, not by a score",
        "data.split.fold-0", "## Subgroups",
    ):  # fmt: skip
        assert words in card.replace("\\", "")


def test_the_numbers_of_the_model_in_the_readme_are_those_of_its_card(card):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## A model in the box")[2].partition("\n## ")[0].replace("\n", " ")
    numbers = re.findall(r"([\d.]+) \(([\d.]+ to [\d.]+)\)", section)
    assert len(numbers) == 4
    for value, interval in numbers:
        assert f"| {value} | {interval} |" in card or f"{value} ({interval})" in card
