"""Drawings of networks, made from the modules that a run's config builds: never by hand."""

import re
from itertools import groupby
from math import log2
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from omegaconf import DictConfig

from bus_lightning.report.figures.drawing import BY, Page, Point, count, fit, kernel, times
from bus_lightning.report.figures.nested_u import PARTS, explain_u, nested_u
from bus_lightning.report.figures.style import LIGHT, ORANGE, SKY, WIDTH, styled
from bus_lightning.report.figures.tracing import SILENT, Box, boxes_of, convolutions, trace
from bus_lightning.report.sections import FigureItem

if TYPE_CHECKING:
    from torch import nn

_MOST_BOXES = 12  # more have no room for their words
_SHORT = 8  # characters of a name that fit into the narrowest column
_MOST_LINES = 5  # that say what a box consists of
_LINE = 0.135  # inches from line to line


@styled
def network(config: DictConfig) -> FigureItem | None:
    """Draw the network of a run.

    Args:
        config: The run's config.

    Returns:
        The figure, a nested U for a U2-Net and a chain of boxes for any other; None for a network that cannot be built
        or called without data.
    """
    try:
        calls = trace(config)
    except Exception:  # a network from elsewhere may refuse the meta device, or the image's size, in its own way
        return None
    image = (config.data.channels, config.data.size, config.data.size)
    if not (boxes := boxes_of(calls, _MOST_BOXES)):
        return None
    if calls.keys() >= PARTS:
        figure, explanation = nested_u(calls, image), explain_u(calls)
    else:
        figure, explanation = _chain(boxes, image), _explain_chain(boxes)
    name = str(config.model.name)
    return FigureItem(
        slug=f"network_{re.sub('[^a-z0-9_-]+', '-', name.lower())}",
        caption=f"The network {name}: {calls[''].parameters:,} parameters, drawn from its modules for an image of "
        f"{times(image)} (channels{BY}height{BY}width). {explanation}",
        figure=figure,
        alt=f"Architecture of {name}: an image, then {', '.join(box.calls[0].name for box in boxes)}.",
    )


def _chain(boxes: list[Box], image: tuple[int, int, int]) -> Figure:
    """Draw boxes in a row: the higher the more pixels, the wider the more channels; arcs are skip connections."""
    # What flows from box to box, as far as it is not changed between them, which no module sees.
    flows = {
        (one, other) for other in range(len(boxes)) for one in range(other) if boxes[one].gives & boxes[other].takes
    }
    skips = sorted((one, other) for one, other in flows if other - one > 1)
    elsewhere = {other for _, other in skips if (other - 1, other) not in flows}  # fed by another than the box before
    columns = [
        (["image"], [""], [f"{image[0]} ch", times(image[1:])]),
        *((_name(box, boxes), _kinds(box), _sizes(box)) for box in boxes),
    ]
    slot = WIDTH / len(columns)
    rows = [max(len(column[row]) for column in columns) for row in range(3)]
    middle = _LINE * (sum(rows) + 0.8) + 0.72
    longest = max((other - one for one, other in skips), default=0)
    page = Page(middle + 0.75 + 0.12 * slot * longest)
    sides = [image[1], *(box.pixels**0.5 for box in boxes)]
    channels = [image[0], *(box.channels for box in boxes)]
    colors = [LIGHT, *(LIGHT if not box.parameters else ORANGE if box.pixels == 1 else SKY for box in boxes)]
    tops: list[Point] = []
    right = 0.0
    for place, column in enumerate(columns):
        x, height = slot * (place + 0.5), 0.12 + 1.2 * log2(sides[place]) / log2(max(sides))
        width = slot * (0.1 + 0.5 * log2(channels[place] + 1) / log2(max(channels) + 1))
        page.box(x - width / 2, middle - height / 2, width, height, colors[place])
        if place and place - 1 not in elsewhere:
            page.arrow((right, middle), (x - width / 2, middle))
        right = x + width / 2
        tops.append((x, middle + height / 2 + 0.02))
        y = middle - 0.83
        for lines, room, weight in zip(column, rows, ("bold", "normal", "normal"), strict=True):
            for number, line in enumerate(lines):
                page.text(x, y - _LINE * number, fit(line, slot, weight), weight=weight)
            y -= _LINE * (room + 0.3)
    for one, other in skips:
        page.arrow(tops[one + 1], tops[other + 1], curve=-0.22, dashed=True)
    return page.figure


