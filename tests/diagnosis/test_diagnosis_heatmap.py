import numpy as np
import pytest
import torch
from torchvision.models import resnet18

from bus_lightning.data.preprocess import Preprocessing
from bus_lightning.diagnosis.activation_map import class_activation, place, restore
from bus_lightning.explain.heatmaps import HeatMaps, Settings
from bus_lightning.export.heads import WithFeatures, find_head
from bus_lightning.models.maps import predicted_mask


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return resnet18(num_classes=3).eval()


@pytest.mark.parametrize("target", [0, 1, 2])
def test_the_map_is_grad_cam_up_to_scale(net, target):
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    head = find_head(net, images)
    with torch.no_grad():
        _, features = WithFeatures(net, head)(images)
    grad_cam = HeatMaps(net, Settings(["gradcam"], None, 1, 4, 0), images)
    expected = grad_cam(images, torch.tensor([target] * 2))["gradcam"].numpy()
    for image in range(2):
        heat = class_activation(features[image].numpy(), head.weights[target])
        actual = place(heat, 96, (0, 0, 96, 96), (slice(0, 96), slice(0, 96)), (96, 96))
        assert expected[image].max() > 0
        np.testing.assert_allclose(actual / actual.max(), expected[image] / expected[image].max(), atol=1e-4)


def test_a_map_that_speaks_against_its_class_is_empty():
    features = np.ones((4, 3, 3), np.float32)
    assert class_activation(features, np.full(4, -1, np.float32)).max() == 0
    assert class_activation(features, np.full(4, 2, np.float32)).max() == 1


@pytest.mark.parametrize("shape", [(471, 562), (100, 300), (33, 20)])
@pytest.mark.parametrize("resize", ["stretch", "pad"])
def test_masks_come_back_as_they_do_in_training(resize, shape):
    box = Preprocessing(size=64, resize=resize).box(shape)
    probability = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = predicted_mask(probability, list(box), shape).numpy()
    actual = restore(probability[0].numpy(), box, shape)
    assert actual.shape == shape
    assert ((actual >= 0.5) != expected).mean() < 1e-4


def test_the_map_lies_where_the_network_looked():
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1
    whole = place(heat, 64, (0, 0, 64, 64), (slice(100, 200), slice(50, 250)), (400, 500))
    rows, columns = np.nonzero(whole > 0.9)
    assert (rows.min(), columns.min()) == (100, 50)
    assert rows.max() < 150
    assert columns.max() < 150
    assert whole[200:].max() == 0
    assert whole[:, 250:].max() == 0
