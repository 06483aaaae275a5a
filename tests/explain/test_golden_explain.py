"""Heat maps and their measures, compared with the same computed window by window and draw by draw."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.activation_map import class_activation, place, restore
from bus_lightning.explain.explained_image import ExplainedImage
from bus_lightning.explain.heatmaps import HeatMaps, Settings, last_feature_map
from bus_lightning.statistics.faithfulness import measure_faithfulness, summarise_maps
from bus_lightning.statistics.intervals import group_draws, percentile_interval


class Small(nn.Module):
    """Two convolutions, pooling, and a linear layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3, stride=2, padding=1)
        )
        self.head = nn.Linear(5, 3)

    def forward(self, image):
        return self.head((self.body(image) ** 2).mean(dim=(2, 3)))


def settings(*methods, **options):
    defaults = {"images": None, "integration_steps": 40, "occlusion_positions": 5, "random_seed": 1} | options
    return Settings(methods, **defaults)


IMAGES = torch.rand(2, 3, 14, 22, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([2, 0])


def hidden(net, images, targets):
    """Hide each window in turn; a pixel gets the mean of how far the logit falls over the windows that cover it."""
    size, stride = (14 // 4, 22 // 4), (-(-(14 - 3) // 4), -(-(22 - 5) // 4))
    plain = images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    whole = net(images).gather(1, targets[:, None])[:, 0]
    total, times = torch.zeros(2, 14, 22), torch.zeros(14, 22)
    for row in range(0, 14 - size[0] + stride[0], stride[0]):
        for column in range(0, 22 - size[1] + stride[1], stride[1]):
            window = slice(row, min(row + size[0], 14)), slice(column, min(column + size[1], 22))
            changed = images.clone()
            changed[(..., *window)] = plain[(..., *window)]
            fallen = whole - net(changed).gather(1, targets[:, None])[:, 0]
            total[(slice(None), *window)] += fallen[:, None, None]
            times[window] += 1
    return total / times


def test_occlusion_is_the_mean_fall_of_the_logit_over_the_windows_that_cover_a_pixel():
    net = Small().eval()
    maps = HeatMaps(net, settings("occlusion"), IMAGES)
    with torch.no_grad():
        expected = hidden(net, IMAGES, TARGETS)
    torch.testing.assert_close(maps(IMAGES, TARGETS)["occlusion"], expected.clamp(min=0), rtol=1e-4, atol=1e-6)
    assert (expected < 0).any()


def test_grad_cam_weighs_channels_by_the_mean_gradient_of_the_logit():
    net = Small().eval()
    maps = HeatMaps(net, settings("gradcam"), IMAGES)
    assert maps.layer == "body.2"
    features = net.body(IMAGES).detach().requires_grad_()
    net.head((features**2).mean(dim=(2, 3))).gather(1, TARGETS[:, None]).sum().backward()
    summed = (features.grad.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1, keepdim=True).clamp(min=0)
    expected = F.interpolate(summed, (14, 22), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(maps(IMAGES, TARGETS)["gradcam"], expected.detach(), rtol=1e-4, atol=1e-7)
    assert maps(IMAGES, TARGETS)["gradcam"].any()


def test_integrated_gradients_start_at_the_mean_colour_and_are_blurred_by_a_fiftieth_of_the_side():
    class Square(nn.Module):
        def forward(self, image):
            return torch.stack([(image**2).sum(dim=(1, 2, 3)), -image.sum(dim=(1, 2, 3))], dim=1)

    images = torch.rand(2, 3, 60, 100, generator=torch.Generator().manual_seed(1))
    maps = HeatMaps(Square(), settings("integrated_gradients", integration_steps=100), images)(
        images, torch.tensor([0, 0])
    )
    # Along the straight line from the mean m to x the integral of 2x is x² - m².
    exact = (images**2 - images.mean(dim=(2, 3), keepdim=True) ** 2).sum(dim=1, keepdim=True)
    taps = torch.exp(-0.5 * (torch.arange(-6, 7) / 2.0) ** 2)
    taps = (taps / taps.sum())[None, None]
    padded = F.pad(exact, [6] * 4, mode="reflect")
    blurred = F.conv2d(F.conv2d(padded, taps[..., None, :]), taps[..., None])[:, 0]
    torch.testing.assert_close(maps["integrated_gradients"], blurred.clamp(min=0), rtol=1e-3, atol=2e-3)


def test_more_images_than_fit_at_once_have_the_same_maps():
    net, images = Small().eval(), torch.rand(40, 3, 14, 22, generator=torch.Generator().manual_seed(2))
    targets = torch.arange(40) % 3
    maps = HeatMaps(net, settings("gradcam", "integrated_gradients", "occlusion"), images)
    for method, heat in maps(images, targets).items():
        torch.testing.assert_close(heat[37:], maps(images[37:], targets[37:])[method], rtol=1e-3, atol=1e-5)


def test_maps_are_finite_not_negative_and_leave_the_network_without_gradients():
    net = Small()
    maps = HeatMaps(net, settings("gradcam"), IMAGES)
    assert not net.training
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert not net.body[1].inplace
    maps.methods = {"odd": lambda *_: torch.tensor([[[np.nan, np.inf, -np.inf, -1.0, 2.0]]])}
    assert maps(IMAGES, TARGETS)["odd"].tolist() == [[[0, 0, 0, 0, 2]]]


def test_what_runs_twice_or_has_one_position_is_no_last_feature_map():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.shared, self.point = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, (12, 20))

        def forward(self, image):
            return self.point(self.shared(self.shared(self.first(image)))).flatten(1)

    net = Shared().eval()
    assert last_feature_map(net, IMAGES) == "first"
    assert not net.first._forward_hooks


def test_options_have_a_least_value():
    for name, least in (("images", 1), ("integration_steps", 1), ("occlusion_positions", 4)):
        assert getattr(settings("occlusion", **{name: least}), name) == least
        with pytest.raises(UserError, match=f"{name}={least - 1}: give at least {least}"):
            settings("occlusion", **{name: least - 1})


def some_maps():
    rng = np.random.default_rng(4)
    rows = []
    for weights in ("trained", "random"):
        for k in range(14):
            label = ("benign", "malignant", "normal")[k % 3]
            measured = rng.random(3) if label != "normal" else [None] * 3
            if k == 4:
                measured = [None, None, 0.3]
            rows.append({"id": f"i{k}", "label": label, "method": "gradcam", "weights": weights,
                         **dict(zip(("pointing", "energy", "chance"), measured, strict=True))})  # fmt: skip
    return pd.DataFrame(rows).astype(dict.fromkeys(("pointing", "energy", "chance"), float))


def test_belief_has_the_intervals_of_draws_of_whole_groups():
    maps = some_maps()
    groups = {f"i{k}": k // 6 * 3 + k % 3 for k in range(14)}  # two images of a class make a group
    lesions = maps[maps["label"] != "normal"]
    images = lesions.drop_duplicates("id")
    drawn, times = group_draws([groups[i] for i in images["id"]], images["label"].tolist(), 300, 7)
    place = {group: k for k, group in enumerate(drawn.tolist())}
    summary = summarise_maps(maps, groups, draws=300, seed=7).set_index(["weights", "class"])
    for (weights, name), row in summary.iterrows():
        every = lesions[(lesions["weights"] == weights) & ((lesions["label"] == name) | (name == "all"))]
        kept = every.dropna(subset="pointing")
        assert (row["images"], row["without_map"]) == (len(kept), len(every) - len(kept))
        for key in ("pointing", "energy", "chance"):
            means = []
            for draw in times:
                weight = np.array([draw[place[groups[i]]] for i in kept["id"]])
                means.append(np.average(kept[key], weights=weight) if weight.any() else np.nan)
            assert row[key] == pytest.approx(kept[key].mean())
            expected = percentile_interval(np.array(means))
            assert (row[f"{key}_low"], row[f"{key}_high"]) == pytest.approx(expected, rel=1e-5)
    assert summary["without_map"].tolist() == [0, 1, 1, 0, 1, 1]
    again = summarise_maps(maps, groups).set_index(["weights", "class"])
    assert again.equals(summarise_maps(maps, groups, draws=2000, seed=0).set_index(["weights", "class"]))


def test_the_rows_of_an_image_are_its_methods_with_each_weights():
    mask = np.zeros((6, 9), np.uint8)
    mask[1:3, 2:7] = 1
    heat = np.random.default_rng(0).random((6, 9)).astype(np.float32)
    maps = {"trained": {"gradcam": heat, "occlusion": heat.T.copy().reshape(6, 9)}, "random": {"gradcam": heat[::-1]}}
    image = ExplainedImage("x", "benign", "normal", 0.7, heat, mask, (0, 0, 6, 9), (6, 9), maps)
    rows = image.rows(["gradcam", "occlusion"])
    assert [(row["weights"], row["method"]) for row in rows] == [
        (weights, method) for weights in ("trained", "random") for method in ("gradcam", "occlusion")
    ]
    assert all((row["id"], row["label"], row["predicted"]) == ("x", "benign", "normal") for row in rows)
    for row in rows[:3]:
        assert {key: row[key] for key in measure_faithfulness(heat, mask)} == measure_faithfulness(
            maps[row["weights"]][row["method"]], mask
        )
    assert rows[3]["pointing"] is rows[3]["energy"] is rows[3]["chance"] is None


def test_the_black_borders_of_a_padded_image_count_in_no_measure():
    heat, mask = np.zeros((8, 8), np.float32), np.zeros((8, 8), np.uint8)
    heat[0, 0], heat[3, 2], heat[5, 6] = 9, 3, 1  # the strongest lies in the border above the image
    mask[2:4, 1:4] = 1
    maps = {"trained": {"gradcam": heat}}
    image = ExplainedImage("x", "benign", "benign", 0.7, heat, mask, (2, 0, 4, 8), (4, 8), maps)
    assert image.faithfulness["trained"]["gradcam"] == {"pointing": 1, "energy": 3 / 4, "chance": 6 / 32}


def test_a_class_activation_is_the_weighted_sum_of_the_channels_cut_at_zero():
    rng = np.random.default_rng(0)
    features, weights = rng.normal(size=(5, 3, 4)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    summed = sum(weight * channel for weight, channel in zip(weights, features, strict=True)).clip(0)
    heat = class_activation(features, weights)
    np.testing.assert_allclose(heat, summed / summed.max(), rtol=1e-5)
    assert heat.dtype == np.float32


def test_a_map_comes_back_to_its_place_where_all_sides_differ():
    # A plane stays a plane under bilinear resizing, except at its edges.
    size, box, part, shape = 64, (6, 11, 32, 40), (slice(30, 78), slice(20, 120)), (90, 150)
    y, x = np.mgrid[:8, :16]
    heat = (0.2 + 0.5 * (y + 0.5) / 8 + 0.3 * (x + 0.5) / 16).astype(np.float32)
    placed = place(heat, size, box, part, shape)
    assert placed.shape == shape
    rows, columns = np.mgrid[8:40, 8:80]
    across = (11 + (columns + 0.5) * 40 / 100) / size
    down = (6 + (rows + 0.5) * 32 / 48) / size
    np.testing.assert_allclose(placed[part][8:40, 8:80], 0.2 + 0.5 * down + 0.3 * across, atol=0.01)
    outside = placed.copy()
    outside[part] = 0
    assert not outside.any()
    square = np.arange(48, dtype=np.float32).reshape(6, 8)
    np.testing.assert_array_equal(restore(square, (1, 2, 3, 4), (3, 4)), square[1:4, 2:6])
