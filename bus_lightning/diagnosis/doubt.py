"""Say what speaks against an answer: first of all, that the image does not look like those the networks know.

An image is described by some fifty plain statistics. How far they lie from those of the training images (a Mahalanobis
distance, shrunk towards equal variances) tells whether it is another kind of picture.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.measuring import Measurements

FALSE_ALARMS = 0.02  # share of held-out ultrasound that is taken for something else
LOW_CONFIDENCE = 0.6  # probability of the answer, below which it is doubted
HEALTHY = "normal"  # the class without a lesion, by BUSI's name
_SIDE = 192  # of the square that statistics are taken of, in pixels
_BANDS = 8  # of the depth, and of the width
_LEVELS = 5  # of the image pyramid
_SHRINKAGE = 0.2  # how far the covariance is drawn towards equal variances
# What counts as one step at least, however alike the training images are: one with a coloured mark would be worlds away
# from fifty without, and with it the threshold.
_LINEAR, _LEAST_LINEAR, _LEAST_LOGARITHM = ("grey_", "depth_", "across_", "slant_"), 0.05, 0.3
_FOLDS = 10  # of the training images, each held out once
_LEAST_IMAGES = 2 * _FOLDS


@dataclass(frozen=True)
class Doubt:
    """A reason not to trust an answer.

    Attributes:
        code: Its name, for programs.
        text: A plain sentence, for readers.
    """

    code: str
    text: str


def find_doubts(
    is_ultrasound: bool,
    probabilities: Mapping[str, float],
    malignant_flag: bool | None,
    measurements: Measurements,
    synthetic: bool = False,
) -> tuple[Doubt, ...]:
    """List what speaks against an answer, the weightiest first.

    Args:
        is_ultrasound: Whether the image looks like the training images.
        probabilities: Of each class.
        malignant_flag: Whether malignant is above its threshold; None without one.
        measurements: Of the lesion that was found.
        synthetic: Whether any network of the bundle was trained on synthetic images.
    """
    answer, probability = max(probabilities.items(), key=lambda item: item[1])
    found: dict[str, str] = {}
    if synthetic:
        found["trained_on_synthetic"] = (
            "A network was trained on synthetic images: the answer says nothing about real images."
        )
    if not is_ultrasound:
        found["not_ultrasound"] = "This does not look like the breast ultrasound images that the networks were shown."
    if probability < LOW_CONFIDENCE:
        found["low_confidence"] = f"The answer {answer} has a probability of only {probability:.0%}."
    if malignant_flag and answer != "malignant":
        found["malignant_not_excluded"] = f"The likeliest answer is {answer}, yet malignant is above its threshold."
    if measurements.lesions and answer == HEALTHY:
        found["lesion_but_normal"] = f"A lesion was outlined, and the answer is {answer}."
    if not measurements.lesions and answer != HEALTHY:
        found[f"no_lesion_but_{answer}"] = f"No lesion was outlined, and the answer is {answer}."
    if measurements.lesions > 1:
        found["several_lesions"] = f"Only the largest of {measurements.lesions} outlined lesions is measured."
    if measurements.touches_border:
        found["at_the_border"] = "The lesion reaches the border of the image: part of it may be missing."
    return tuple(Doubt(code, text) for code, text in found.items())


def fit_reference(
    train_images: Iterable[np.ndarray], held_out_images: Iterable[np.ndarray], false_alarms: float = FALSE_ALARMS
) -> dict[str, Any]:
    """Learn what the training images look like, and how far others of their kind lie from them.

    The distance at which an image is taken for something else is set on images that were held out: the others given,
    and each tenth of the training images against the rest. A few dozen alone would leave it to their oddest image.

    Args:
        train_images: (H, W, 3) uint8 RGB each, as they are in their files, those that are alike near each other.
        held_out_images: Others of the same kind; there may be none.
        false_alarms: Share of the held-out images that are taken for something else.

    Returns:
        Plain lists and numbers, for JSON.

    Raises:
        UserError: When there are too few images.
    """
    known = np.array([_values(image) for image in train_images])
    others = [_values(image) for image in held_out_images]
    if len(known) < _LEAST_IMAGES:
        raise UserError(
            f"{len(known)} training images do not tell what ultrasound looks like: take at least {_LEAST_IMAGES}."
        )
    center, whitening = _fit(known)
    distances = [_distances(np.array(others), center, whitening)] if others else []
    for tenth in np.array_split(np.arange(len(known)), _FOLDS):
        distances.append(_distances(known[tenth], *_fit(np.delete(known, tenth, axis=0))))
    held_out = np.concatenate(distances)
    return {
        "statistics": _NAMES,
        "center": _rounded(center),
        "whitening": _rounded(whitening),
        "threshold": float(np.quantile(held_out, 1 - false_alarms, method="higher")),
        "false_alarms": false_alarms,
        "train_images": len(known),
        "held_out_images": len(others),
    }


def strangeness(image: np.ndarray, reference: Mapping[str, Any]) -> float:
    """Measure how far an image lies from the training images.

    Args:
        image: (H, W, 3) uint8 RGB, as it is in its file.
        reference: What `fit_reference` returned.

    Returns:
        The distance over its threshold: above 1 it is another kind of picture.

    Raises:
        UserError: When the reference is of other statistics.
    """
    if reference["statistics"] != _NAMES:
        raise UserError("The bundle's reference statistics are of another version of bus_lightning: export it again.")
    center, whitening = np.asarray(reference["center"]), np.asarray(reference["whitening"])
    return float(_distances(_values(image), center, whitening) / reference["threshold"])


def is_like(image: np.ndarray, reference: Mapping[str, Any]) -> bool:
    """Tell whether an image looks like the training images.

    Args:
        image: (H, W, 3) uint8 RGB, as it is in its file.
        reference: What `fit_reference` returned.
    """
    return strangeness(image, reference) <= 1


def _values(image: np.ndarray) -> np.ndarray:
    return np.fromiter(_statistics(image).values(), float)


def _fit(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the centre of (N, S) statistics, (S,), and the (S, S) that makes them equally wide in all directions."""
    least = [_LEAST_LINEAR if name.startswith(_LINEAR) else _LEAST_LOGARITHM for name in _NAMES]
    center, scale = known.mean(axis=0), np.maximum(known.std(axis=0), least)
    covariance = np.cov((known - center) / scale, rowvar=False)
    shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * np.eye(len(center))
    return center, np.linalg.cholesky(np.linalg.inv(shrunk)) / scale[:, None]


