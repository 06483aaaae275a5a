"""Make heat maps of a classifier: how much each pixel of an image supports a class."""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms.v2.functional import gaussian_blur

from bus_lightning.core.errors import UserError

TITLES = {"gradcam": "Grad-CAM", "integrated_gradients": "Integrated gradients", "occlusion": "Occlusion"}
_BLUR = 0.02  # standard deviation of the blur of gradients, as a share of the image's side
_AT_ONCE = 32  # images in one pass through the network; limits the memory
# Modules that only pass on, reduce or wrap the feature map of another module.
_NO_FEATURES = re.compile(r"Pool\w*\dd(Same)?$|Dropout|DropPath|Identity|Flatten|Sequential")


@dataclass(frozen=True)
class Settings:
    """The methods of the heat maps and their resolution.

    Attributes:
        methods: Names from `TITLES`.
        images: Number of test images, evenly chosen; None chooses all.
        integration_steps: Number of points between the empty image and the image for integrated gradients.
        occlusion_positions: Positions of the window along each side of the image, up to rounding to whole pixels.
        random_seed: Seed of the random weights that the trained ones are compared with.
    """

    methods: Sequence[str]
    images: int | None
    integration_steps: int
    occlusion_positions: int
    random_seed: int

    def __post_init__(self) -> None:
        for method in self.methods:
            if method not in TITLES:
                raise UserError(f"explain_options.methods: {method} is unknown: choose from {', '.join(TITLES)}.")
        if not self.methods:
            raise UserError(f"explain_options.methods is empty: choose from {', '.join(TITLES)}.")
        for name, least in {"images": 1, "integration_steps": 1, "occlusion_positions": 4}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"explain_options.{name}={value}: give at least {least}.")


class HeatMaps:
    """Make heat maps of one network.

    `methods` has no Grad-CAM if the network does not end with a feature map.

    Args:
        net: (B, C, H, W) images -> (B, K) logits, float32. It is changed: to evaluation mode, without gradients of its
            weights, and without in-place activations, which would change the input of a layer.
        settings: The methods and their resolution.
        example: A batch of images, to find the last feature map.

    References:
        Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, 2017.
        Sundararajan et al., Axiomatic Attribution for Deep Networks, 2017 (integrated gradients).
        Zhang et al., Top-down Neural Attention by Excitation Backprop, 2018 (their blur).
        Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014 (occlusion).
    """

    def __init__(self, net: nn.Module, settings: Settings, example: Tensor) -> None:
        self.net = net.eval().requires_grad_(False)
        for module in self.net.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]
        self.settings = settings
        self.layer = last_feature_map(self.net, example[:1]) if "gradcam" in settings.methods else None
        known: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "gradcam": self._gradcam,
            "integrated_gradients": self._integrated_gradients,
            "occlusion": self._occlusion,
        }
        self.methods = {
            method: known[method] for method in settings.methods if method != "gradcam" or self.layer is not None
        }

    def __call__(self, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Make the maps of a batch.

        Args:
            images: (B, C, H, W) float32, normalised.
            targets: (B,) int64, the class of each map.

        Returns:
            By method, (B, H, W) float32 on the CPU: evidence for the class. Evidence against it, and values that are
            not finite, are 0.
        """
        maps = {method: make(images, targets) for method, make in self.methods.items()}
        return {method: heat.nan_to_num(0, 0, 0).clamp(min=0).detach().cpu() for method, heat in maps.items()}

    def _gradcam(self, images: Tensor, targets: Tensor) -> Tensor:
        """Weigh the channels of the last feature map by their mean gradients, and resize the sum to the image."""
        coarse = LayerGradCam(self.net, self.net.get_submodule(self.layer or "")).attribute(
            images, target=targets, relu_attributions=True
        )
        return functional.interpolate(coarse, images.shape[2:], mode="bilinear", align_corners=False)[:, 0]

    def _integrated_gradients(self, images: Tensor, targets: Tensor) -> Tensor:
        """Integrate the gradients from the empty image to the image, sum over the channels and blur the sum.

        Single pixels are too noisy: like other maps of gradients, the map is blurred by 2% of the side.
        """
        gradients: Tensor = IntegratedGradients(self.net).attribute(
            images, _empty(images), target=targets, n_steps=self.settings.integration_steps,
            internal_batch_size=max(_AT_ONCE, len(images)),
        )  # fmt: skip
        sigma = _BLUR * images.shape[-1]
        return gaussian_blur(gradients.sum(dim=1, keepdim=True), [2 * math.ceil(3 * sigma) + 1] * 2, [sigma] * 2)[:, 0]

    def _occlusion(self, images: Tensor, targets: Tensor) -> Tensor:
        """Measure the drop of the logit if a window is hidden, as the mean over the windows that cover a pixel.

        The window's sides are a quarter of the image's.
        """
        last = self.settings.occlusion_positions - 1
        window = [max(1, side // 4) for side in images.shape[2:]]
        strides = [
            min(size, math.ceil((side - size) / last))  # no gap between two windows
            for side, size in zip(images.shape[2:], window, strict=True)
        ]
        drop: Tensor = Occlusion(self.net).attribute(
            images, (images.shape[1], *window), (1, *strides), _empty(images), target=targets,
            perturbations_per_eval=max(1, _AT_ONCE // len(images)),
        )  # fmt: skip
        return drop[:, 0]


def last_feature_map(net: nn.Module, images: Tensor) -> str | None:
    """Find the last module, in the order of their outputs, whose output is a feature map with several positions.

    Modules that only pass on the output of another one (pooling, dropout, containers) do not count, and neither do
    modules that run more than once.

    Args:
        net: Any classifier, in evaluation mode.
        images: (B, C, H, W), normalised.

    Returns:
        The module's name; None if there is none, as in a network that ends with tokens.
    """
    ended: list[tuple[str, nn.Module, torch.Size]] = []

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                ended.append((name, module, output.shape))

        return hook

    hooks = [module.register_forward_hook(note(name)) for name, module in net.named_modules() if name]
    try:
        with torch.no_grad():
            net(images)
    finally:
        for handle in hooks:
            handle.remove()
    runs = Counter(name for name, _, _ in ended)
    for name, module, shape in reversed(ended):
        if _is_tokens(module, shape):
            return None
        is_map = len(shape) == 4 and shape[2] * shape[3] > 1
        if is_map and runs[name] == 1 and not _NO_FEATURES.search(type(module).__name__):
            return name
    return None


def _is_tokens(module: nn.Module, shape: torch.Size) -> bool:
    """Check whether an output is a row of tokens, (B, N, C), or a map with channels last, (B, H, W, C)."""
    channels_last = len(shape) == 4 and isinstance(module, nn.LayerNorm) and module.normalized_shape == shape[3:]
    return len(shape) == 3 or (channels_last and shape[1] != shape[3])


def _empty(images: Tensor) -> Tensor:
    """Make empty images with the mean colour of each image; black looks like a hypoechoic lesion."""
    return images.mean(dim=(2, 3), keepdim=True).expand_as(images)
