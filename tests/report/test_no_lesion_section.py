"""The section of the no-lesion rule compares every image with and without the rule."""

import numpy as np
import pandas as pd
import pytest

from bus_lightning.metrics.no_lesion import without_rule
from bus_lightning.metrics.per_case import metrics_of
from bus_lightning.report.contents import contents
from bus_lightning.statistics.conditions import read_group

TITLE = "When no lesion is predicted"


def scored_cases(number=90, least=0.6):
    """Draw the cases of a segmenter whose normal images have lower scores."""
    rng = np.random.default_rng(3)
    rows = []
    for k in range(number):
        label = ("benign", "malignant", "normal")[k % 3]
        lesion = 0 if label == "normal" else 100
        tp, fp = (0 if label == "normal" else int(rng.integers(30, 90))), int(rng.integers(1, 40))
        score = float(rng.uniform(0.5, 0.8) if label == "normal" else rng.uniform(0.55, 1))
        before = {"tp": tp, "fp": fp, "fn": lesion - tp, "tn": 1000 - lesion - fp}
        after = before if score >= least else {"tp": 0, "fp": 0, "fn": lesion, "tn": 1000 - lesion}
        row = {"id": f"{label}/{label} ({k})", "split": "val" if k < 30 else "test", "label": label}
        rows.append(row | after | {"lesion_score": score} | {f"{key}_before_rule": n for key, n in before.items()})
    return pd.DataFrame(rows)


def section_of(path):
    return next((each for each in contents(read_group(path)) if each.title == TITLE), None)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["unet", "joint_unet"])
def test_false_alarms_and_dice_are_shown_before_and_after_with_a_paired_difference(finished, model):
    cases = scored_cases()
    if model == "joint_unet":
        cases = cases.assign(prob_benign=0.5, prob_malignant=0.25, prob_normal=0.25)
    run = finished(f"model={model}", "group=g", "name=a", "data.split.ratio=[11,3,4]", "predict.no_lesion=0.005",
                   cases=cases)  # fmt: skip
    run.update_status(lesion_rule={"least_score": 0.6, "lesions": 20, "normals": 10})
    finished("model=u2net_lite", "group=g", "name=b", cases=without_rule(scored_cases()))
    section = section_of(run.path.parent)
    (table,) = section.items
    assert "lowers the mean Dice by at most the allowed cost" in section.intro  # a difference, not a share
    assert list(table.frame["images"]) == ["test", "validation, which chose the rule"]
    assert list(table.frame["condition"].str.contains("a|unet")) == [True, True]
    for row, part in zip(table.frame.to_dict("records"), ("test", "val"), strict=True):
        own = cases[cases["split"] == part]
        for title, metric in (("false positives on normal images", "false_alarm_rate"),
                              ("Dice, mean of lesions", "dice_image"), ("missed lesions", "missed_rate")):  # fmt: skip
            before, after = (metrics_of(table)[metric] for table in (without_rule(own), own))
            assert row[f"{title}, before"].startswith(f"{before:.3f} (")
            assert row[f"{title}, after"].startswith(f"{after:.3f} (")
            assert row[f"{title}, difference"].startswith(f"{after - before:.3f} (")
        assert row["threshold"] == "0.600"
        assert row["allowed cost"] == "0.005"
        assert row["lesions / normal images"] == {"test": "40 / 20", "val": "20 / 10"}[part]


def test_without_the_rule_there_is_no_section(finished):
    run = finished("model=unet", "group=g", "name=a", cases=without_rule(scored_cases()))
    assert section_of(run.path.parent) is None
