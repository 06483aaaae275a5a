"""The figure of the distribution of Dice."""

import numpy as np
import pandas as pd

from bus_lightning.metrics.columns import dice_of
from bus_lightning.report.figures.inputs import images_in, paged, wrapped
from bus_lightning.report.figures.style import BLACK, BLUE, VERMILLION, WIDTH, columns_for, styled, tiled
from bus_lightning.report.sections import FigureItem

LOW = 0.1  # Dice below which a lesion is practically missed
_BINS = np.linspace(0, 1, 21)


@styled
def dice_histograms(cases: dict[str, pd.DataFrame]) -> list[FigureItem]:
    """Draw a histogram of Dice for each condition.

    Args:
        cases: Label -> cases of the test images with a lesion.
    """
    items = []
    for suffix, page in paged(cases):
        columns = columns_for(len(page), 3)
        figure, axes = tiled(len(page), columns, WIDTH / columns, 2.2, sharex=True)
        alt = []
        for number, (panel, (label, table)) in enumerate(zip(axes, page.items(), strict=False)):
            dice = dice_of(table)
            shares = np.histogram(dice, _BINS)[0] / len(dice)
            colors = [VERMILLION if left < LOW - 1e-9 else BLUE for left in _BINS[:-1]]
            panel.bar(_BINS[:-1] + 0.025, shares, width=0.045, color=colors)
            low, median, high = np.quantile(dice, [0.25, 0.5, 0.75])
            panel.axvline(median, color=BLACK, linewidth=1.2)
            for quartile in (low, high):
                panel.axvline(quartile, color=BLACK, linewidth=1, linestyle=":")
            below = float((dice < LOW).mean())
            panel.set_title(f"{wrapped(label, 30)}\nmedian {median:.2f}, below {LOW}: {below:.0%}", fontsize=8.5)
            panel.set(xlim=(0, 1), xlabel="Dice")
            if number % columns == 0:
                panel.set_ylabel("share of images")
            alt.append(f"{label}: median {median:.2f}, quartiles {low:.2f} and {high:.2f}, {below:.0%} below {LOW}.")
        caption = (
            f"Distribution of Dice, {images_in('test', page)} with a lesion. Line: median; dotted: quartiles; red: "
            f"below {LOW}, practically missed. Replicates are pooled."
        )
        items.append(FigureItem(f"dice_distribution{suffix}", caption, figure, " ".join(alt)))
    return items
