"""Compute the gradients of convolutions on a CPU in faster ways than oneDNN; any network, without a change."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch.nn import functional
from torch.overrides import TorchFunctionMode

from bus_lightning.tasks.depthwise import convolve_depthwise
from bus_lightning.tasks.matrix_gradients import convolve_with_matrices


class FastGradients(TorchFunctionMode):
    """Use the fast gradients for all convolutions of a forward pass that have them.

    The values of the forward pass stay the same to the bit, and gradients change by rounding. On other devices, nothing
    changes.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        """Call a function of PyTorch, or replace it."""
        if func is functional.conv2d:
            for convolve in (convolve_depthwise, convolve_with_matrices):
                if (y := convolve(*args, **(kwargs or {}))) is not None:
                    return y
        return func(*args, **(kwargs or {}))
