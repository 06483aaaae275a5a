"""The results of a report's runs, as text to put next to what the paper says."""

import math
from dataclasses import dataclass, field

import pandas as pd

from bus_lightning.metrics.catalogue import title_of
from bus_lightning.paper import numbers as paper
from bus_lightning.report.estimates import Summaries, estimate, metric_row


@dataclass(frozen=True)
class Measured:
    """Results of models, as text that is empty if there is no result.

    Attributes:
        validation: Model -> summary of the validation images.
        test: Model -> summary of the test images.
        comparisons: From `comparisons.compare_all`; the name of a condition begins with its model's.
        costs: From `costs.cost_frame`.
    """

    validation: Summaries
    test: Summaries
    comparisons: pd.DataFrame = field(default_factory=pd.DataFrame)
    costs: pd.DataFrame = field(default_factory=pd.DataFrame)

    def _summary(self, part: str, model: str) -> pd.DataFrame | None:
        return (self.validation if part == "val" else self.test).get(model)

    def text(self, part: str, metric: str, *models: str, prefix: str = "") -> str:
        """Write a metric of models: its title after a prefix, the values with intervals, the number of images."""
        rows = {model: metric_row(self._summary(part, model), metric) for model in models}
        values = ", ".join(
            f"{paper.NAMES[model]} {estimate(row['value'], row['low'], row['high'])}, n = {int(row['n'])}"
            for model, row in rows.items()
            if row
        )
        return f"{prefix}{title_of(metric)}: {values}" if values else ""

    def value(self, part: str, metric: str, model: str) -> float:
        """Return a metric of a model; NaN if it was not measured or is undefined."""
        row = metric_row(self._summary(part, model), metric)
        return math.nan if row is None or row["value"] is None else float(row["value"])

    def images(self, part: str, model: str) -> int | None:
        """Return the number of images of a part; None if it is not known."""
        summary = self._summary(part, model)
        return None if summary is None or summary.empty else int(summary["n"].max())

    def compared(self, part: str, metric: str, first: str, second: str) -> str:
        """Return the sentences of the paired comparisons of two models."""
        rows = self.comparisons.to_dict("records")
        return " ".join(
            str(row["text"])
            for row in rows
            if (row["part"], row["metric"]) == (part, metric)
            and {str(row[side]).partition("__")[0] for side in ("a", "b")} == {first, second}
        )

    def cost(self, model: str, key: str) -> float | None:
        """Return a cost of a model in full size; None if it is unknown."""
        rows = [row for row in self.costs.to_dict("records") if row["model"] == model and not row["debug_size"]]
        return None if not rows or rows[0][key] is None else float(rows[0][key])


def or_missing(text: str, needs: str) -> str:
    """Return a text, or what is needed if it is empty."""
    return text or f"not measured here: needs {needs}"


def joined(*texts: str) -> str:
    """Join the texts that are not empty."""
    return "; ".join(text for text in texts if text)
