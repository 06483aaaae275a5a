"""What one network of a bundle predicts for a batch of images, and the mean over several networks.

The numbers are those of the evaluation in training: probabilities are averaged, of masks at the image's own resolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bus_lightning.core.class_names import HEALTHY
from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.activation_map import class_activation, place, restore
from bus_lightning.diagnosis.inputs import Input
from bus_lightning.diagnosis.networks import Network
from bus_lightning.diagnosis.stage import CLASS, MASK, Stage

_FEATURES = "features"


@dataclass(frozen=True)
class Predicted:
    """What a network predicts for B images."""

    stage: Stage
    inputs: list[Input]
    masks: np.ndarray | None  # (B, S, S) float32, probability of a lesion in its square
    scores: np.ndarray | None  # (B,) lesion scores in [0, 1], of a network that outlines
    logs: np.ndarray | None  # (B, K) float64, logarithms of the probabilities in the order of the bundle's classes
    features: np.ndarray | None  # (B, F, h, w) float32, of a network with a head

    def full_size(self, number: int, shape: tuple[int, int]) -> np.ndarray:
        """Resize the probabilities of an image's mask to the image's own resolution, (H, W) float32."""
        assert self.masks is not None
        return restore(self.masks[number], self.stage.preprocessing.box(shape), shape)

    def heat_map(self, number: int, name: str, shape: tuple[int, int]) -> np.ndarray | None:
        """Compute the class activation map of an image for a class, (H, W) float32 in [0, 1]; None without a head."""
        if self.features is None or self.stage.head is None:
            return None
        heat = class_activation(self.features[number], self.stage.head[self.stage.classes.index(name)])
        member_input = self.inputs[number]
        return place(heat, self.stage.preprocessing.size, member_input.box, member_input.part, shape)


class Member:
    """A network of a bundle, ready to predict; several threads may call it at once.

    Args:
        stage: The network.
        classes: The bundle's classes, whose order the predictions have.
        precision: One that the stage has a file of.
        threads: CPU threads; None for all.

    Raises:
        UserError: When the bundle does not have this precision, its file cannot be run, or does not fit its entry.
    """

    def __init__(self, stage: Stage, classes: Sequence[str], precision: str, threads: int | None) -> None:
        self.stage = stage
        self._network = Network(stage, precision, threads)
        self._outputs = stage.outputs if stage.head is None else (*stage.outputs, _FEATURES)
        self._order = [stage.classes.index(name) for name in classes] if stage.classifies else []
        self._healthy = stage.classes.index(HEALTHY) if HEALTHY in stage.classes else None
        needed = {MASK: 1, CLASS: len(stage.classes), _FEATURES: 0 if stage.head is None else stage.head.shape[1]}
        widths = [*self._network.widths, *[0] * len(self._outputs)]  # 0 stands for an output that is missing
        for name, width in zip(self._outputs, widths, strict=False):  # a file may leave a width open, and have more
            if width not in (None, needed[name]):
                raise UserError(f"{stage.files[precision]} does not fit its classes: export the runs again.")

    def predict(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray | None]) -> Predicted:
        """Predict a batch of images, (H, W, 3) uint8 each; the masks, (H, W) bool, are used if it takes them."""
        stage = self.stage
        inputs = [Input(stage, image, mask) for image, mask in zip(images, masks, strict=True)]
        batch = np.stack([member_input.normalised for member_input in inputs])
        if stage.flips:
            batch = np.concatenate([batch, batch[..., ::-1]])
        outputs = dict(zip(self._outputs, self._network(batch), strict=False))
        probabilities = logs = scores = None
        if MASK in outputs:
            mask = outputs[MASK][:, 0]
            probabilities = self._mean_of_sides(0.5 * (1 + np.tanh(0.5 * mask)))  # the sigmoid; it cannot overflow
            scores = probabilities.max(axis=(1, 2)).astype(np.float64)
        if CLASS in outputs:
            logs = _log_softmax(outputs[CLASS].astype(np.float64))
            if stage.flips:
                logs = np.logaddexp(*np.split(logs, 2)) - np.log(2)
            if scores is not None and self._healthy is not None:
                scores = scores * (1 - np.exp(logs[:, self._healthy]))
            logs = logs[:, self._order]
        features = self._mean_of_sides(outputs[_FEATURES]) if _FEATURES in outputs else None
        return Predicted(stage, inputs, probabilities, scores, logs, features)

    def _mean_of_sides(self, maps: np.ndarray) -> np.ndarray:
        """Average the maps (..., h, w) of images and their mirror images, if there are any."""
        if not self.stage.flips:
            return maps
        images, mirrored = np.split(maps, 2)
        return (images + mirrored[..., ::-1]) / 2


def mean_mask(everyone: Sequence[Predicted], number: int, shape: tuple[int, int]) -> np.ndarray:
    """Average the probabilities of an image's masks at the image's own resolution, (H, W) float32."""
    first, *others = everyone
    total = first.full_size(number, shape)
    for predicted in others:
        total += predicted.full_size(number, shape)
    return total / len(everyone) if others else total


def mean_logs(everyone: Sequence[Predicted], number: int) -> np.ndarray:
    """Average the probabilities of an image's classes: (K,) float64, logarithms of the means."""
    logs = np.array([predicted.logs[number] for predicted in everyone if predicted.logs is not None])
    return np.logaddexp.reduce(logs, axis=0) - np.log(len(logs))


def mean_heat(everyone: Sequence[Predicted], number: int, name: str, shape: tuple[int, int]) -> np.ndarray | None:
    """Average the class activation maps of the networks that have one, (H, W) float32 in [0, 1]; None without any.

    The mean of several has a maximum of 1, or is all 0; a single map is as `Predicted.heat_map` gives it.
    """
    total: np.ndarray | None = None
    maps = 0
    for predicted in everyone:
        if (heat := predicted.heat_map(number, name, shape)) is not None:
            total, maps = heat if total is None else total + heat, maps + 1
    if total is None or maps == 1:
        return total
    highest = total.max()
    return total / highest if highest > 0 else total


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the logarithms of probabilities, (B, K), from logits."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
