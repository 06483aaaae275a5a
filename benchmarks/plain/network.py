"""A pre-trained network, as a typical project takes it: timm's, with a new head."""

import timm
from torch import nn

from bus_lightning.models.weights import efficientnet_lite0_imagenet


def efficientnet_lite0(num_classes: int) -> nn.Module:
    """Build EfficientNet-Lite0 with ImageNet weights, which a package holds, so that nothing is downloaded."""
    net: nn.Module = timm.create_model("tf_efficientnet_lite0", num_classes=num_classes)
    weights = {name: value for name, value in efficientnet_lite0_imagenet().items() if "classifier" not in name}
    missing, unknown = net.load_state_dict(weights, strict=False)
    assert not unknown, unknown
    assert all(name.startswith("classifier.") for name in missing), missing
    return net
