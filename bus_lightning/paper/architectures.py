"""Drawings of the paper's networks, U2NET and DeepCardinal-50, made from the layers that their runs have counted."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from omegaconf import DictConfig

from bus_lightning.paper import numbers as paper
from bus_lightning.report.costs import known_network
from bus_lightning.report.figures.style import BLACK, GREEN, GREY, LIGHT, ORANGE, SKY, WIDTH, new_figure, styled
from bus_lightning.report.sections import FigureItem
from bus_lightning.statistics.conditions import Condition

log = logging.getLogger(__name__)

_LEVELS = 6  # of a U2-Net
_OPACITY = "70"
_READ_CHAIN = "Each box: its blocks, the channels, height and width of its output, and its parameters."
_READ_U = (
    "Left: the encoder; each arrow down halves the map by max-pooling. Middle: the decoder; each arrow up doubles it "
    "bilinearly. Dashed: skip connections, which are concatenated. Right: the side outputs, resized to the image and "
    "fused. Each stage is itself a U (RSU7: seven levels; F: dilated instead of pooled). Each box: the channels, "
    "height and width of its output, and its parameters."
)


@styled
def architectures(conditions: Sequence[Condition]) -> list[FigureItem]:
    """Draw the networks of the paper among those of some conditions.

    A network that cannot be drawn gets a line in the log, as in the table of costs.

    Args:
        conditions: Conditions, with the number of classes known.
    """
    figures = []
    for condition in conditions:
        if condition.model in ("deepcardinal50", "u2net_lite", "u2net"):
            try:
                network = known_network(condition.runs[0], condition.config, condition.origin)
                if "layers" in network:  # otherwise the log says why they cannot be counted
                    figures.append(_figure(condition.config, network["layers"]))
            except Exception as error:  # a config from elsewhere may give this name to any network
                log.warning("%s is not drawn: %s", condition.model, error)
    return figures


def _figure(config: DictConfig, counted: Sequence[Mapping[str, Any]]) -> FigureItem:
    """Draw the layers of a network, as `models.anatomy.trace_layers` lists them."""
    name, size = config.model.name, config.data.size
    layers = {layer["name"]: layer for layer in counted if not layer["kind"].startswith("BatchNorm")}
    figure, explanation = (_u(layers), _READ_U) if "outconv" in layers else (_chain(layers), _READ_CHAIN)
    return FigureItem(
        slug=f"network_{name}",
        caption=f"{paper.NAMES[name]}, drawn from its modules for an image of "
        f"{_times(config.data.channels, size, size)}. {explanation} Norms, activations and pooling are not drawn.",
        figure=figure,
        alt=f"Architecture of {paper.NAMES[name]}: an image, then {', '.join(layers)}.",
    )


def _page(height: float) -> tuple[Figure, Axes]:
    """Make a figure whose coordinates are inches."""
    figure = new_figure(WIDTH, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def _box(axes: Axes, x: float, y: float, width: float, height: float, color: str, text: str, **style: Any) -> None:
    """Draw a box around a centre, with its text."""
    corner = (x - width / 2, y - height / 2)
    axes.add_patch(Rectangle(corner, width, height, facecolor=color + _OPACITY, edgecolor=BLACK, linewidth=0.7))
    axes.text(x, y, text, ha="center", va="center", fontsize=7.2, linespacing=1.3, **style)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], is_skip: bool = False) -> None:
    style: dict[str, Any] = {"color": GREY, "linestyle": "--"} if is_skip else {"color": BLACK}
    style |= {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "linewidth": 0.8}
    axes.annotate("", end, start, arrowprops=style)


def _chain(layers: dict[str, Mapping[str, Any]]) -> Figure:
    """Draw the layers in a row."""
    figure, axes = _page(1.3)
    slot, width, y = WIDTH / len(layers), WIDTH / len(layers) - 0.2, 0.65
    for place, (name, layer) in enumerate(layers.items()):
        x = slot * (place + 0.5)
        text = "\n".join([name, *_blocks(layer), _times(*layer["shape"]), _count(layer["parameters"])])
        _box(axes, x, y, width, 1.15, SKY if len(layer["shape"]) > 1 else ORANGE, text)
        if place:
            _arrow(axes, (x - slot + width / 2, y), (x - width / 2, y))
    return figure


def _blocks(layer: Mapping[str, Any]) -> Iterator[str]:
    """Describe a sequence of blocks, or a single layer, in short lines."""
    yield " \N{MULTIPLICATION SIGN} ".join(map(str, layer["blocks"])) or layer["kind"]
    if layer["groups"]:
        yield "{} groups of {}".format(*layer["groups"])


def _u(layers: dict[str, Mapping[str, Any]]) -> Figure:
    """Draw encoder, decoder and side outputs of a U2-Net in columns, the finest level on top."""
    row, width, height = 0.62, 1.45, 0.42
    figure, axes = _page(row * _LEVELS + 0.1)
    left, middle, right, end = 0.85, 3.05, 5.1, 6.55
    deepest = (left + middle) / 2
    for level in range(1, _LEVELS + 1):
        y, last = row * (_LEVELS - level + 0.5) + 0.05, level == _LEVELS
        x = deepest if last else left
        _box(axes, x, y, width, height, SKY, _stage(layers, f"stage{level}"))
        if level > 1:
            _arrow(axes, (left, y + row - height / 2), (x - 0.5 if last else left, y + height / 2))
        if not last:
            _box(axes, middle, y, width, height, ORANGE, _stage(layers, f"stage{level}d"))
            _arrow(axes, (left + width / 2, y), (middle - width / 2, y), is_skip=True)
            start = (deepest + 0.5 if level == _LEVELS - 1 else middle, y - row + height / 2)
            _arrow(axes, start, (middle, y - height / 2))
        _box(axes, right, y, 1.2, height, GREEN, _stage(layers, f"side{level}"))
        _arrow(axes, ((deepest if last else middle) + width / 2, y), (right - 0.6, y))
        _arrow(axes, (right + 0.6, y), (end - 0.2, y))
    fusion = _stage(layers, "outconv").replace("\n", ", ")
    _box(axes, end, row * _LEVELS / 2 + 0.05, 0.4, row * _LEVELS - 0.2, LIGHT, fusion, rotation=90)
    return figure


def _stage(layers: dict[str, Mapping[str, Any]], name: str) -> str:
    layer = layers[name]
    options = layer["options"]
    kind = f"RSU{options['height']}{'F' if options['dilated'] else ''} " if "height" in options else ""
    return f"{kind}{name}\n{_times(*layer['shape'])}, {_count(layer['parameters'])}"


def _times(*sizes: int) -> str:
    return "\N{MULTIPLICATION SIGN}".join(map(str, sizes))


def _count(number: int) -> str:
    """Write a number of parameters in three digits."""
    if number < 1000:
        return str(number)
    return f"{number / 1e3:.3g} k" if number < 999_500 else f"{number / 1e6:.3g} M"
