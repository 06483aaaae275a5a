"""The drawing of a U2-Net: a U of blocks, each of which is a U of its own."""

from math import log2

from matplotlib.figure import Figure

from bus_lightning.report.figures.drawing import Page, Point, count, kernel, times
from bus_lightning.report.figures.style import GREEN, ORANGE, SKY, WIDTH
from bus_lightning.report.figures.tracing import Call, convolutions

# A U2-Net's parts by their published names.
_ENCODER = [f"stage{level}" for level in range(1, 7)]
_DECODER = [f"stage{level}d" for level in range(1, 6)]
_SIDES = [f"side{level}" for level in range(1, 7)]
_FUSION = "outconv"
PARTS = {*_ENCODER, *_DECODER, *_SIDES, _FUSION}

# Where they are drawn, in inches: from the finest level down, the two columns lean towards each other.
_WIDTH, _HEIGHT, _ROW = 1.56, 0.6, 0.78
_LEFT = [0.05, 0.15, 0.25, 0.35, 0.45, 1.385]  # the deepest stage lies in the middle
_RIGHT = [2.72, 2.62, 2.52, 2.42, 2.32]
_BOTTOM = [0.06 + _ROW * level for level in range(5, -1, -1)]
_SIDE_X, _SIDE_WIDTH, _SIDE_HEIGHT = 4.54, 0.8, 0.34
_FUSION_X, _FUSION_WIDTH = 5.6, 0.42


def nested_u(calls: dict[str, Call], image: tuple[int, int, int]) -> Figure:
    """Draw a U2-Net: encoder down the left, decoder up the right, then its side outputs and their fusion.

    Args:
        calls: Its modules, from `trace`.
        image: Shape of the image, (C, H, W).
    """
    top = _BOTTOM[0] + _HEIGHT
    page = Page(top + 0.32)
    start = _LEFT[0] + _WIDTH / 2
    page.text(start, top + 0.3, f"image {times(image)}", va="top")
    page.arrow((start, top + 0.15), (start, top))
    for level, (name, x, y) in enumerate(zip(_ENCODER, _LEFT, _BOTTOM, strict=True)):
        _block(page, calls, name, (x, y), SKY)
        if level:
            middle = _middle(_LEFT[level - 1], x)
            page.arrow((middle, _BOTTOM[level - 1]), (middle, y + _HEIGHT))
    for level, (name, x, y) in enumerate(zip(_DECODER, _RIGHT, _BOTTOM[:-1], strict=True)):
        _block(page, calls, name, (x, y), ORANGE)
        middle = _middle((*_RIGHT, _LEFT[-1])[level + 1], x)
        page.arrow((middle, _BOTTOM[level + 1] + _HEIGHT), (middle, y))
        page.arrow((_LEFT[level] + _WIDTH, y + _HEIGHT / 2), (x, y + _HEIGHT / 2), dashed=True)
    for name, x, y in zip(_SIDES, [*_RIGHT, _LEFT[-1]], _BOTTOM, strict=True):
        side, middle = calls[name], y + _HEIGHT / 2
        page.box(_SIDE_X, middle - _SIDE_HEIGHT / 2, _SIDE_WIDTH, _SIDE_HEIGHT, GREEN)
        words = f"{name}  {count(side.parameters)}\n{times(side.shape)}"
        page.text(_SIDE_X + _SIDE_WIDTH / 2, middle, words, va="center")
        page.arrow((x + _WIDTH, middle), (_SIDE_X, middle))
        page.arrow((_SIDE_X + _SIDE_WIDTH, middle), (_FUSION_X, middle))
    fusion = calls[_FUSION]
    size = kernel(convolutions(fusion.module)[0])
    words = f"{_FUSION}: {size} convolution of all sides at full size, {count(fusion.parameters)} parameters"
    page.box(_FUSION_X, _BOTTOM[-1], _FUSION_WIDTH, top - _BOTTOM[-1], GREEN)
    page.text(_FUSION_X + _FUSION_WIDTH / 2, (_BOTTOM[-1] + top) / 2, words, rotation=90, va="center")
    end, middle = _FUSION_X + _FUSION_WIDTH, top - _HEIGHT / 2
    page.arrow((end, middle), (end + 0.22, middle))
    page.text(WIDTH - 0.36, middle, f"logits\n{times(fusion.shape)}", va="center")
    return page.figure


def explain_u(calls: dict[str, Call]) -> str:
    """Say how to read the drawing, for its caption."""
    kinds = ", ".join(_kind(calls[name]) for name in _ENCODER)
    return (
        f"Left the encoder ({kinds}), each arrow down halves the map by max-pooling; right the decoder, each arrow up "
        "doubles it bilinearly; dashed are skip connections, which are concatenated; then the side outputs, all "
        "brought to full size and fused. In each block its name, the shape of its output and its parameters; its dots "
        "are units of convolution, norm and activation, the lower the smaller their maps, hollow where they are "
        "dilated: a U within the U."
    )


def _block(page: Page, calls: dict[str, Call], name: str, corner: Point, color: str) -> None:
    """Draw one stage with its units as dots: the lower the smaller their maps, hollow where they are dilated."""
    x, y, call = *corner, calls[name]
    page.box(x, y, _WIDTH, _HEIGHT, color)
    top, left = y + _HEIGHT, x + 0.06
    page.text(left, top - 0.05, f"{_kind(call)}  {name}", ha="left", va="top", weight="bold")
    page.text(left, top - 0.2, f"{times(call.shape)}\n{count(call.parameters)} param.", ha="left", va="top")
    units = [calls[other] for other in calls if other.startswith(f"{name}.") and other.count(".") == 1]
    for place, unit in enumerate(reversed(units)):  # from the right
        depth = log2(call.shape[-1] / unit.shape[-1])
        dilated = any(max(conv.dilation) > 1 for conv in convolutions(unit.module))
        page.dot(x + _WIDTH - 0.07 - 0.05 * place, top - 0.19 - 0.07 * depth, dilated)


def _kind(call: Call) -> str:
    """Name a block as the paper does, RSU7 or RSU4F."""
    height, dilated = getattr(call.module, "height", None), getattr(call.module, "dilated", False)
    return f"RSU{height}{'F' if dilated else ''}" if height else call.kind


def _middle(one: float, other: float) -> float:
    """Find the middle of what two blocks, given by their left edges, have above each other."""
    return (one + other + _WIDTH) / 2
