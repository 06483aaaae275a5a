"""The figure of operating points: sensitivity against specificity of each rule, with intervals."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bus_lightning.report.figures.inputs import paged, span, wrapped
from bus_lightning.report.figures.style import GREY, MARKERS, WIDTH, colors_of, styled, tiled
from bus_lightning.report.sections import FigureItem
from bus_lightning.statistics.operating_points import MOST_PROBABLE, SENSITIVITIES, OperatingPoint, sensitivity_rule

_TARGETS = {sensitivity_rule(asked): asked for asked in SENSITIVITIES}


@styled
def operating_figure(points: Mapping[str, Sequence[OperatingPoint]]) -> list[FigureItem]:
    """Draw a panel per rule: a cross of two intervals for each condition.

    Args:
        points: Label of a condition -> its operating points; those without numbers are left out.
    """
    known = {name: own for name, each in points.items() if (own := [point for point in each if not point.reason])}
    items = []
    for suffix, page in paged(known):
        rules = list(dict.fromkeys(point.rule for own in page.values() for point in own))
        figure, axes = tiled(len(rules), 2, WIDTH / 2, 2.9)
        colors = colors_of(list(page))
        alt = []
        for panel, rule in zip(axes, rules, strict=False):
            for (name, own), marker in zip(page.items(), MARKERS, strict=False):
                for point in own:
                    if point.rule == rule:
                        _draw(panel, point, colors[name], marker)
                        sensitivity, specificity = (point.estimates[key][0] for key in ("sensitivity", "specificity"))
                        alt.append(f"{name}, {rule}: sensitivity {sensitivity:.2f}, specificity {specificity:.2f}.")
            if rule in _TARGETS:
                panel.axhline(_TARGETS[rule], color=GREY, linestyle="--", linewidth=1)
            title = "the most probable class" if rule == MOST_PROBABLE else f"threshold: {rule}"
            panel.set(xlim=(1.02, -0.02), ylim=(-0.02, 1.02), xlabel="specificity", ylabel="sensitivity")
            panel.set_title(wrapped(title, 32))
        keys = [
            Line2D([], [], color=colors[name], marker=marker, label=wrapped(name, 36))
            for name, marker in zip(page, MARKERS, strict=False)
        ]
        figure.legend(handles=keys, loc="outside lower center", ncols=min(2, len(keys)))
        sizes = [point.n for own in page.values() for point in own]
        caption = (
            f"Sensitivity and specificity for malignant on test images (n = {span(sizes)}) at thresholds fixed on "
            "validation images, with 95% intervals (bootstrap over groups); one condition of each model. Dashed: the "
            "sensitivity that was required on validation."
        )
        items.append(FigureItem(f"operating_points_figure{suffix}", caption, figure, " ".join(alt)))
    return items


def _draw(panel: Axes, point: OperatingPoint, color: str, marker: str) -> None:
    (y, low, high), (x, left, right) = point.estimates["sensitivity"], point.estimates["specificity"]
    panel.plot([x, x], [low, high], color=color, alpha=0.7)
    panel.plot([left, right], [y, y], color=color, alpha=0.7)
    panel.plot([x], [y], marker, color=color, markersize=5)
