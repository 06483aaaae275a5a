"""What networks cost, counted without their weights and measured by their runs."""

import pytest
import torch
from costly_runs import costly
from torchvision.models import get_model_weights

from bus_lightning.config.build import build_net
from bus_lightning.report import costs as costing
from bus_lightning.report.costs import cost_frame, cost_table, count_network

# Parameters with 1000 classes (of a segmenter, all) and with three, and bytes of the saved state dict with three.
COUNTS = {
    "u2net_lite": (1_131_181, 1_131_181, 4_807_903),
    "u2net": (44_009_869, 44_009_869, 176_376_827),
    "deepcardinal50": (25_028_904, 22_986_051, 92_299_035),
    "resnet50": (25_557_032, 23_514_179, 94_351_131),
    "resnet34": (21_797_672, 21_286_211, 85_269_195),
    "alexnet": (61_100_840, 57_016_131, 228_069_615),
}
TORCHVISION = {"deepcardinal50": "resnext50_32x4d", "resnet101": "resnet101", "resnet50": "resnet50",
               "resnet34": "resnet34", "alexnet": "alexnet"}  # fmt: skip


@pytest.mark.parametrize("model", COUNTS)
def test_parameters_and_bytes_are_the_known_ones(composed, model):
    thousand, three, file_bytes = COUNTS[model]
    cfg = composed(f"model={model}", "debug_size=false", "data.num_classes=1000")
    if thousand != three:
        assert count_network(cfg)["parameters"] == thousand
        cfg.data.num_classes = 3
    costs = count_network(cfg)
    assert costs["parameters"] == three
    with torch.device("meta"):
        tensors = len(build_net(cfg.model, False).state_dict())
    assert 0 < file_bytes - costs["weight_bytes"] < 2_000 + 350 * tensors  # a file also has names and alignment


@pytest.mark.parametrize("model", TORCHVISION)
def test_macs_are_those_that_torchvision_publishes(composed, model):
    cfg = composed(f"model={model}", "data.num_classes=1000", "data.size=224", "debug_size=false")
    published = get_model_weights(TORCHVISION[model]).DEFAULT.meta["_ops"]  # of 10^9, at 224 pixels
    assert count_network(cfg)["macs"] / 1e9 == pytest.approx(published, abs=6e-4)


def test_counting_costs_draws_no_random_number(composed):
    before = torch.random.get_rng_state()
    count_network(composed("model=resnet34", "data.num_classes=3"))
    assert torch.equal(before, torch.random.get_rng_state())


def test_what_cannot_be_counted_is_unknown(composed, monkeypatch, caplog):
    cfg = composed("model=resnet34", "data.num_classes=3")

    class Odd(torch.nn.Linear):
        def forward(self, image):
            return torch.zeros(int(image.sum()))  # the meta device has no values

    monkeypatch.setattr(costing, "build_net", lambda *_: Odd(2, 3))
    assert count_network(cfg) == {"parameters": 9, "weight_bytes": 36}
    assert "resnet34" in caplog.text


def test_costs_of_several_runs_are_their_median(composed, tmp_path):
    runs = [{"seconds": 100.0, "images_per_second": 5.0}, {"seconds": 300.0, "images_per_second": 7.0}]
    costs = cost_frame([costly(composed, tmp_path, "resnet50", *runs)])
    (row,) = costs.to_dict("records")
    assert (row["runs"], row["seconds_per_epoch"], row["images_per_second"]) == (2, 20.0, 6.0)
    assert row["parameters"] == COUNTS["resnet50"][1]
    assert row["latency_ms"] is None


def test_a_network_without_a_run_has_a_row_of_known_costs(composed, tmp_path):
    trained = costly(composed, tmp_path, "resnet50", {"seconds": 100.0})
    known = {"size": 224, "debug_size": False, "runs": 0, "parameters": 7, "macs": 8e9, "weight_bytes": 28}
    costs = cost_frame([trained], [{"model": "other"} | known, {"model": "resnet50"} | known])
    assert costs["model"].tolist() == ["resnet50", "other"]
    table = cost_table(costs, {"other": "The Other"}).frame.astype(str)
    assert table["model"].tolist() == ["resnet50", "The Other"]
    assert table["latency, ms per image"].tolist() == ["-", "-"]
    assert table["parameters"].tolist() == ["23,514,179", "7"]
    assert table["MACs, 10^9"].tolist() == ["4.09", "8.00"]
    assert table["runs"].tolist() == ["1", "not trained"]
