"""The paper's claim about the cost of DeepCardinal-50 is checked against what runs have counted and measured."""

import pytest
from costly_runs import costly

from bus_lightning.paper.additions import EXTENSION
from bus_lightning.paper.cost_claim import cost_claim
from bus_lightning.report import costs as costing
from bus_lightning.report.costs import cost_frame, cost_table, count_network


def costs_with_reference(conditions):
    return cost_frame(conditions, EXTENSION.cost_rows(conditions))


def test_resnet101_is_counted_next_to_the_classifiers(composed, tmp_path):
    costs = costs_with_reference([costly(composed, tmp_path, "resnet50", {})])
    row = costs.to_dict("records")[1]
    assert (row["model"], row["parameters"], row["macs"]) == ("resnet101", 42_506_307, 7_799_363_584)
    table = cost_table(costs, EXTENSION.titles).frame
    assert table["model"].tolist() == ["ResNet-50", "ResNet-101"]
    assert table["runs"].tolist() == ["1", "not trained"]


def test_the_reference_costs_what_the_resnet101_of_the_config_group_costs(composed, tmp_path):
    cfg = composed("model=resnet101", "data.num_classes=3", "data.size=224", "debug_size=false")
    reference = EXTENSION.cost_rows([costly(composed, tmp_path, "resnet50", {})])[0]
    counted = count_network(cfg)
    assert all(reference[key] == counted[key] for key in ("parameters", "macs", "weight_bytes"))


@pytest.fixture
def pair(composed, tmp_path, monkeypatch):
    reference = {"parameters": 42_506_307, "macs": 7_799_363_584, "weight_bytes": 1}
    monkeypatch.setattr(costing, "count_network", lambda *_: reference)

    def make(latency, **deep):
        counted = {"weight_bytes": 9_000_000, "macs": 4_087_142_400, "parameters": 23_514_179}
        resnet = costly(composed, tmp_path, "resnet50", {"latency_ms": 2.0, "seconds": 50.0}, **counted)
        deep = {"latency_ms": latency, "seconds": 40.0} | counted | deep
        return costs_with_reference([resnet, costly(composed, tmp_path, "deepcardinal50", deep)])

    return make


def test_the_claim_of_cost_is_judged_by_numbers(pair):
    holds = cost_claim(pair(2.1), {})
    assert holds.kind == "good"
    assert "ResNet-101 has 42,506,307" in holds.text


def test_a_slower_deepcardinal_breaks_the_claim(pair):
    broken = cost_claim(pair(3.0), {})
    assert broken.kind == "warning"
    assert "3.0 against 2.0 ms per image (1.50 times" in broken.text


def test_speeds_of_two_devices_are_not_compared(pair):
    note = cost_claim(pair(3.0, device="CPU"), {})
    assert note.kind == "plain"
    assert "not measured for both on one device" in note.text


def test_small_networks_for_debugging_are_not_judged(composed, tmp_path):
    counted = {"parameters": 1, "macs": 2, "weight_bytes": 3, "debug": True}
    models = ("resnet50", "deepcardinal50")
    costs = costs_with_reference([costly(composed, tmp_path, model, {}, **counted) for model in models])
    assert costs["model"].tolist() == ["resnet50", "deepcardinal50"]  # no full ResNet-101 next to them
    assert "Not judged here" in cost_claim(costs, {}).text
    assert "small, for debugging" in cost_table(costs, {}).frame["model"].iloc[0]
