"""An image with its heat maps."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bus_lightning.statistics.faithfulness import MEASURES, Faithfulness, measure_faithfulness


@dataclass(frozen=True)
class ExplainedImage:
    """An image with the prediction of a network and heat maps that explain it.

    Attributes:
        id: Id of the image.
        label, predicted: Names of the true and of the predicted class.
        probability: Probability of the predicted class, in [0, 1].
        image: (size, size, 1, 3 or 4) uint8, the input of the network; a fourth channel is a mask.
        mask: (size, size) uint8 in {0, 1}.
        box: Where the image is in the square: top, left, height, width.
        shape: (H, W) of the file, or of the square if the image was cropped around its lesion.
        heat: By weights and method, (size, size) float32, not negative; only the maps that are needed.
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
        """How well each map finds the lesion within the image, without black borders, by weights and method."""
        top, left, height, width = self.box
        inside = slice(top, top + height), slice(left, left + width)
        return {
            weights: {method: measure_faithfulness(heat[inside], self.mask[inside]) for method, heat in maps.items()}
            for weights, maps in self.heat.items()
        }

    def rows(self, methods: list[str]) -> list[dict[str, Any]]:
        """Return the rows of `maps.csv`, one for each method and weights."""
        unmeasured: Faithfulness = dict.fromkeys(MEASURES)
        names = {"id": self.id, "label": self.label, "predicted": self.predicted}
        return [
            {**names, "method": method, "weights": weights, **of_weights.get(method, unmeasured)}
            for weights, of_weights in self.faithfulness.items()
            for method in methods
        ]
