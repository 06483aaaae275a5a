"""Figures of corrupted images: what they look like, and how much they change a metric."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from bus_lightning.data.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from bus_lightning.data.phantom import draw_frame, plan_case
from bus_lightning.data.resizing import resize
from bus_lightning.metrics.catalogue import title_of
from bus_lightning.report.figures.inputs import wrapped
from bus_lightning.report.figures.style import GREY, MARKERS, WIDTH, colors_of, columns_for, new_figure, styled, tiled
from bus_lightning.report.sections import FigureItem
from bus_lightning.statistics.robustness import Corrupted

_EXAMPLE = ("malignant", 2)  # class and number of a phantom
_HEIGHT = 110  # of a picture, in pixels
_COLUMNS = 4


@styled
def corrupted_examples() -> FigureItem:
    """Show a phantom image in every corruption and strength."""
    pixels, masks = draw_frame(plan_case(*_EXAMPLE), seed=0)
    image = np.ascontiguousarray(np.broadcast_to(pixels.reshape(*pixels.shape[:2], -1), (*pixels.shape[:2], 3)))
    mask = np.any(masks, axis=0).astype(np.uint8)
    shape = (_HEIGHT, round(_HEIGHT * image.shape[1] / image.shape[0]))
    columns = (0, *STRENGTHS)
    width = WIDTH / len(columns)
    figure = new_figure(WIDTH, len(CORRUPTIONS) * (width * shape[0] / shape[1] + 0.17) + 0.25)
    axes = figure.subplots(len(CORRUPTIONS), len(columns), squeeze=False)
    for row, (name, corruption) in zip(axes, CORRUPTIONS.items(), strict=True):
        for axis, strength in zip(row, columns, strict=True):
            shown = corrupt(name, strength, image, [mask], "phantom")[0] if strength else image
            axis.imshow(resize(shown, shape))
            axis.set_axis_off()
            title = f"{corruption.values[strength - 1]:g}" if strength else corruption.title
            axis.set_title(title, fontsize=8, pad=2, loc="center" if strength else "left")
    return FigureItem(
        "robustness_examples",
        "What the corruptions do to a synthetic phantom, drawn by this program: the image as it is, then strengths 1 "
        "to 5, with the values of the table.",
        figure,
        f"A phantom image as it is and corrupted in five strengths by {', '.join(CORRUPTIONS)}.",
    )


@styled
def corruption_curves(
    slug: str, metric: str, by_condition: Mapping[str, Sequence[Corrupted]], size: str
) -> FigureItem | None:
    """Draw the change of a metric against the strength: a panel per corruption, a line per condition.

    Args:
        slug: Name of the file.
        metric: Key of the metric.
        by_condition: Label of a condition -> its comparisons.
        size: The number of images, in words.

    Returns:
        The figure; None if the metric is defined nowhere.
    """
    shown = {
        name: [each for each in compared if each.compared.metric == metric and not each.compared.reason]
        for name, compared in by_condition.items()
    }
    names = [
        name for name in CORRUPTIONS if any(each.level.corruption == name for own in shown.values() for each in own)
    ]
    if not names:
        return None
    columns = columns_for(len(names), _COLUMNS)
    figure, axes = tiled(len(names), columns, WIDTH / columns, 1.75, sharex=True, sharey=True)
    colors = colors_of(list(shown))
    for panel, name in zip(axes, names, strict=False):
        for number, (label, compared) in enumerate(shown.items()):
            own = [each for each in compared if each.level.corruption == name]
            _draw(panel, own, colors[label], MARKERS[number % len(MARKERS)], label)
        panel.axhline(0, color=GREY, linestyle="--", linewidth=1)
        panel.set_title(CORRUPTIONS[name].title)
        panel.set_xticks(STRENGTHS)
    for panel in axes[max(0, len(names) - columns) : len(names)]:
        panel.tick_params(labelbottom=True)  # also where no panel is below
    figure.supxlabel("strength", fontsize=8.5)
    figure.supylabel(f"change of {title_of(metric)}", fontsize=8.5)
    handles, labels = axes[0].get_legend_handles_labels()
    if len(shown) > 1:
        labels = [wrapped(label, 48) for label in labels]
        figure.legend(handles, labels, loc="outside upper center", ncols=min(2, len(labels)))
    alt = " ".join(
        f"{label}, {CORRUPTIONS[each.level.corruption].title} {each.level.strength}: {each.compared.difference:+.3f}."
        for label, compared in shown.items()
        for each in compared
        if each.level.strength == max(STRENGTHS)
    )
    caption = (
        f"Change of {title_of(metric)} by the strength of the corruption, against the same images as they are ({size})."
        " Bands: 95% intervals over groups, from the same draws. 0: no change."
    )
    return FigureItem(slug, caption, figure, alt)


def _draw(panel: Axes, compared: Sequence[Corrupted], color: str, marker: str, label: str) -> None:
    strengths = [each.level.strength for each in compared]
    low, high = ([getattr(each.compared, end) for each in compared] for end in ("low", "high"))
    panel.fill_between(strengths, low, high, color=color, alpha=0.18, linewidth=0)
    values = [each.compared.difference for each in compared]
    panel.plot(strengths, values, color=color, marker=marker, markersize=4, label=label)
