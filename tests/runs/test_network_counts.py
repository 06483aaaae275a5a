"""A run counts once what its network costs and is made of, so that a report builds no network."""

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from bus_lightning.models.anatomy import count_weights, trace_layers
from bus_lightning.report.costs import count_network, known_network
from bus_lightning.runs.finished import open_run
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.network import read_network, write_network

KEPT = Path(__file__).parents[1] / "kept" / "runs"
WITHOUT_TORCH = """
import sys
from bus_lightning.launch.report import main
code = main([sys.argv[1], "--no-wandb"])
sys.exit("torch was imported" if "torch" in sys.modules else code)
"""


@pytest.fixture
def counted(tmp_path):
    """The folder of a kept classifier, with what its network costs."""
    folder = RunDir(
        Path(shutil.copytree(KEPT / "classification" / "finished", tmp_path / "runs" / "grid" / "finished"))
    )
    run = open_run(folder.path)
    write_network(folder, count_network(run.config, run.origin))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("model", ["resnet34", "u2net_lite"])
def test_a_run_counts_on_its_trained_network_what_a_report_would_count(trained, model):
    run = trained(f"model={model}")
    opened = open_run(run.path)
    assert read_network(run) == count_network(opened.config, opened.origin)
    assert read_network(run)["macs"] > 0


def test_attention_is_counted_in_full_on_any_device():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    net = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Flatten(2), Turn(), layer)
    on_cpu = trace_layers(net.eval(), 3, 16)
    assert on_cpu == trace_layers(net.to("meta"), 3, 16)
    # Tokens times weights, then each token with each: 16 tokens of width 8.
    assert on_cpu["macs"] == 16 * 3 * 16 * 8 + 16 * (4 * 8 * 8 + 2 * 8 * 16) + 2 * 16 * 16 * 8


class Turn(nn.Module):
    """From (B, C, N) to (B, N, C)."""

    def forward(self, tokens):
        return tokens.transpose(1, 2)


class OwnGroups(nn.Linear):
    """A layer of a user, whose attribute `groups` means something else."""

    groups = ("first", "second")


def test_a_layer_that_only_looks_like_a_grouped_convolution_is_counted():
    net = nn.Sequential(OwnGroups(8, 2), nn.Sequential(nn.Conv2d(3, 6, 3, groups=3)))
    grouped, plain = (trace_layers(nn.Sequential(part), 3, 8)["layers"][0] for part in (net[1], net[0]))
    assert (grouped["groups"], plain["groups"]) == ([3, 2], [])


def test_weights_are_counted_in_float32_whatever_the_precision_of_the_run():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert count_weights(net.double()) == count_weights(net.bfloat16()) == count_weights(net.float())


class Unusual(nn.Module):
    """A layer with attributes that are no groups of a convolution, and no number that JSON keeps."""

    def __init__(self, groups):
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 1)
        self.groups, self.salt, self.levels = groups, 2**60, 2

    def forward(self, images):
        return self.convolution(images)


@pytest.mark.parametrize("groups", [4, (2, 2), nn.ModuleList()], ids=["number", "numbers", "modules"])
def test_any_network_is_counted_and_read_again(groups, tmp_path):
    net = nn.Sequential(*(Unusual(groups) for _ in range(1001)))
    counted = count_weights(net) | trace_layers(net.eval(), 3, 2)
    folder = RunDir(tmp_path)
    write_network(folder, counted)
    assert read_network(folder) == counted | {"layers": counted["layers"][:1000]}
    assert counted["macs"] == 1001 * 3 * 3 * 4
    assert counted["layers"][0]["groups"] == []
    assert counted["layers"][0]["options"] == {"levels": 2} | ({"groups": 4} if groups == 4 else {})


def test_counting_leaves_a_network_as_it_was():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state, fast = torch.random.get_rng_state(), torch.backends.mha.get_fastpath_enabled()
    assert count_weights(net) == {"parameters": 120, "weight_bytes": 4 * 128 + 8}
    trace_layers(net, 3, 8)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.slow
def test_a_report_of_runs_that_have_counted_needs_no_torch(counted):
    command = [sys.executable, "-c", WITHOUT_TORCH, str(counted.path.parent)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=counted.path.parents[2])
    assert result.returncode == 0, result.stderr
    costs = (counted.path.parent / "report" / "tables" / "costs.csv").read_text()
    assert f"{json.loads(counted.network.read_text())['parameters']:,}" in costs


@pytest.mark.parametrize(
    ("key", "value"),
    [("macs", -1), ("parameters", "many"), ("layers", [{"name": "fc"}]), ("layers", None), ("weight_bytes", None)],
)
def test_a_network_file_that_cannot_be_is_named_and_counted_again(counted, caplog, key, value):
    content = read_network(counted)
    counted.network.write_text(json.dumps(content | {key: value}))
    run = open_run(counted.path)
    with caplog.at_level(logging.WARNING):
        assert known_network(counted, run.config, run.origin) == content
    assert "network.json" in caplog.text
    assert key in caplog.text


def test_the_network_file_of_another_run_is_named_and_counted_again(counted, caplog):
    content = read_network(counted)
    counted.update_status(parameters=content["parameters"])
    assert read_network(counted) == content
    counted.network.write_text(json.dumps(content | {"parameters": 5}))
    run = open_run(counted.path)
    with caplog.at_level(logging.WARNING):
        assert known_network(counted, run.config, run.origin) == content
    assert "it counts 5 parameters, and the run has trained" in caplog.text
    assert "Remove it: a report then counts the network again." in caplog.text


def test_a_run_of_an_earlier_version_is_counted(counted):
    content = read_network(counted)
    counted.network.unlink()
    run = open_run(counted.path)
    assert known_network(counted, run.config, run.origin) == content
