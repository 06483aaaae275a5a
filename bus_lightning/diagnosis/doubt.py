"""Find reasons not to trust an answer, first of all: the image does not look like the training images.

About fifty simple statistics describe an image. Their Mahalanobis distance from those of the training images, with a
covariance that is shrunk towards equal variances, decides whether it is another kind of image.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from bus_lightning.core.class_names import HEALTHY, LOW_CONFIDENCE, MALIGNANT
from bus_lightning.core.errors import UserError
from bus_lightning.data.structure_errors import POSSIBLY_INCOMPLETE
from bus_lightning.diagnosis.frames import BLANK, FEW_LEVELS
from bus_lightning.diagnosis.measurements import Measurements

FALSE_ALARMS = 0.02  # share of held-out ultrasound that is flagged as something else
_SIDE = 192  # of the square that the statistics describe, in pixels
_BANDS = 8  # of the depth, and of the width
_LEVELS = 5  # of the image pyramid
_SHRINKAGE = 0.2  # of the covariance towards equal variances
# The smallest deviation of a statistic, however similar the training images are. Without it, one image with a coloured
# mark would be extremely far from fifty without, and would set the threshold.
_LINEAR, _LEAST_LINEAR, _LEAST_LOGARITHM = ("grey_", "depth_", "across_", "slant_"), 0.05, 0.3
_FOLDS = 10  # of the training images, each held out once
_LEAST_IMAGES = 2 * _FOLDS


_NO_LESION = "no_lesion_but"
# Code of a doubt -> its sentence, with open places; `no_lesion_but` is followed by the answer.
SENTENCES = {
    "trained_on_synthetic": "A network was trained on synthetic images: the answer says nothing about real images.",
    "not_ultrasound": "This does not look like the breast ultrasound images that the networks were trained on.",
    BLANK: "Nearly all pixels of the image have the same colour.",
    POSSIBLY_INCOMPLETE: "Nothing in the file shows whether it is complete: part of the image may be missing.",
    FEW_LEVELS: "The file's window or table shows few of its grey levels: the image may hide what was recorded.",
    "low_confidence": "The answer {answer} has a probability of only {probability:.0%}.",
    "malignant_not_excluded": "The most likely answer is {answer}, but malignant is above its threshold.",
    "lesion_but_normal": "A lesion was outlined, but the answer is {answer}.",
    _NO_LESION: "No lesion was outlined, but the answer is {answer}.",
    "several_lesions": "Only the largest of {lesions} outlined lesions is measured.",
    "at_the_border": "A lesion reaches the border of the image: part of it may be missing.",
}
_OF_IMAGE = (BLANK, POSSIBLY_INCOMPLETE, FEW_LEVELS)
_SAME = 0.95  # share of the pixels of a blank image; the commonest level of real ultrasound has 0.44 at most


@dataclass(frozen=True)
class Doubt:
    """A reason not to trust an answer: its code, for programs, and a sentence, for readers."""

    code: str
    text: str


def find_doubts(
    is_ultrasound: bool,
    probabilities: Mapping[str, float],
    malignant_flag: bool | None,
    measurements: Measurements | None,
    synthetic: bool = False,
    of_image: Sequence[str] = (),
) -> tuple[Doubt, ...]:
    """List the reasons not to trust an answer, the most important first.

    An answer without a class has no probabilities, and one without an outline no measurements. `malignant_flag` says
    whether malignant is above its threshold, None without one; `synthetic` whether any network of the bundle was
    trained on synthetic images; `of_image` holds the codes of doubts about the image, from its frame and `is_blank`.
    """
    answer, probability = max(probabilities.items(), key=lambda item: item[1], default=(None, 1.0))
    lesions = 0 if measurements is None else measurements.lesions
    checks = [
        (synthetic, "trained_on_synthetic"),
        (not is_ultrasound, "not_ultrasound"),
        *((code in of_image, code) for code in _OF_IMAGE),
    ]
    if answer is not None:
        checks += [
            (probability < LOW_CONFIDENCE, "low_confidence"),
            (bool(malignant_flag) and answer != MALIGNANT, "malignant_not_excluded"),
        ]
    if answer is not None and measurements is not None:
        checks += [
            (lesions > 0 and answer == HEALTHY, "lesion_but_normal"),
            (lesions == 0 and answer != HEALTHY, _NO_LESION),
        ]
    if measurements is not None:
        checks += [(lesions > 1, "several_lesions"), (measurements.touches_border, "at_the_border")]
    values = {"answer": answer, "probability": probability, "lesions": lesions}
    return tuple(
        Doubt(f"{code}_{answer}" if code == _NO_LESION else code, SENTENCES[code].format(**values))
        for is_raised, code in checks
        if is_raised
    )


def is_blank(image: np.ndarray) -> bool:
    """Return whether nearly all pixels of an image, (H, W, 3) uint8, have the same level."""
    counts = np.bincount(image[..., 1].ravel(), minlength=256)
    return bool(counts.max() >= _SAME * counts.sum())


def fit_reference(
    train_images: Iterable[np.ndarray], held_out_images: Iterable[np.ndarray], false_alarms: float = FALSE_ALARMS
) -> dict[str, Any]:
    """Learn what the training images look like, and how far other images of their kind are from them.

    All images are (H, W, 3) uint8 RGB, as in their files, similar training images next to each other. A share
    `false_alarms` of held-out images lies beyond the threshold of the distance. These are the ones given, if any, and
    each tenth of the training images against the rest: a few dozen alone would leave the threshold to their most
    unusual image.

    Returns:
        Plain lists and numbers, for JSON.

    Raises:
        UserError: When there are too few images.
    """
    known = np.array([_values(image) for image in train_images])
    others = [_values(image) for image in held_out_images]
    if len(known) < _LEAST_IMAGES:
        raise UserError(
            f"{len(known)} training images are too few to describe ultrasound: give at least {_LEAST_IMAGES}."
        )
    center, whitening = _fit(known)
    distances = [_distances(np.array(others), center, whitening)] if others else []
    for tenth in np.array_split(np.arange(len(known)), _FOLDS):
        distances.append(_distances(known[tenth], *_fit(np.delete(known, tenth, axis=0))))
    return {
        "statistics": _NAMES,
        "center": _rounded(center),
        "whitening": _rounded(whitening),
        "threshold": float(np.quantile(np.concatenate(distances), 1 - false_alarms, method="higher")),
        "false_alarms": false_alarms,
        "train_images": len(known),
        "held_out_images": len(others),
    }


def strangeness(image: np.ndarray, reference: Mapping[str, Any]) -> float:
    """Divide an image's distance from the training images by its threshold: above 1 it is another kind of image.

    The image is (H, W, 3) uint8 RGB, as in its file; the reference is the result of `fit_reference`.

    Raises:
        UserError: When the reference has other statistics.
    """
    if reference.get("statistics") != _NAMES:
        raise UserError("The bundle's reference statistics are of another version of bus_lightning: export it again.")
    center, whitening = np.asarray(reference["center"]), np.asarray(reference["whitening"])
    return float(_distances(_values(image), center, whitening) / reference["threshold"])


def is_like(image: np.ndarray, reference: Mapping[str, Any]) -> bool:
    """Return whether an image looks like the training images; arguments and errors as in `strangeness`."""
    return strangeness(image, reference) <= 1


def _values(image: np.ndarray) -> np.ndarray:
    return np.fromiter(_statistics(image).values(), float)


def _fit(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the centre of statistics (N, S), (S,), and the (S, S) matrix that whitens them."""
    least = [_LEAST_LINEAR if name.startswith(_LINEAR) else _LEAST_LOGARITHM for name in _NAMES]
    center, scale = known.mean(axis=0), np.maximum(known.std(axis=0), least)
    covariance = np.cov((known - center) / scale, rowvar=False)
    shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * np.eye(len(center))
    return center, np.linalg.cholesky(np.linalg.inv(shrunk)) / scale[:, None]


