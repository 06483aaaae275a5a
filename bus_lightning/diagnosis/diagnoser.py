"""From frames to diagnoses: outline, classify, explain, measure, doubt."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from bus_lightning.core.class_names import MALIGNANT
from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.activation_map import class_activation, place, restore
from bus_lightning.diagnosis.bundle import Bundle, Stage
from bus_lightning.diagnosis.doubt import Doubt, find_doubts, is_blank, is_like
from bus_lightning.diagnosis.frames import BLANK, Frame
from bus_lightning.diagnosis.measurements import Measurements, measure
from bus_lightning.diagnosis.networks import Network
from bus_lightning.diagnosis.trained_on import is_synthetic

_PART = "test"  # new images are preprocessed like this part of the split
_THRESHOLD = 0.5  # probability of a lesion pixel, as in training


@dataclass(frozen=True)
class Diagnosis:
    """What the networks answer, and the doubts about it."""

    probabilities: dict[str, float]  # of each class
    calibrated: bool  # whether a temperature was fitted on out-of-fold predictions
    answer: str  # the most likely class
    malignant_flag: bool | None  # whether malignant is above the bundle's threshold; None without one
    mask: np.ndarray  # (H, W) bool, the lesion, at the image's own resolution
    measurements: Measurements
    heat_map: np.ndarray | None  # (H, W) float32 in [0, 1], the class activation map of the answer
    doubts: tuple[Doubt, ...]  # the most important first


class Diagnoser:
    """Diagnose with a bundle's networks, by default in its default precision; several threads may do so at once.

    Raises:
        UserError: When the bundle does not have this precision, or its reference statistics are of another version.
    """

    def __init__(self, bundle: Bundle, precision: str | None = None, threads: int | None = None) -> None:
        self.bundle, self.precision = bundle, precision or bundle.default_precision
        is_like(np.zeros((2, 2, 3), np.uint8), bundle.reference)  # fails now rather than with the first image
        with ThreadPoolExecutor(2) as pool:  # compiling takes most of the time of a start
            stages = (bundle.segmenter, bundle.classifier)
            self._segment, self._classify = pool.map(lambda stage: Network(stage, self.precision, threads), stages)
        self._check_outputs()

    def _check_outputs(self) -> None:
        """Refuse networks whose outputs do not fit the bundle's classes and head; a file may leave them open."""
        classes, *features = self._classify.widths
        given = [classes, self._segment.widths[0]]
        needed = [len(self.bundle.classes), 1]
        if self.bundle.head is not None:
            given.append(features[0] if features else 0)
            needed.append(self.bundle.head.shape[1])
        if any(width not in (None, count) for width, count in zip(given, needed, strict=True)):
            raise UserError(f"The networks of {self.bundle.path} do not fit its classes: export the runs again.")

    def diagnose(self, frames: Sequence[Frame], heat_map: bool = True) -> list[Diagnosis]:
        """Diagnose a batch of frames of any sizes, with or without heat maps."""
        if not frames:
            return []
        images = [frame.image for frame in frames]
        masks = self._outline(images)
        inputs = [_Input(self.bundle.classifier, image, mask) for image, mask in zip(images, masks, strict=True)]
        logits, *features = self._classify(np.stack([given.normalised for given in inputs]))
        maps = features[0] if heat_map and features and self.bundle.head is not None else [None] * len(frames)
        return [self._answer(*parts) for parts in zip(frames, masks, inputs, logits, maps, strict=True)]

    def _outline(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Find the lesion in each image, (H, W) bool."""
        stage = self.bundle.segmenter
        (logits,) = self._segment(np.stack([_Input(stage, image).normalised for image in images]))
        probabilities = 0.5 * (1 + np.tanh(0.5 * logits[:, 0]))  # the sigmoid in a form that cannot overflow
        shapes = [image.shape[:2] for image in images]
        return [
            restore(probability, stage.preprocessing.box(shape), shape) >= _THRESHOLD
            for probability, shape in zip(probabilities, shapes, strict=True)
        ]

    def _answer(
        self, frame: Frame, mask: np.ndarray, given: "_Input", logits: np.ndarray, features: np.ndarray | None
    ) -> Diagnosis:
        bundle = self.bundle
        shares = _softmax(logits.astype(np.float64) / (bundle.temperature or 1))
        probabilities = dict(zip(bundle.classes, shares.tolist(), strict=True))
        likeliest = int(shares.argmax())
        measurements = measure(mask, frame.spacing_mm)  # before the heat map, because each takes much memory
        flag = heat = None
        if bundle.thresholds and MALIGNANT in bundle.thresholds and MALIGNANT in probabilities:
            flag = probabilities[MALIGNANT] >= bundle.thresholds[MALIGNANT]["threshold"]
        if features is not None and bundle.head is not None:
            size = bundle.classifier.preprocessing.size
            heat = place(class_activation(features, bundle.head[likeliest]), size, given.box, given.part, mask.shape)
        is_ultrasound, synthetic = is_like(frame.image, bundle.reference), is_synthetic(bundle.trained_on)
        of_image = (*frame.doubts, BLANK) if is_blank(frame.image) else frame.doubts
        return Diagnosis(
            probabilities=probabilities,
            calibrated=bundle.temperature is not None,
            answer=bundle.classes[likeliest],
            malignant_flag=flag,
            mask=mask,
            measurements=measurements,
            heat_map=heat,
            doubts=find_doubts(is_ultrasound, probabilities, flag, measurements, synthetic, of_image),
        )


class _Input:
    """An image prepared for a network in the order of training: crop, clean, resize, draw the mask, normalise.

    The network sees the `part` (rows, columns) of the image in the `box` (top, left, height, width) of its square,
    `normalised`, (C, size, size) float32.
    """

    def __init__(self, stage: Stage, image: np.ndarray, mask: np.ndarray | None = None) -> None:
        overlay, preprocessing = stage.overlay, stage.preprocessing
        self.part = (slice(0, image.shape[0]), slice(0, image.shape[1]))
        drawn = None if mask is None or overlay is None or not overlay.applies_to(_PART) else mask.astype(np.uint8)
        if drawn is not None and overlay is not None and overlay.crops(_PART):
            self.part = overlay.box(drawn)
            image, drawn = image[self.part], np.ascontiguousarray(drawn[self.part])
        cleaned = preprocessing.clean(image) if _PART in preprocessing.parts else image
        square = preprocessing.fit(cleaned)
        if drawn is not None and overlay is not None:
            square = overlay.draw(square, preprocessing.fit(drawn, is_mask=True))
        self.box = preprocessing.box(image.shape[:2])
        self.normalised = _normalise(square, stage)


def _normalise(square: np.ndarray, stage: Stage) -> np.ndarray:
    """Convert (size, size, 3 or 4) uint8 to the (C, size, size) float32 that a network takes."""
    if stage.channels == 1:
        square = cv2.transform(square.astype(np.float32), np.array([[0.299, 0.587, 0.114]], np.float32))[..., None]
    # A mask in the fourth channel becomes -1 and 1.
    mean, deviation = (np.array([*values, 0.5][: stage.channels], np.float32) for values in (stage.mean, stage.std))
    normalised = np.empty((stage.channels, *square.shape[:2]), np.float32)
    for number, (scale, shift) in enumerate(zip(1 / (255 * deviation), mean / deviation, strict=True)):
        np.multiply(square[..., number], scale, out=normalised[number])
        normalised[number] -= shift
    return normalised


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
