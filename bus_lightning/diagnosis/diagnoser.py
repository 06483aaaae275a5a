"""From frames to diagnoses: outline, classify, explain, measure, doubt."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from bus_lightning.core.class_names import MALIGNANT
from bus_lightning.diagnosis.bundle import Bundle
from bus_lightning.diagnosis.doubt import Doubt, find_doubts, is_blank, is_like
from bus_lightning.diagnosis.frames import BLANK, Frame
from bus_lightning.diagnosis.measurements import Measurements, measure
from bus_lightning.diagnosis.members import Member, Predicted, mean_heat, mean_logs, mean_mask
from bus_lightning.diagnosis.networks import computed_precision
from bus_lightning.diagnosis.trained_on import is_synthetic

_THRESHOLD = 0.5  # probability of a lesion pixel, as in training


@dataclass(frozen=True)
class Diagnosis:
    """What the networks answer, and the doubts about it."""

    probabilities: dict[str, float]  # of each class; empty if the bundle does not classify
    calibrated: bool  # whether a temperature was fitted on predictions for images that the networks did not learn
    answer: str | None  # the most likely class; None if the bundle does not classify
    malignant_flag: bool | None  # whether malignant is above the bundle's threshold; None without one
    mask: np.ndarray | None  # (H, W) bool, the lesion, at the image's own resolution; None if the bundle has no outline
    measurements: Measurements | None  # None if the bundle has no outline
    heat_map: np.ndarray | None  # (H, W) float32 in [0, 1], the class activation map of the answer
    doubts: tuple[Doubt, ...]  # the most important first


class Diagnoser:
    """Diagnose with a bundle's networks, by default in its default precision; several threads may do so at once.

    Raises:
        UserError: When the bundle does not have this precision, or its reference statistics are of another version.
    """

    def __init__(self, bundle: Bundle, precision: str | None = None, threads: int | None = None) -> None:
        asked = precision or bundle.default_precision
        self.bundle, self.precision = bundle, computed_precision(asked)
        is_like(np.zeros((2, 2, 3), np.uint8), bundle.reference)  # fails now rather than with the first image
        with ThreadPoolExecutor(2) as pool:  # compiling takes most of the time of a start
            stages = bundle.networks.values()
            members = list(pool.map(lambda stage: Member(stage, bundle.classes, asked, threads), stages))
        self._outliners = [member for member in members if member.stage.outlines]
        self._classifiers = [member for member in members if not member.stage.outlines]

    def diagnose(self, frames: Sequence[Frame], heat_map: bool = True) -> list[Diagnosis]:
        """Diagnose a batch of frames of any sizes, with or without heat maps."""
        if not frames:
            return []
        images = [frame.image for frame in frames]
        nothing: list[np.ndarray | None] = [None] * len(frames)
        outlined = [member.predict(images, nothing) for member in self._outliners]
        masks = [self._outline(outlined, number, image) for number, image in enumerate(images)] if outlined else nothing
        everyone = outlined + [member.predict(images, masks) for member in self._classifiers]
        classified = [predicted for predicted in everyone if predicted.logs is not None]
        return [self._answer(frame, masks[k], classified, k, heat_map) for k, frame in enumerate(frames)]

    def _outline(self, outlined: Sequence[Predicted], number: int, image: np.ndarray) -> np.ndarray:
        """Find the lesion in an image, (H, W) bool; the no-lesion rule may leave none."""
        mask = mean_mask(outlined, number, image.shape[:2]) >= _THRESHOLD
        scores = [float(predicted.scores[number]) for predicted in outlined if predicted.scores is not None]
        if sum(scores) / len(scores) < self.bundle.least_score:
            mask[:] = False
        return mask

    def _answer(
        self, frame: Frame, mask: np.ndarray | None, classified: Sequence[Predicted], number: int, heat_map: bool
    ) -> Diagnosis:
        bundle = self.bundle
        measurements = None if mask is None else measure(mask, frame.spacing_mm)
        probabilities: dict[str, float] = {}
        answer = flag = heat = None
        if classified:
            shares = _softmax(mean_logs(classified, number) / (bundle.temperature or 1))
            probabilities = dict(zip(bundle.classes, shares.tolist(), strict=True))
            answer = bundle.classes[int(shares.argmax())]
            if bundle.thresholds and MALIGNANT in bundle.thresholds and MALIGNANT in probabilities:
                flag = probabilities[MALIGNANT] >= bundle.thresholds[MALIGNANT]["threshold"]
            if heat_map:  # after the measurements, because each takes much memory
                heat = mean_heat(classified, number, answer, frame.image.shape[:2])
        is_ultrasound, synthetic = is_like(frame.image, bundle.reference), is_synthetic(bundle.trained_on)
        of_image = (*frame.doubts, BLANK) if is_blank(frame.image) else frame.doubts
        return Diagnosis(
            probabilities=probabilities,
            calibrated=bundle.classifies and bundle.temperature is not None,
            answer=answer,
            malignant_flag=flag,
            mask=mask,
            measurements=measurements,
            heat_map=heat,
            doubts=find_doubts(is_ultrasound, probabilities, flag, measurements, synthetic, of_image),
        )


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
