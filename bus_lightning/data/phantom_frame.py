"""Draw one synthetic B-mode frame of a breast, with or without lesions.

The steps are those of a scanner: a map of echo strength in decibels (layers of tissue, a lesion), the loss along the
beam, speckle blurred by the point spread function, log compression. Lengths are in pixels of a picture that is
`_REFERENCE_HEIGHT` high, and grow with it. All randomness comes from the generator `rng`.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Pixels = NDArray[np.uint8]
Size = tuple[int, int]  # height, width
Range = tuple[float, float]  # lowest and highest value

_DYNAMIC_RANGE_DB = 60.0
_NOISE_FLOOR_DB = -57.0
_REFERENCE_HEIGHT = 150


class Layer(NamedTuple):
    """One layer of tissue; echoes are in dB below the screen's white."""

    thickness: Range  # share of the picture's height
    echo: Range  # mean echo strength
    mottle: Range  # standard deviation of the echo, over patches of `grain`
    grain: Range  # axial, lateral
    strand: Range  # how far ligaments and fascia stand out, in lines of `run`
    run: Range  # axial, lateral
    density: float  # rough share of the layer that such lines cover


_LAYERS = (
    Layer((0.02, 0.05), (-26, -14), (1, 1), (2, 4), (0, 6), (2, 10), 0.1),  # skin
    Layer((0.06, 0.26), (-42, -32), (2.5, 2.5), (4, 10), (8, 20), (3, 18), 0.12),  # fat
    Layer((0.22, 0.42), (-38, -28), (2.5, 5.5), (1.5, 5), (8, 22), (1.5, 16), 0.18),  # gland
    Layer((0.1, 0.22), (-47, -39), (3, 3), (1, 12), (10, 24), (1.5, 28), 0.16),  # muscle
    Layer((1, 1), (-53, -43), (3, 3), (2, 12), (4, 20), (2, 22), 0.1),  # below the muscle
)


class Character(NamedTuple):
    """How lesions of one class tend to look; strengths are in dB."""

    area: float  # median share of the picture
    width_to_height: float  # median
    lobes: int  # largest number of lobes of the outline
    lobe_size: Range  # in radii
    spike_size: Range  # length of spicules in radii
    margin: Range  # blur of the edge in pixels
    darker: Range  # than the tissue around
    mottle: float  # standard deviation of the echo inside
    halo: Range  # how much brighter the rim is
    lost_behind: Range  # mean and standard deviation of the loss; enhancement is below zero
    lost_at_flanks: Range  # by refraction, in thin lines behind the flanks


_CHARACTERS = {
    "benign": Character(0.045, 1.6, 4, (0.01, 0.07), (0, 0), (0.5, 1.2), (6, 24), 1.0, (0, 4), (-6, 3.5), (0, 5)),
    "malignant": Character(0.09, 0.82, 13, (0.07, 0.14), (0, 0.28), (0.8, 2.2), (8, 22), 2.8, (0, 12), (7, 5), (0, 2)),
}


def draw_case(
    kind: str, rng: np.random.Generator, size: Size | None = None, lesions: int = 1
) -> tuple[Pixels, list[Bools]]:
    """Draw one frame, without burned-in marks.

    Args:
        kind: `benign`, `malignant` or `normal`.
        rng: Source of all randomness.
        size: Height and width in pixels; by default 110 to 190 a side, mostly wider than tall.
        lesions: Number of lesions in a benign or malignant frame; they do not touch.

    Returns:
        The (height, width) grey picture, and a mask of that size for each lesion (none for `normal`).
    """
    if size is None:
        height = int(rng.integers(110, 151))
        size = (height, int(np.clip(height * rng.normal(1.2, 0.13), 110, 190)))
    echo = _draw_tissue(size, rng)
    loss = _draw_loss(size, rng)
    masks = []
    for number in range(0 if kind == "normal" else lesions):
        strip = (number / lesions, (number + 1) / lesions)
        mask, added_echo, added_loss = _draw_lesion(_CHARACTERS[kind], echo, strip, rng)
        echo += added_echo
        loss += added_loss
        masks.append(mask)
    envelope = _add_speckle(echo - loss, rng)
    return np.clip(255 * (1 + envelope / _DYNAMIC_RANGE_DB), 0, 255).astype(np.uint8), masks


def _blur(field: Floats, axial: float, lateral: float) -> Floats:
    """Blur with a Gaussian of `axial` by `lateral` pixels."""
    return np.asarray(cv2.GaussianBlur(field, (0, 0), sigmaX=lateral, sigmaY=axial), dtype=np.float32)


