"""What was measured here, ready to stand in a sentence beside what the paper says."""

import math
from dataclasses import dataclass

import pandas as pd

from bus_lightning.paper import numbers as paper
from bus_lightning.paper.tables import Summaries, estimate, metric_row


@dataclass(frozen=True)
class Measured:
    """What was measured here, as text that is empty where nothing was.

    Attributes:
        validation: Model -> summary of the validation images.
        test: Model -> summary of the test images.
        comparisons: From `comparisons.compare_all`; a condition's name begins with its model's.
        costs: From `costs.cost_frame`.
    """

    validation: Summaries
    test: Summaries
    comparisons: pd.DataFrame | None = None
    costs: pd.DataFrame | None = None

    def said(self, part: str, metric: str, *models: str, title: str = "") -> str:
        """Write a metric of models with its interval and the number of images, with a title before it."""
        summaries = self.validation if part == "val" else self.test
        found = {model: metric_row(summaries.get(model), metric) for model in models}
        written = ", ".join(
            f"{paper.NAMES[model]} {estimate(row['value'], row['low'], row['high'])}, n = {int(row['n'])}"
            for model, row in found.items()
            if row
        )
        return f"{title}: {written}" if title and written else written

    def value(self, part: str, metric: str, model: str) -> float:
        """Give a metric of a model; NaN where it was not measured or is undefined."""
        row = metric_row((self.validation if part == "val" else self.test).get(model), metric)
        return math.nan if row is None or row["value"] is None else float(row["value"])

    def images(self, part: str, model: str) -> int | None:
        """Count the images of a part; None where it is not known."""
        summary = (self.validation if part == "val" else self.test).get(model)
        return None if summary is None or summary.empty else int(summary["n"].max())

    def compared(self, part: str, metric: str, first: str, second: str) -> str:
        """Write what the paired comparison of two models found."""
        if self.comparisons is None or self.comparisons.empty:
            return ""
        rows = self.comparisons[(self.comparisons["part"] == part) & (self.comparisons["metric"] == metric)]
        return " ".join(
            str(row["text"])
            for row in rows.to_dict("records")
            if {str(row[side]).partition("__")[0] for side in ("a", "b")} == {first, second}
        )

    def cost(self, model: str, key: str) -> float | None:
        """Give a cost of a model, None where unknown or counted for another than the full network."""
        if self.costs is None or self.costs.empty:
            return None
        rows = self.costs[(self.costs["model"] == model) & ~self.costs["debug_size"].astype(bool)]
        return None if rows.empty or rows.iloc[0][key] is None else float(rows.iloc[0][key])


def or_missing(found: str, needs: str) -> str:
    """Say what is needed where nothing was measured."""
    return found or f"not measured here: needs {needs}"


def joined(*texts: str) -> str:
    """Join what is not empty."""
    return "; ".join(text for text in texts if text)
