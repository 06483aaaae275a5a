"""Draw one synthetic B-mode frame of a breast, with or without lesions.

A frame is built the way a scanner comes by it: a map of echo strength in decibels (layers of
tissue, a lesion), what is lost along the beam, speckle blurred by the point spread function, log
compression.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Pixels = NDArray[np.uint8]
Size = tuple[int, int]
Range = tuple[float, float]

DYNAMIC_RANGE_DB = 60.0
NOISE_FLOOR_DB = -57.0
REFERENCE_HEIGHT = 150  # lengths below are in pixels of a picture this high, and grow with it


@dataclass(frozen=True)
class Layer:
    """One layer of tissue; ranges are lowest and highest, echoes in dB below the screen's white.

    Attributes:
        thickness: share of the picture's height.
        echo: mean echo strength.
        mottle: standard deviation of the echo, in dB, over patches of `grain` (axial, lateral).
        strand: dB by which ligaments and fascia stand out, in lines of `run` (axial, lateral).
        density: share of the layer that such lines take, roughly.
    """

    thickness: Range
    echo: Range
    mottle: Range
    grain: Range
    strand: Range
    run: Range
    density: float


LAYERS = {
    "skin": Layer((0.02, 0.05), (-26, -14), (1, 1), (2, 4), (0, 6), (2, 10), 0.1),
    "fat": Layer((0.06, 0.26), (-42, -32), (2.5, 2.5), (4, 10), (8, 20), (3, 18), 0.12),
    "gland": Layer((0.22, 0.42), (-38, -28), (2.5, 5.5), (1.5, 5), (8, 22), (1.5, 16), 0.18),
    "muscle": Layer((0.1, 0.22), (-47, -39), (3, 3), (1, 12), (10, 24), (1.5, 28), 0.16),
    "beneath": Layer((1, 1), (-53, -43), (3, 3), (2, 12), (4, 20), (2, 22), 0.1),
}


@dataclass(frozen=True)
class Character:
    """How lesions of one class tend to look; ranges are lowest and highest, strengths in dB.

    Attributes:
        area: median share of the picture.
        width_to_height: median of it.
        lobes: how many lobes the outline may have, each of about `lobe_size` radii.
        spike_size: length of spicules in radii.
        margin: blur of the edge in pixels.
        darker: how much darker than the tissue around.
        mottle: standard deviation of the echo inside.
        halo: how much brighter the rim around is.
        lost_behind: mean and standard deviation of the loss behind; enhancement is below zero.
        lost_at_flanks: loss by refraction in thin lines behind the flanks.
    """

    area: float
    width_to_height: float
    lobes: int
    lobe_size: Range
    spike_size: Range
    margin: Range
    darker: Range
    mottle: float
    halo: Range
    lost_behind: Range
    lost_at_flanks: Range


CHARACTERS = {
    "benign": Character(0.045, 1.6, 4, (0.01, 0.07), (0, 0), (0.5, 1.2), (6, 24), 1.0, (0, 4), (-6, 3.5), (0, 5)),
    "malignant": Character(0.09, 0.82, 13, (0.07, 0.14), (0, 0.28), (0.8, 2.2), (8, 22), 2.8, (0, 12), (7, 5), (0, 2)),
}


@dataclass(frozen=True)
class Lesion:
    """A lesion as the beam meets it, each (height, width).

    Attributes:
        mask: what an expert would outline.
        echo: dB added to the tissue's echo.
        loss: dB lost on the way through; below zero where the echo comes back stronger.
    """

    mask: Bools
    echo: Floats
    loss: Floats


def blur(field: Floats, axial: float, lateral: float) -> Floats:
    """Blur with a Gaussian of `axial` by `lateral` pixels."""
    return np.asarray(cv2.GaussianBlur(field, (0, 0), sigmaX=lateral, sigmaY=axial), dtype=np.float32)


def blur_scatter(field: Floats, axial: float, lateral: float) -> Floats:
    """Blur scatterers with a Gaussian point spread function of unit power, in pixels."""
    kernels = (cv2.getGaussianKernel(2 * int(np.ceil(3 * sigma)) + 1, sigma) for sigma in (lateral, axial))
    across, along = (kernel / np.linalg.norm(kernel) for kernel in kernels)
    return np.asarray(cv2.sepFilter2D(field, cv2.CV_32F, across, along), dtype=np.float32)


def smooth_noise(size: Size, axial: float, lateral: float, rng: np.random.Generator) -> Floats:
    """Draw noise of mean 0 and variance 1, smooth over `axial` by `lateral` pixels (sigma)."""
    # What is smooth can be drawn coarsely: several times faster.
    rows, columns = (max(1, int(sigma / 2)) for sigma in (axial, lateral))
    coarse = rng.standard_normal((-(-size[0] // rows), -(-size[1] // columns)), dtype=np.float32)
    coarse_blurred = blur(coarse, axial / rows, lateral / columns)
    field = np.asarray(cv2.resize(coarse_blurred, size[::-1], interpolation=cv2.INTER_CUBIC))
    return (field - field.mean()) / (field.std() + 1e-6)


def wave(width: int, length: float, rng: np.random.Generator) -> Floats:
    """Draw smooth noise along the width, (1, width), over `length` pixels."""
    return smooth_noise((1, width), 1, length, rng)


def strands(size: Size, run: Range, density: float, rng: np.random.Generator) -> Floats:
    """Draw thin wavy lines in 0..1 where smooth noise crosses zero, broken up as fascia is."""
    lines = np.exp(-((smooth_noise(size, *run, rng) / density) ** 2))
    return lines * np.clip(0.4 + 0.8 * smooth_noise(size, 2 * run[0], 0.7 * run[1], rng), 0, 1)


def draw_tissue(size: Size, rng: np.random.Generator) -> Floats:
    """Draw the layers from skin to what lies beneath the muscle, with bright wavy borders.

    Args:
        size: height and width in pixels.
        rng: source of all randomness.

    Returns:
        (height, width) echo strength in dB, 0 the brightest that the screen shows.
    """
    height, width = size
    unit = height / REFERENCE_HEIGHT
    depth = np.arange(height, dtype=np.float32)[:, None] / height
    tissue = np.zeros(size, dtype=np.float32)
    border = np.full((1, width), -1.0)
    lines = np.zeros(size)
    start = 0.0
    for layer in LAYERS.values():
        axial, lateral = unit * layer.grain[0], unit * layer.grain[1]
        run = unit * layer.run[0], unit * layer.run[1]
        echo = rng.uniform(*layer.echo) + rng.uniform(*layer.mottle) * smooth_noise(size, axial, lateral, rng)
        echo += rng.uniform(*layer.strand) * strands(size, run, layer.density, rng)
        tissue = np.where(depth > border, echo, tissue)
        shine = rng.uniform(6, 22) * np.clip(0.6 + 0.7 * wave(width, width / 14, rng), 0, 1.5)
        lines += shine * np.exp(-(((depth - border) * height / (0.9 * unit)) ** 2))
        start += rng.uniform(*layer.thickness)
        border = start + min(0.02, start / 10) * wave(width, width / 9, rng)
    return bend(tissue + lines + 3 * smooth_noise(size, 14 * unit, 20 * unit, rng), rng)


def bend(tissue: Floats, rng: np.random.Generator) -> Floats:
    """Bend neighbouring layers together, as in a curved breast under the probe; skin stays flat."""
    height, width = tissue.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    shift = 0.03 * smooth_noise((height, width), height / 7, width / 7, rng)
    shift += rng.normal(0, 0.08) * (x / width - 0.5)
    source = (y + height * shift * np.minimum(1, 4 * y / height)).astype(np.float32)
    bent = cv2.remap(tissue.astype(np.float32), x, source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(bent, dtype=np.float32)


def draw_outline(character: Character, rng: np.random.Generator) -> Floats:
    """Draw a closed outline of about unit radius, (180, 2) as x and y."""
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    orders = np.arange(2, character.lobes + 1)[:, None]
    sizes = rng.uniform(*character.lobe_size) * rng.normal(0, 1, orders.shape) / np.sqrt(orders / 2)
    lobes = sizes * np.cos(orders * angle + rng.uniform(0, 2 * np.pi, orders.shape))
    turn = angle + 0.4 * np.sin(angle + rng.uniform(0, 2 * np.pi))  # spicules crowd on one side
    spikes = np.abs(np.sin(rng.integers(3, 9) * turn / 2)) ** 8
    spikes *= rng.uniform(*character.spike_size) * np.clip(0.6 + wave(180, 12, rng)[0], 0, 2)
    radius = np.clip(1 + lobes.sum(axis=0) + spikes, 0.45, 1.7)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def draw_mask(character: Character, size: Size, strip: Range, rng: np.random.Generator) -> tuple[Bools, float, float]:
    """Place an outline between the left and right end of `strip`, as shares of the width.

    Returns:
        The (height, width) mask, never empty, and its half width and half height in pixels.
    """
    height, width = size
    area = rng.lognormal(np.log(character.area), 0.6) * height * width / np.pi
    ratio = rng.lognormal(np.log(character.width_to_height), 0.22)
    points = draw_outline(character, rng) * np.sqrt((area * ratio, area / ratio))
    tilt = np.deg2rad(rng.normal(0, 8))
    points = points @ np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    corner = np.array([strip[0] * width + 2, 0.06 * height])
    room = np.array([strip[1] * width - 2, 0.82 * height]) - corner
    points *= min(1, *(0.9 * room / np.ptp(points, axis=0)))
    points *= max(1, 7 / np.ptp(points, axis=0).min())
    points += corner - points.min(axis=0)
    points += (room - np.ptp(points, axis=0)) * (rng.beta(2.5, 2.5), rng.beta(1.6, 3))
    canvas = np.zeros(size, dtype=np.uint8)
    cv2.fillPoly(canvas, [np.round(points).astype(np.int32)], 1)
    half_width, half_height = np.ptp(points, axis=0) / 2
    return canvas.astype(bool), half_width, half_height


def draw_lesion(kind: str, tissue: Floats, strip: Range, rng: np.random.Generator) -> Lesion:
    """Draw one lesion with its effect on the beam.

    Args:
        kind: "benign" (wider than tall, enhancement behind) or "malignant" (taller than wide,
            shadow behind), on the whole.
        tissue: (height, width) dB, what the lesion takes the place of.
        strip: left and right end, as shares of the width, between which the lesion stays.
        rng: source of all randomness.
    """
    height, width = tissue.shape
    character = CHARACTERS[kind]
    mask, half_width, half_height = draw_mask(character, (height, width), strip, rng)
    margin = rng.uniform(*character.margin) * height / REFERENCE_HEIGHT
    body = blur(mask.astype(np.float32), margin, margin)

    around = blur(body, 0.25 * half_width + 1, 0.25 * half_width + 1)
    low, high = character.darker
    level = np.average(tissue, weights=around) - low - (high - low) * rng.beta(1.2, 2)
    grain = (0.1 * half_width + 1, 0.15 * half_width + 1)
    inside = level + character.mottle * smooth_noise((height, width), *grain, rng)
    echo = body * (inside - tissue) + rng.uniform(*character.halo) * around * (1 - body)

    path = np.cumsum(body, axis=0, dtype=np.float32) / np.float32(2 * half_height)
    behind = blur(np.clip(path - 0.5 * body, 0, 1.5), 2, 1.5)
    flanks = half_height / 8 * np.abs(cv2.Sobel(blur(path, 1.2, 1.2), cv2.CV_32F, 1, 0))
    fading = np.linspace(1, 0, height, dtype=np.float32)[:, None] * (1 - body)
    loss = rng.normal(*character.lost_behind) * behind
    loss += rng.uniform(*character.lost_at_flanks) * np.clip(flanks * fading, 0, 1)
    return Lesion(mask, echo, loss)


def draw_loss(size: Size, rng: np.random.Generator) -> Floats:
    """Draw the dB lost on the way: uneven time-gain compensation, bands of poor contact."""
    height, width = size
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    uneven = rng.uniform(0, 22) * depth ** rng.uniform(1.2, 2.5)
    uneven += 1.5 * smooth_noise((height, 1), height / 10, 1, rng)
    bands = np.clip(wave(width, width / 25, rng) - rng.uniform(0.4, 2), 0, 1.5)
    return uneven + rng.uniform(0, 18) * bands * np.clip(4 * (depth - rng.uniform(0, 0.5)), 0, 1)


def add_speckle(echo: Floats, rng: np.random.Generator) -> Floats:
    """Turn a map of echo strength into speckle, as scanners show it after speckle reduction.

    Scatterers are complex Gaussian, so the envelope is Rayleigh; the point spread function widens
    with depth, more across the beam than along it. Speckle reduction mixes in the local mean
    power, which takes the blackest dots away.

    Args:
        echo: (height, width) in dB.
        rng: source of all randomness.

    Returns:
        (height, width) envelope in dB, electronic noise included.

    References:
        Wagner et al., "Statistics of speckle in ultrasound B-scans", IEEE Transactions on Sonics
        and Ultrasonics 30(3), 1983.
    """
    unit = echo.shape[0] / REFERENCE_HEIGHT
    depth = np.linspace(0, 1, len(echo), dtype=np.float32)[:, None]
    amplitude = (10 ** (echo / 20)).astype(np.float32)
    floor = np.float32(10 ** (NOISE_FLOOR_DB / 20))
    reduction = rng.uniform(0.35, 0.65)
    power = reduction * (blur(amplitude**2, 0.4 * unit, 0.9 * unit) + floor**2)
    for _ in ("real", "imaginary"):
        scatter = amplitude * rng.standard_normal(echo.shape, dtype=np.float32)
        near = blur_scatter(scatter, 0.4 * unit, 0.9 * unit)
        far = blur_scatter(scatter, 0.7 * unit, 2.0 * unit)
        noise = floor * rng.standard_normal(echo.shape, dtype=np.float32)
        field = np.sqrt(1 - depth) * near + np.sqrt(depth) * far + noise
        power += (1 - reduction) * field**2 / 2
    return 10 * np.log10(power + 1e-9)


def compress(envelope: Floats) -> Pixels:
    """Map dB to grey levels, the top `DYNAMIC_RANGE_DB` below 0 dB to 0..255."""
    return np.clip(255 * (1 + envelope / DYNAMIC_RANGE_DB), 0, 255).astype(np.uint8)


def draw_case(
    kind: str, rng: np.random.Generator, size: Size | None = None, lesions: int = 1
) -> tuple[Pixels, list[Bools]]:
    """Draw one frame, without burned-in marks.

    Args:
        kind: "benign", "malignant" or "normal".
        rng: source of all randomness.
        size: height and width in pixels; by default 110 to 190 a side, mostly wider than tall.
        lesions: how many lesions a benign or malignant frame holds; they do not touch.

    Returns:
        The (height, width) grey picture and a mask of that size per lesion (none for "normal").
    """
    if size is None:
        height = int(rng.integers(110, 151))
        size = (height, int(np.clip(height * rng.normal(1.2, 0.13), 110, 190)))
    echo = draw_tissue(size, rng)
    loss = draw_loss(size, rng)
    masks = []
    for number in range(0 if kind == "normal" else lesions):
        lesion = draw_lesion(kind, echo, (number / lesions, (number + 1) / lesions), rng)
        echo += lesion.echo
        loss += lesion.loss
        masks.append(lesion.mask)
    return compress(add_speckle(echo - loss, rng)), masks