def _distances(values: np.ndarray, center: np.ndarray, whitening: np.ndarray) -> np.ndarray:
    return np.linalg.norm((values - center) @ whitening, axis=-1)


def _rounded(values: np.ndarray) -> Any:
    """Round to seven digits and convert to lists."""
    return np.vectorize(lambda value: float(f"{value:.7g}"))(values).tolist()


def _statistics(image: np.ndarray) -> dict[str, float]:
    """Describe an image by its colours, grey levels, depth profile and texture; small shares in logarithms."""
    smooth = cv2.INTER_AREA if min(image.shape[:2]) > _SIDE else cv2.INTER_LINEAR
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=smooth)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    light = grey.astype(np.float32) / 255
    return _colors(small) | _grey_levels(grey) | _profiles(light) | _texture(light) | _speckle(light)


def _colors(image: np.ndarray) -> dict[str, float]:
    """Measure how far the channels differ: ultrasound is grey except for a few marks."""
    difference = np.ptp(image, axis=2)
    return {
        "color_mean": _log(difference.mean() / 255, 0.002),
        "color_share": _log(np.count_nonzero(difference > 25) / difference.size, 0.001),
    }


def _grey_levels(grey: np.ndarray) -> dict[str, float]:
    """Describe the histogram of grey levels: black, white, quantiles, entropy."""
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    below = np.cumsum(shares)
    coarse = shares.reshape(64, 4).sum(axis=1)
    levels = np.arange(256) / 255
    mean = float(levels @ shares)
    quantiles = {f"grey_{part}": float(np.searchsorted(below, part / 100 - 1e-9)) / 255 for part in (5, 25, 50, 75, 95)}
    return {
        **quantiles,
        "grey_deviation": float(np.sqrt((levels - mean) ** 2 @ shares)),
        "black": _log(below[7], 0.01),
        "white": _log(1 - below[247], 0.002),
        "entropy": float(-coarse @ np.log(coarse + 1e-9)),
        "peak": _log(coarse.max(), 1e-9),
    }


