"""What the comparison with the paper adds to a report."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bus_lightning.config.data_sets import options_by_set
from bus_lightning.paper import numbers as paper
from bus_lightning.paper.architectures import architectures
from bus_lightning.paper.contradictions import contradictions
from bus_lightning.paper.cost_claim import REFERENCE, cost_claim, reference_row
from bus_lightning.paper.leaks import leak_section, separate_leaks
from bus_lightning.paper.measured import Measured
from bus_lightning.paper.segmenter_leak import segmenter_leak_section
from bus_lightning.paper.tables import paper_tables
from bus_lightning.report.extension import Evidence, Extension
from bus_lightning.report.sections import Item, Note, Section, TableItem, fold
from bus_lightning.statistics.conditions import WEIGHTS_MISSING, Condition, Group

_LIKE_BUSI = ("busi", "folder")  # sources


class PaperExtension(Extension):
    """The paper's tables next to ours, its contradictions, the leak study, its claim about cost and its networks."""

    titles = paper.NAMES | {REFERENCE: "ResNet-101"}
    references: Sequence[str] = ("deepcardinal50", "u2net_lite")

    def main_conditions(self, conditions: list[Condition]) -> list[Condition]:
        """Leave out the conditions of the leak study."""
        return separate_leaks(conditions)[0]

    def published(self, where: str, model: str, metric: str) -> str:
        """Return a number of the paper as printed, with a star if it is not clear which network it belongs to."""
        number = paper.published(where, model, metric)
        return number.printed + ("*" if number.remark else "") if number else ""

    def cost_rows(self, conditions: list[Condition]) -> list[dict[str, Any]]:
        """Return the row of ResNet-101, which the paper claims to match."""
        row = reference_row(conditions)
        return [row] if row else []

    def after_checks(self, evidence: Evidence) -> list[Section]:
        """Return the section with the paper's tables and contradictions; none if no run is of BUSI."""
        # The paper trains single networks.
        by_model = {model: each for model, each in evidence.by_model.items() if not each.is_ensemble}
        if by_model and all(map(_is_of_other_sets, by_model.values())):
            return []
        validation, test = (evidence.model_summaries(part) for part in ("val", "test"))
        missing = [model for model in paper.NAMES if model not in test]
        reasons = {model: _why_not_run(evidence.group, model) for model in missing}
        items: list[Item] = [Note(text, "warning") for text in _differences(list(by_model.values()))]
        if by_model:
            items.append(_sources(by_model))
        tables: list[Item] = [*paper_tables(validation, test, reasons)]
        is_any_run = len(missing) < len(paper.NAMES)
        items += tables if is_any_run else fold("The paper's tables; no network of the paper is in this report", tables)
        items += fold(
            "Where the paper contradicts itself",
            [contradictions(Measured(validation, test, evidence.comparisons, evidence.costs))],
        )
        intro = (
            "The paper: Li, Niu, Tian, Huang, Frontiers in Oncology 14, 2025, doi 10.3389/fonc.2024.1461542. Its "
            "numbers come from one random split of BUSI, without intervals. Ours come from the runs in the first table."
        )
        return [Section("Compared with the paper", intro, items)]

    def after_tasks(self, evidence: Evidence) -> list[Section]:
        """Return the sections of the leak study, if there are such runs."""
        experiments = separate_leaks(evidence.group.conditions)[1]
        sections = [leak_section(experiments, evidence.summaries["classification"])] if experiments else []
        of_segmenters = segmenter_leak_section(evidence.group.conditions)
        return [*sections, of_segmenters] if of_segmenters else sections

    def after_costs(self, evidence: Evidence) -> list[Item]:
        """Return the check of the paper's claim about cost, and drawings of its two networks."""
        claim = [cost_claim(evidence.costs, evidence.model_summaries("test"))] if len(evidence.costs) else []
        return [*claim, *architectures(list(evidence.by_model.values()))]


EXTENSION = PaperExtension()


def _why_not_run(group: Group, model: str) -> str:
    for row in reversed(group.left_out.to_dict("records")):
        if row["model"] == model:
            return str(row["state"] if row["state"] == WEIGHTS_MISSING else row["reason"])
    return "no run of it in this report"


def _sources(by_model: dict[str, Condition]) -> TableItem:
    """List the condition of each model that is compared with the paper."""
    rows = []
    for model, condition in by_model.items():
        cfg = condition.config
        row = {"model": paper.NAMES.get(model, model), "condition": condition.name, "runs": len(condition.runs)}
        split = f"{cfg.data.split.method}, {':'.join(map(str, cfg.data.split.ratio))}"
        rows.append(row | {"split": split, "input, pixels": cfg.data.size, "epochs, at most": cfg.trainer.max_epochs})
    caption = (
        "The conditions that are compared with the paper: for each model the one without a leak, with a grouped split "
        "and the most runs. The paper trains its classifiers for 100 epochs on a random split; it does not state the "
        "input size."
    )
    return TableItem("paper_sources", caption, pd.DataFrame(rows))


def _is_of_other_sets(condition: Condition) -> bool:
    """Check whether runs were trained on a data set that is not BUSI, nor a folder that may be a copy of it."""
    return any(options["source"] not in _LIKE_BUSI for options in options_by_set(condition.config.data).values())


def _differences(conditions: list[Condition]) -> list[str]:
    """Say how our runs differ from the paper's, beyond size and epochs."""
    texts = {
        "These are synthetic images: their numbers have nothing to do with the paper's.": any(
            condition.config.data.get("phantom") for condition in conditions
        ),
        "Some networks have the small size for debugging.": any(
            condition.config.get("debug_size") for condition in conditions
        ),
        "Some runs were trained on other data sets than BUSI.": any(map(_is_of_other_sets, conditions)),
        "Some runs have other classes than benign, malignant and normal.": any(
            set(condition.classes) != set(paper.IMAGES) for condition in conditions
        ),
    }
    return [text for text, holds in texts.items() if holds]
