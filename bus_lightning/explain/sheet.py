"""Draw a sheet of heat maps over their images, and a picture of each image."""

import shutil
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from bus_lightning.core.files import aside
from bus_lightning.data.dataset import colors
from bus_lightning.data.drawing import draw_outline, lay_heat_over
from bus_lightning.data.resizing import resize
from bus_lightning.explain.explained_image import ExplainedImage
from bus_lightning.explain.heatmaps import TITLES

_HEIGHT = 200  # of a picture, in pixels
_WRONG = "#c03000"  # caption of a wrong prediction
_OPACITY = 0.7  # of the strongest heat
_INCHES = 2.2  # height of a picture on the sheet
_CAPTION = 1.25  # smallest width of a column, in heights of a picture, for its caption


def save_tiles(images: list[ExplainedImage], folder: Path) -> None:
    """Save `<id>.png`, an image and its maps side by side; replaces the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for image in images:
        strip = cv2.cvtColor(np.hstack(_pictures(image)), cv2.COLOR_RGB2BGR)
        with aside(folder / f"{image.id}.png") as temporary:
            temporary.write_bytes(cv2.imencode(".png", strip)[1].tobytes())


def save_sheet(images: list[ExplainedImage], title: str, path: Path) -> None:
    """Save the sheet: a row per image, a column per method.

    Args:
        images: Images with maps of the same methods for the trained weights.
        title: Name of the run.
        path: The PNG.
    """
    columns = 1 + len(images[0].heat["trained"])
    widest = max(_CAPTION, *(image.shape[1] / image.shape[0] for image in images))
    size = (columns * _INCHES * widest, len(images) * (_INCHES + 0.45) + 1)
    figure = Figure(figsize=size, layout="constrained", dpi=110)
    figure.suptitle(title, fontsize=10, parse_math=False)
    axes = figure.subplots(len(images), columns, squeeze=False)
    for row, image in zip(axes, images, strict=True):
        classes = f"true: {image.label}, predicted: {image.predicted} {image.probability:.2f}"
        captions = [f"{image.id.rpartition('/')[2]}\n{classes}"]
        captions += [f"{TITLES[method]}\n{_describe(image, method)}" for method in image.heat["trained"]]
        for axis, picture, caption in zip(row, _pictures(image), captions, strict=True):
            axis.imshow(picture)
            axis.set_axis_off()
            color = "black" if image.label == image.predicted or axis is not row[0] else _WRONG
            axis.set_title(caption, fontsize=8.5, loc="left", color=color, parse_math=False)
    figure.supxlabel(
        "Heat: evidence for the predicted class, from dark (little) to yellow (the strongest 0.5%). Outline: lesion.\n"
        "In the lesion: its share of the heat; chance: its share of the image. Red caption: a wrong prediction.",
        fontsize=8.5,
    )
    with aside(path) as temporary:
        figure.savefig(temporary, format="png")


def _describe(image: ExplainedImage, method: str) -> str:
    """Describe how much of the heat is in the lesion."""
    measures = image.faithfulness["trained"][method]
    if not image.heat["trained"][method].any():
        return "no evidence for the predicted class"
    if measures["energy"] is None or measures["chance"] is None:
        return "no lesion"
    return f"{measures['energy']:.0%} in the lesion (chance {measures['chance']:.0%})"


def _pictures(explained: ExplainedImage) -> list[np.ndarray]:
    """Draw the image and each heat map over it, the lesion outlined, (h, w, 3) uint8 RGB each."""
    plain = _upright(colors(explained.image), explained)
    lesion = _upright(explained.mask * np.uint8(255), explained) > 127
    warm = [_warm(plain, _upright(heat, explained)) for heat in explained.heat["trained"].values()]
    return [draw_outline(picture, lesion) for picture in [plain.copy(), *warm]]


def _upright(square: np.ndarray, explained: ExplainedImage) -> np.ndarray:
    """Crop the image's part of the network's square, and restore its proportions."""
    top, left, height, width = explained.box
    shape = (_HEIGHT, max(1, round(_HEIGHT * explained.shape[1] / explained.shape[0])))
    return resize(square[top : top + height, left : left + width], shape)


def _warm(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Blend a heat map into an image; strong heat is more opaque, and outliers do not darken the rest."""
    full = np.quantile(heat, 0.995) or heat.max() or 1
    return lay_heat_over(image, (heat / full).astype(np.float32), _OPACITY)
