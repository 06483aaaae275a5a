"""How faithful heat maps are: their share in the lesion, by method, weights and class, with honest intervals."""

import numpy as np
import pandas as pd
import pytest

from bus_lightning.report.heat_map_section import _cells
from bus_lightning.statistics.faithfulness import measure_faithfulness, summarise_maps


def test_the_measures_are_the_shares_in_the_lesion():
    mask = np.zeros((4, 5), np.uint8)
    mask[:2, :2] = 1
    heat = np.zeros((4, 5), np.float32)
    heat[0, 0], heat[3, 4] = 3, 1
    assert measure_faithfulness(heat, mask) == {"pointing": 1.0, "energy": 0.75, "chance": 0.2}
    heat[3, 4] = 3  # as strong: half of the strongest pixels lie in the lesion
    assert measure_faithfulness(heat, mask) == {"pointing": 0.5, "energy": 0.5, "chance": 0.2}
    assert measure_faithfulness(np.ones_like(heat), mask) == pytest.approx(
        {"pointing": 0.2, "energy": 0.2, "chance": 0.2}
    )


def test_what_cannot_be_measured_is_empty():
    mask = np.ones((4, 4), np.uint8)
    assert measure_faithfulness(np.zeros((4, 4), np.float32), mask) == {"pointing": None, "energy": None, "chance": 1.0}
    assert set(measure_faithfulness(np.ones((4, 4), np.float32), mask * 0).values()) == {None}


def measured(pointing, label="benign", method="gradcam", weights="trained"):
    ids = [f"{label}/{n}" for n in range(len(pointing))]
    row = {"label": label, "predicted": label, "method": method, "weights": weights, "energy": 0.5, "chance": 0.1}
    return pd.DataFrame({"id": ids, "pointing": pointing} | row)


def test_belief_is_summed_up_by_method_weights_and_class():
    maps = pd.concat([measured([1, 1, 1, 0]), measured([0, 0], "malignant"), measured([None] * 2,
                      "normal").assign(chance=None), measured([0, 0, 0, 0], weights="random")])  # fmt: skip
    summary = summarise_maps(maps, {id_: number for number, id_ in enumerate(maps["id"].unique())})
    keyed = summary.set_index(["weights", "class"])
    assert list(keyed.index) == [
        (weights, name) for weights in ("trained", "random") for name in ("benign", "malignant", "all")
    ]
    assert keyed["pointing"].tolist()[:4] == [0.75, 0.0, 0.5, 0.0]
    assert keyed["images"].tolist() == [4, 2, 6, 4, 0, 4]
    row = keyed.loc[("trained", "benign")]
    assert 0 <= row["pointing_low"] < 0.75 < row["pointing_high"] <= 1
    assert row["energy_low"] == row["energy_high"] == 0.5
    assert keyed.loc[("random", "malignant"), ["pointing", "energy_low"]].isna().all()


def test_near_duplicates_do_not_narrow_the_interval():
    once = measured([1, 0] * 10)
    twice = pd.concat([once, once.assign(id=once["id"] + " again")])
    groups = {id_: int(id_.split("/")[1].split()[0]) for id_ in twice["id"]}
    ends = ["pointing_low", "pointing_high"]
    narrow, honest = summarise_maps(once, groups), summarise_maps(twice, groups)
    assert honest[ends].equals(narrow[ends])
    assert honest["pointing_high"][0] - honest["pointing_low"][0] > 0.3


def test_empty_maps_are_left_out_and_counted():
    maps = measured([1, 1, None, None])
    row = summarise_maps(maps, dict(zip(maps["id"], range(4), strict=True))).iloc[0]
    assert (row["images"], row["without_map"], row["pointing"]) == (2, 2, 1.0)


def test_without_a_lesion_the_summary_of_belief_is_empty():
    assert summarise_maps(measured([None, None], "normal").assign(chance=None), {}).empty


def test_pointing_is_compared_with_chance_and_with_random_weights_on_the_same_images():
    trained, random = measured([1, 1, 0, 1, None]), measured([0, 1, 0, None, 1], weights="random")
    maps = pd.concat([trained, random.assign(chance=0.3)])
    summary = summarise_maps(maps, {id_: number for number, id_ in enumerate(trained["id"])})
    own, other = (summary.set_index(["weights", "class"]).loc[(name, "all")] for name in ("trained", "random"))
    assert own["pointing_minus_chance"] == pytest.approx(3 / 4 - 0.1)
    assert own["pointing_minus_chance_low"] == pytest.approx(own["pointing_low"] - 0.1)
    assert own["pointing_minus_random"] == pytest.approx(1 / 3)  # three images have both maps
    assert own["pointing_minus_random_low"] == 0 < own["pointing_minus_random_high"] < 1.01
    assert other["pointing_minus_chance"] == pytest.approx(2 / 4 - 0.3)
    assert np.isnan(other["pointing_minus_random"])
    shown = [_cells(row) for row in summary.to_dict("records") if row["class"] == "all"]
    assert shown[0]["pointing minus chance"].startswith("0.65 (")
    assert [row["pointing minus random weights"] for row in shown] == ["0.33 (0.00 to 1.00)", "-"]
