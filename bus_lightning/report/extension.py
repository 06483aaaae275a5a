"""What a study, such as the comparison with a paper, can add to a report. The report depends on none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bus_lightning.report.estimates import Summaries
from bus_lightning.report.sections import Item, Section
from bus_lightning.statistics.conditions import Condition, Group
from bus_lightning.statistics.operating_points import SCREENING_PREVALENCE, OperatingPoint


@dataclass(frozen=True)
class Evidence:
    """Everything that a report is written from.

    Attributes:
        group: All conditions, and the runs that were left out.
        main: The conditions that stand in the tables.
        by_model: Model -> the condition that represents it.
        summaries: Task -> part -> name of a condition -> `summarise` of it.
        comparisons: From `compare_all`, of all tasks.
        costs: From `cost_frame`.
        operating_points: Name of a condition -> `find_operating_points` of it; of those that predict malignant.
        prevalence: Share of malignant at which the stated PPV and NPV hold.
    """

    group: Group
    main: list[Condition]
    by_model: dict[str, Condition]
    summaries: dict[str, dict[str, Summaries]]
    comparisons: pd.DataFrame
    costs: pd.DataFrame
    operating_points: Mapping[str, list[OperatingPoint]] = field(default_factory=dict)
    prevalence: float = SCREENING_PREVALENCE

    def model_summaries(self, part: str) -> Summaries:
        """Return model -> summary of its condition; of a joint network that of its segmentation."""
        return {
            model: summaries[part][condition.name]
            for summaries in self.summaries.values()
            for model, condition in self.by_model.items()
            if condition.name in summaries[part]
        }


class Extension:
    """Base of a study: it adds nothing. Override what your study adds.

    Attributes:
        titles: Model -> its title in tables.
        references: Models to compare many conditions with, in order of preference.
    """

    titles: Mapping[str, str] = {}
    references: Sequence[str] = ()

    def main_conditions(self, conditions: list[Condition]) -> list[Condition]:
        """Return the conditions that stand in the report's tables; the others are experiments of the study."""
        return conditions

    def published(self, where: str, model: str, metric: str) -> str:
        """Return a published number as text; empty if there is none.

        Args:
            where: A table or section of the publication.
            model: Name of a model in this project.
            metric: Name of the metric there.
        """
        return ""

    def cost_rows(self, conditions: list[Condition]) -> list[dict[str, Any]]:
        """Return rows of the table of costs for networks that were not trained."""
        return []

    def after_checks(self, evidence: Evidence) -> list[Section]:
        """Return sections that follow the checks."""
        return []

    def after_tasks(self, evidence: Evidence) -> list[Section]:
        """Return sections that follow those of the tasks."""
        return []

    def after_costs(self, evidence: Evidence) -> list[Item]:
        """Return items that follow the table of costs."""
        return []