def _name(box: Box, boxes: list[Box]) -> list[str]:
    """Name a box after its first module, by no more of the path than tells it from others, in short lines."""
    path = box.calls[0].name.split(".")
    while len(path) > 1:
        parent = ".".join(path[:-1]) + "."
        if sum(other.calls[0].name.startswith(parent) for other in boxes) > 1:
            break
        path.pop()
    name = ".".join(path[-2:] if path[-1].isdigit() else path[-1:])
    return [name] if len(name) <= _SHORT else re.split(r"(?<=.)(?=[._])", name)


def _kinds(box: Box) -> list[str]:
    """Say in short lines what a box consists of."""
    speaking = [call for call in box.calls if not SILENT.search(call.kind)] or box.calls[:1]
    lines: list[str] = []
    for kind, equal in groupby(_kind(call.module) for call in speaking):
        number = len(list(equal))
        lines += [*([f"{number} {BY}"] if number > 1 else []), *kind]
    lines = lines if len(lines) <= _MOST_LINES else [*lines[: _MOST_LINES - 1], "…"]
    grouped = [conv for conv in convolutions(box.calls[0].module) if 1 < conv.groups < conv.in_channels]
    return [*lines, f"{grouped[0].groups} groups", f"of {_width(grouped[0])} ch"] if grouped else lines


def _kind(module: "nn.Module") -> list[str]:
    """Say in short lines what a module is; of blocks in a row how many."""
    from torch import nn

    children, name = list(module.children()), type(module).__name__
    if isinstance(module, nn.Conv2d):
        return [f"{kernel(module)} conv"]
    if isinstance(module, nn.Linear):
        return ["linear"]
    if "Pool" in name:
        return ["max pool" if "Max" in name else "avg pool"]
    if isinstance(module, nn.Sequential) and len({type(child) for child in children}) == 1:
        return [f"{len(children)} {BY}", *_words(type(children[0]).__name__)]
    return _words(name)


def _sizes(box: Box) -> list[str]:
    """Say in short lines what comes out of a box, and how many parameters it has."""
    if len(box.shape) == 3 and box.pixels > 1:
        return [f"{box.channels} ch", times(box.shape[1:]), count(box.parameters)]
    return [times(box.shape) if box.pixels > 1 else f"{box.channels}", "", count(box.parameters)]


def _explain_chain(boxes: list[Box]) -> str:
    from torch import nn

    text = (
        "Boxes stand in the order of the calls; dashed are skip connections. The higher a box the larger its map, the "
        "wider the more channels (both on a logarithmic scale); below it what it consists of, the channels and size of "
        "its output, and its parameters. Norms and activations are not named."
    )
    for box in boxes:
        stage = box.calls[0]
        if isinstance(stage.module, nn.Sequential) and len(convs := convolutions(stage.module[-1])) > 1:
            steps = "; ".join(_describe(conv) for conv in convs)
            return f"{text} The last {type(stage.module[-1]).__name__} of {stage.name} convolves {steps}."
    return text


def _describe(conv: "nn.Conv2d") -> str:
    """Say in words what a convolution does."""
    words = f"{kernel(conv)}, {conv.in_channels} to {conv.out_channels} channels"
    if conv.groups == 1:
        return words
    groups = "each channel alone" if conv.groups == conv.in_channels else f"{conv.groups} groups of {_width(conv)}"
    return f"{words} ({groups})"


def _width(conv: "nn.Conv2d") -> int:
    """Count the channels of one of its groups."""
    return conv.out_channels // conv.groups


def _words(name: str) -> list[str]:
    """Break the name of a class where a capital begins a word."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.lstrip("_")).split()
