"""The windows of occlusion cover every square."""

import pytest
import torch
from torch import nn

from bus_lightning.explain.heatmaps import HeatMaps, Settings


@pytest.mark.parametrize("side", [32, 34, 35])
def test_windows_of_occlusion_leave_no_gap_in_a_square_of_any_side(side):
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * side**2, 2))
    nn.init.ones_(net[1].weight)
    image = torch.zeros(1, 3, side, side)
    image[:, :, -1, -1] = 1  # the last window has this pixel
    settings = Settings(["occlusion"], images=None, integration_steps=1, occlusion_positions=4, random_seed=0)
    heat = HeatMaps(net, settings, image)(image, torch.tensor([1]))["occlusion"][0]
    assert heat[-1, -1] > 0
    assert heat[0, 0] == 0