def _blur_scatter(field: Floats, axial: float, lateral: float) -> Floats:
    """Blur scatterers with a Gaussian point spread function of unit power."""
    kernels = (cv2.getGaussianKernel(2 * int(np.ceil(3 * sigma)) + 1, sigma) for sigma in (lateral, axial))
    across, along = (kernel / np.linalg.norm(kernel) for kernel in kernels)
    return np.asarray(cv2.sepFilter2D(field, cv2.CV_32F, across, along), dtype=np.float32)


def _smooth_noise(size: Size, axial: float, lateral: float, rng: np.random.Generator) -> Floats:
    """Draw noise of mean 0 and variance 1, smooth over `axial` by `lateral` pixels (sigma)."""
    # Smooth noise can be drawn coarsely, which is several times faster.
    rows, columns = (max(1, int(sigma / 2)) for sigma in (axial, lateral))
    coarse = rng.standard_normal((-(-size[0] // rows), -(-size[1] // columns)), dtype=np.float32)
    coarse_blurred = _blur(coarse, axial / rows, lateral / columns)
    field = np.asarray(cv2.resize(coarse_blurred, size[::-1], interpolation=cv2.INTER_CUBIC))
    return (field - field.mean()) / (field.std() + 1e-6)


def _wave(width: int, length: float, rng: np.random.Generator) -> Floats:
    """Draw noise along the width, (1, width), smooth over `length` pixels."""
    return _smooth_noise((1, width), 1, length, rng)


def _strands(size: Size, run: Range, density: float, rng: np.random.Generator) -> Floats:
    """Draw thin wavy lines in 0..1 where smooth noise crosses zero, broken up like fascia."""
    lines = np.exp(-((_smooth_noise(size, *run, rng) / density) ** 2))
    return lines * np.clip(0.4 + 0.8 * _smooth_noise(size, 2 * run[0], 0.7 * run[1], rng), 0, 1)


def _draw_tissue(size: Size, rng: np.random.Generator) -> Floats:
    """Draw the layers from the skin down, with bright wavy borders: echo strength in dB, 0 for white."""
    height, width = size
    unit = height / _REFERENCE_HEIGHT
    depth = np.arange(height, dtype=np.float32)[:, None] / height
    tissue = np.zeros(size, dtype=np.float32)
    border = np.full((1, width), -1.0)
    lines = np.zeros(size)
    start = 0.0
    for layer in _LAYERS:
        axial, lateral = unit * layer.grain[0], unit * layer.grain[1]
        run = unit * layer.run[0], unit * layer.run[1]
        echo = rng.uniform(*layer.echo) + rng.uniform(*layer.mottle) * _smooth_noise(size, axial, lateral, rng)
        echo += rng.uniform(*layer.strand) * _strands(size, run, layer.density, rng)
        tissue = np.where(depth > border, echo, tissue)
        shine = rng.uniform(6, 22) * np.clip(0.6 + 0.7 * _wave(width, width / 14, rng), 0, 1.5)
        lines += shine * np.exp(-(((depth - border) * height / (0.9 * unit)) ** 2))
        start += rng.uniform(*layer.thickness)
        border = start + min(0.02, start / 10) * _wave(width, width / 9, rng)
    return _bend(tissue + lines + 3 * _smooth_noise(size, 14 * unit, 20 * unit, rng), rng)


def _bend(tissue: Floats, rng: np.random.Generator) -> Floats:
    """Bend neighbouring layers together, as in a curved breast under the probe; the skin stays flat."""
    height, width = tissue.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    shift = 0.03 * _smooth_noise((height, width), height / 7, width / 7, rng)
    shift += rng.normal(0, 0.08) * (x / width - 0.5)
    source = (y + height * shift * np.minimum(1, 4 * y / height)).astype(np.float32)
    bent = cv2.remap(tissue.astype(np.float32), x, source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(bent, dtype=np.float32)


def _draw_outline(character: Character, rng: np.random.Generator) -> Floats:
    """Draw a closed outline of about unit radius, (180, 2) as x and y."""
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    orders = np.arange(2, character.lobes + 1)[:, None]
    sizes = rng.uniform(*character.lobe_size) * rng.normal(0, 1, orders.shape) / np.sqrt(orders / 2)
    lobes = sizes * np.cos(orders * angle + rng.uniform(0, 2 * np.pi, orders.shape))
    turn = angle + 0.4 * np.sin(angle + rng.uniform(0, 2 * np.pi))  # spicules crowd on one side
    spikes = np.abs(np.sin(rng.integers(3, 9) * turn / 2)) ** 8
    spikes *= rng.uniform(*character.spike_size) * np.clip(0.6 + _wave(180, 12, rng)[0], 0, 2)
    radius = np.clip(1 + lobes.sum(axis=0) + spikes, 0.45, 1.7)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _draw_mask(character: Character, size: Size, strip: Range, rng: np.random.Generator) -> tuple[Bools, float, float]:
    """Place an outline in a strip, given by shares of the width: the mask, never empty, half its width and height."""
    height, width = size
    area = rng.lognormal(np.log(character.area), 0.6) * height * width / np.pi
    ratio = rng.lognormal(np.log(character.width_to_height), 0.22)
    points = _draw_outline(character, rng) * np.sqrt((area * ratio, area / ratio))
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


def _draw_lesion(
    character: Character, tissue: Floats, strip: Range, rng: np.random.Generator
) -> tuple[Bools, Floats, Floats]:
    """Draw one lesion into the tissue: its mask, the echo and the loss that it adds, in dB (H, W)."""
    height, width = tissue.shape
    mask, half_width, half_height = _draw_mask(character, (height, width), strip, rng)
    margin = rng.uniform(*character.margin) * height / _REFERENCE_HEIGHT
    body = _blur(mask.astype(np.float32), margin, margin)

    around = _blur(body, 0.25 * half_width + 1, 0.25 * half_width + 1)
    low, high = character.darker
    level = np.average(tissue, weights=around) - low - (high - low) * rng.beta(1.2, 2)
    grain = (0.1 * half_width + 1, 0.15 * half_width + 1)
    inside = level + character.mottle * _smooth_noise((height, width), *grain, rng)
    echo = body * (inside - tissue) + rng.uniform(*character.halo) * around * (1 - body)

    path = np.cumsum(body, axis=0, dtype=np.float32) / np.float32(2 * half_height)
    behind = _blur(np.clip(path - 0.5 * body, 0, 1.5), 2, 1.5)
    flanks = half_height / 8 * np.abs(cv2.Sobel(_blur(path, 1.2, 1.2), cv2.CV_32F, 1, 0))
    fading = np.linspace(1, 0, height, dtype=np.float32)[:, None] * (1 - body)
    loss = rng.normal(*character.lost_behind) * behind
    loss += rng.uniform(*character.lost_at_flanks) * np.clip(flanks * fading, 0, 1)
    return mask, echo, loss


def _draw_loss(size: Size, rng: np.random.Generator) -> Floats:
    """Draw the loss along the beam in dB: uneven time-gain compensation, bands of poor contact."""
    height, width = size
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    uneven = rng.uniform(0, 22) * depth ** rng.uniform(1.2, 2.5)
    uneven += 1.5 * _smooth_noise((height, 1), height / 10, 1, rng)
    bands = np.clip(_wave(width, width / 25, rng) - rng.uniform(0.4, 2), 0, 1.5)
    return uneven + rng.uniform(0, 18) * bands * np.clip(4 * (depth - rng.uniform(0, 0.5)), 0, 1)


def _add_speckle(echo: Floats, rng: np.random.Generator) -> Floats:
    """Turn echo strength into speckle with electronic noise, in dB, as scanners show it after speckle reduction.

    Scatterers are complex Gaussian, so the envelope is Rayleigh. The point spread function widens with depth, more
    across the beam than along it. Speckle reduction mixes in the local mean power, which removes the blackest dots.

    References:
        Wagner et al., Statistics of speckle in ultrasound B-scans, IEEE Trans. Sonics and Ultrasonics 30(3), 1983.
    """
    unit = echo.shape[0] / _REFERENCE_HEIGHT
    depth = np.linspace(0, 1, len(echo), dtype=np.float32)[:, None]
    amplitude = (10 ** (echo / 20)).astype(np.float32)
    floor = np.float32(10 ** (_NOISE_FLOOR_DB / 20))
    reduction = rng.uniform(0.35, 0.65)
    power = reduction * (_blur(amplitude**2, 0.4 * unit, 0.9 * unit) + floor**2)
    for _ in ("real", "imaginary"):
        scatter = amplitude * rng.standard_normal(echo.shape, dtype=np.float32)
        near = _blur_scatter(scatter, 0.4 * unit, 0.9 * unit)
        far = _blur_scatter(scatter, 0.7 * unit, 2.0 * unit)
        noise = floor * rng.standard_normal(echo.shape, dtype=np.float32)
        field = np.sqrt(1 - depth) * near + np.sqrt(depth) * far + noise
        power += (1 - reduction) * field**2 / 2
    return 10 * np.log10(power + 1e-9)
