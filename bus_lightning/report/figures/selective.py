"""Risk-coverage curves: the error rate among the most confident answers."""

from bus_lightning.report.figures.inputs import images_in, name_pictured, pages, wrapped
from bus_lightning.report.figures.style import WIDTH, colors_of, new_figure, panels, styled
from bus_lightning.report.sections import FigureItem
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.selective import GRID, risk_curve

_DRAWS = 400  # enough for a band to look at


@styled
def risk_coverage(conditions: list[Condition], part: str, draws: int = _DRAWS) -> list[FigureItem]:
    """Draw the error rate against the share of images that are answered.

    Args:
        conditions: Any.
        part: ``"val"`` or ``"test"``.
        draws: Draws of the bootstrap over groups, for the bands.
    """
    items = []
    for suffix, page in pages(conditions, "classification", part):
        figure = new_figure(WIDTH, 4.0)
        ((panel,),) = panels(figure, 1, 1)
        colors = colors_of(list(page))
        alt = []
        for name, cases in page.items():
            curve = risk_curve(cases, draws)
            panel.fill_between(GRID, curve.low, curve.high, color=colors[name], alpha=0.1, linewidth=0)
            panel.plot(GRID, curve.risk, color=colors[name], label=wrapped(name, 36))
            panel.plot(GRID, curve.best, color=colors[name], linestyle=":", linewidth=1, label="_best")
            half = curve.risk[abs(GRID - 0.5).argmin()]
            alt.append(f"{name}: error rate {curve.risk[-1]:.2f} of all answers, {half:.2f} of the first half.")
        panel.set(xlim=(0, 1), xlabel="coverage: share of images that are answered", ylabel="error rate of the answers")
        panel.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", ncols=min(2, len(page)))
        caption = (
            f"Risk against coverage, {images_in(part, page)}: the error rate of the answers with the highest "
            "probability, from a coverage of 5%. Dotted: the best possible order of the same answers. Bands: 95% "
            f"intervals, bootstrap over groups; {name_pictured(conditions)}, with several replicates their mean."
        )
        items.append(FigureItem(f"risk_coverage_{part}{suffix}", caption, figure, " ".join(alt)))
    return items
