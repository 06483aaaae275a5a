"""What ResNet-101 costs, counted from its published layout, so that a report builds no network."""

_BLOCKS = (3, 4, 23, 3)  # of each stage
_WIDTH = 64  # channels within a block of the first stage; each later stage has twice as many
_EXPANSION = 4  # a block returns this many times as many channels


class ResNet101:
    """Count the weights of torchvision's `resnet101` and its arithmetic for one image of three channels.

    Args:
        classes: Number of classes.
        size: Height and width of the image, in pixels.

    References:
        He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR (2016), table 1.
    """

    def __init__(self, classes: int, size: int) -> None:
        self._weights = self._macs = self._normed = self._convolutions = 0
        side = _halve(size)
        self._convolve(3, _WIDTH, 7, side)
        side, inputs = _halve(side), _WIDTH
        for stage, blocks in enumerate(_BLOCKS):
            width = _WIDTH * 2**stage
            for block in range(blocks):
                self._convolve(inputs, width, 1, side)
                side = _halve(side) if stage and block == 0 else side
                self._convolve(width, width, 3, side)
                self._convolve(width, _EXPANSION * width, 1, side)
                if block == 0:  # the shortcut changes the number of channels
                    self._convolve(inputs, _EXPANSION * width, 1, side)
                inputs = _EXPANSION * width
        self._macs += inputs * classes
        self.parameters = self._weights + 2 * self._normed + inputs * classes + classes

    @property
    def costs(self) -> dict[str, int]:
        """`parameters`, `macs`, and `weight_bytes` of the state dict in float32, as `models.anatomy` counts them."""
        # A norm also stores a mean and a variance per channel, and the number of batches it has seen, in eight bytes.
        stored = 4 * (self.parameters + 2 * self._normed) + 8 * self._convolutions
        return {"parameters": self.parameters, "macs": self._macs, "weight_bytes": stored}

    def _convolve(self, inputs: int, outputs: int, kernel: int, side: int) -> None:
        """Add a convolution without bias to square maps of a side, and the norm that follows."""
        weights = inputs * outputs * kernel**2
        self._weights += weights
        self._macs += weights * side**2
        self._normed += outputs
        self._convolutions += 1


def _halve(side: int) -> int:
    return -(-side // 2)