def _distances(found: np.ndarray, center: np.ndarray, whitening: np.ndarray) -> np.ndarray:
    return np.linalg.norm((found - center) @ whitening, axis=-1)


def _rounded(values: np.ndarray) -> Any:
    """Keep seven digits, which are enough, and make lists."""
    return np.vectorize(lambda value: float(f"{value:.7g}"))(values).tolist()


def _statistics(image: np.ndarray) -> dict[str, float]:
    """Describe an image by its colours, grey levels, depth profile and texture; small shares in logarithms."""
    smooth = cv2.INTER_AREA if min(image.shape[:2]) > _SIDE else cv2.INTER_LINEAR
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=smooth)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    light = grey.astype(np.float32) / 255
    return {
        **_colors(small),
        **_grey_levels(grey),
        **_profiles(light),
        **_texture(light),
        **_speckle(light),
    }


def _colors(image: np.ndarray) -> dict[str, float]:
    """Tell how far the channels differ: ultrasound is grey, but for a few marks."""
    red, green, blue = cv2.split(image)
    apart = cv2.max(cv2.max(red, green), blue) - cv2.min(cv2.min(red, green), blue)
    return {
        "color_mean": _log(apart.mean() / 255, 0.002),
        "color_share": _log(np.count_nonzero(apart > 25) / apart.size, 0.001),
    }


def _grey_levels(grey: np.ndarray) -> dict[str, float]:
    """Describe the histogram of grey levels: black, white, quantiles, how evenly they are used."""
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
    """Tell how bright each depth is against the whole, and how much the sides differ."""
    depths = light.mean(axis=1).reshape(_BANDS, -1).mean(axis=1) - light.mean()
    across = light.mean(axis=0).reshape(_BANDS, -1).mean(axis=1)
    return {
        **{f"depth_{number}": float(value) for number, value in enumerate(depths)},
        "across_deviation": float(across.std()),
        "across_asymmetry": float(np.abs(across - across[::-1]).mean()),
    }


def _texture(light: np.ndarray) -> dict[str, float]:
    """Describe the gradients at several scales: tissue is layered, so that they are steeper in depth than across."""
    found: dict[str, float] = {}
    for number in range(_LEVELS):
        across = light[:-1, 1:] - light[:-1, :-1]
        down = light[1:, :-1] - light[:-1, :-1]
        steep_across, steep_down = _mean_product(across, across) + 1e-6, _mean_product(down, down) + 1e-6
        found[f"gradient_{number}"] = (np.log(steep_across) + np.log(steep_down)) / 2
        found[f"layers_{number}"] = np.log(steep_down / steep_across)
        found[f"slant_{number}"] = _mean_product(across, down) / np.sqrt(steep_across * steep_down)
        if number < 3:  # coarser ones have too few pixels
            squared = down * down
            found[f"edges_{number}"] = _log(_mean_product(squared, squared), 1e-10) - 2 * np.log(steep_down)
            found[f"flat_{number}"] = _log(np.count_nonzero(np.abs(across) + np.abs(down) < 0.004) / down.size, 0.01)
        light = cv2.pyrDown(light)
    return {name: float(value) for name, value in found.items()}


def _speckle(light: np.ndarray) -> dict[str, float]:
    """Describe how rough small blocks are for their brightness: speckle grows with the echo."""
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