def _profiles(light: np.ndarray) -> dict[str, float]:
    """Compare the brightness of each depth with the whole, and of the two sides with each other."""
    depths = light.mean(axis=1).reshape(_BANDS, -1).mean(axis=1) - light.mean()
    across = light.mean(axis=0).reshape(_BANDS, -1).mean(axis=1)
    return {
        **{f"depth_{number}": float(value) for number, value in enumerate(depths)},
        "across_deviation": float(across.std()),
        "across_asymmetry": float(np.abs(across - across[::-1]).mean()),
    }


def _texture(light: np.ndarray) -> dict[str, float]:
    """Describe the gradients at several scales: tissue is layered, so they are steeper in depth than across."""
    texture: dict[str, float] = {}
    for number in range(_LEVELS):
        across = light[:-1, 1:] - light[:-1, :-1]
        down = light[1:, :-1] - light[:-1, :-1]
        steep_across, steep_down = _mean_product(across, across) + 1e-6, _mean_product(down, down) + 1e-6
        texture[f"gradient_{number}"] = (np.log(steep_across) + np.log(steep_down)) / 2
        texture[f"layers_{number}"] = np.log(steep_down / steep_across)
        texture[f"slant_{number}"] = _mean_product(across, down) / np.sqrt(steep_across * steep_down)
        if number < 3:  # coarser ones have too few pixels
            squared = down * down
            texture[f"edges_{number}"] = _log(_mean_product(squared, squared), 1e-10) - 2 * np.log(steep_down)
            texture[f"flat_{number}"] = _log(np.count_nonzero(np.abs(across) + np.abs(down) < 0.004) / down.size, 0.01)
        light = cv2.pyrDown(light)
    return {name: float(value) for name, value in texture.items()}


def _speckle(light: np.ndarray) -> dict[str, float]:
    """Compare the roughness of small blocks with their brightness: speckle grows with the echo."""
    blocks = light.reshape(_SIDE // 8, 8, _SIDE // 8, 8)
    mean = blocks.mean(axis=(1, 3)).ravel()
    rough = np.sqrt(np.maximum((blocks**2).mean(axis=(1, 3)).ravel() - mean**2, 0))
    contrast = np.sort(rough / (mean + 0.05))
    parts = {f"speckle_{part}": _log(contrast[round(part / 100 * (len(contrast) - 1))], 0.005) for part in (25, 50, 90)}
    a, b = (values - values.mean() for values in (np.log(mean + 0.02), np.log(rough + 0.004)))
    size = float(np.sqrt((a @ a) * (b @ b)))
    return {**parts, "speckle_grows": float(a @ b) / size if size > 1e-3 else 0.0}


def _mean_product(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.vdot(a, b)) / a.size


def _log(share: float, least: float) -> float:
    return float(np.log(share + least))


_NAMES = list(_statistics(np.zeros((2, 2, 3), np.uint8)))
