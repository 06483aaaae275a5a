"""An image with its heat maps."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bus_lightning.statistics.faithfulness import MEASURES, Faithfulness, measure_faithfulness


@dataclass(frozen=True)
class ExplainedImage:
    """An image with what a network says of it, and why.

    Attributes:
        id: Of the image.
        label, predicted: Names of the true class and of the network's.
        probability: That the network gives its class, in [0, 1].
        image: (size, size, 1, 3 or 4) uint8, as the network saw it; a fourth channel is a mask.
        mask: (size, size) uint8 in {0, 1}.
        box: Where the image lies in the square: top, left, height, width.
        shape: (H, W) of the file; of one that was cut around its lesion, the square's.
        heat: By weights and method, (size, size) float32, not negative; maps that nobody needs are not there.
    """

    id: str
    label: str
    predicted: str
    probability: float
    image: np.ndarray
    mask: np.ndarray
    box: tuple[int, int, int, int]
    shape: tuple[int, int]
    heat: dict[str, dict[str, np.ndarray]]

    @cached_property
    def faithfulness(self) -> dict[str, dict[str, Faithfulness]]:
        """How well each map finds the lesion, by weights and method."""
        return {
            weights: {method: measure_faithfulness(heat, self.mask) for method, heat in maps.items()}
            for weights, maps in self.heat.items()
        }

    def rows(self, methods: list[str]) -> list[dict[str, Any]]:
        """Make the rows of `maps.csv`, one for each of the methods with each weights."""
        nothing: Faithfulness = dict.fromkeys(MEASURES)
        names = {"id": self.id, "label": self.label, "predicted": self.predicted}
        return [
            {**names, "method": method, "weights": weights, **found.get(method, nothing)}
            for weights, found in self.faithfulness.items()
            for method in methods
        ]
