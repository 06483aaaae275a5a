"""What a report tells, in the order of reading: sections of the runs of one or more groups."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bus_lightning.paper import numbers as paper
from bus_lightning.paper.contradictions import contradictions
from bus_lightning.paper.leaks import handling, leakage_section, part_leaks
from bus_lightning.paper.masks import mask_section
from bus_lightning.paper.tables import paper_tables
from bus_lightning.report.costs import cost_frame, cost_table, size_claim
from bus_lightning.report.figures.history import history
from bus_lightning.report.figures.networks import network
from bus_lightning.report.figures.pictures import data_sample, find_data
from bus_lightning.report.maps import heat_map_section
from bus_lightning.report.sections import Item, Note, Section, TableItem
from bus_lightning.report.task_sections import COMPARED, Summaries, in_short, task_section
from bus_lightning.statistics.checks import find_problems, passed_checks
from bus_lightning.statistics.comparisons import MAX_ALL_PAIRS, compare_all
from bus_lightning.statistics.conditions import WEIGHTS_MISSING, Condition, Group, of_task
from bus_lightning.statistics.parallel import call_in_parallel
from bus_lightning.statistics.summary import summarise

Said = Callable[[str], None]


def contents(group: Group, cache: Path | None = None, say: Said = lambda text: None) -> list[Section]:
    """Make all sections of a report.

    Args:
        group: The conditions, and the runs that were left out.
        cache: Folder that keeps summaries from one report to the next.
        say: Called with what is being worked on.
    """
    say("intervals")
    summaries = {task: _summaries(of_task(group.conditions, task), cache) for task in COMPARED}
    main, experiments = part_leaks(group.conditions)
    say("comparisons")
    standing = _standing(main)
    compared = [
        compare_all(own, "test", list(metrics), reference=_reference(own, standing))
        for task, metrics in COMPARED.items()
        if (own := of_task(main, task))
    ]
    comparisons = pd.concat(compared, ignore_index=True) if any(len(table) for table in compared) else pd.DataFrame()
    by_model = {
        part: {
            one.model: summaries[task][part][one.name] for task in COMPARED for one in of_task(standing.values(), task)
        }
        for part in ("val", "test")
    }
    costs = cost_frame(main)
    say("figures")
    sections = [
        in_short(main, summaries, comparisons),
        _checks(group),
        _against_paper(group, standing, by_model, costs, comparisons),
        *[task_section(task, main, standing, summaries[task], comparisons) for task in COMPARED],
        leakage_section(experiments, summaries["classification"]["val"], summaries["classification"]["test"]),
        mask_section(group.conditions, summaries["classification"]["test"]),
        heat_map_section(main),
        Section(
            "Training",
            "How the networks were trained: dashed on training images, augmented, solid on validation images.",
            [item for task in COMPARED for item in history(of_task(main, task), task)],
        ),
        _networks(standing, costs, by_model["test"]),
        _data(main),
    ]
    return [section for section in sections if section and section.items]


def _summaries(conditions: list[Condition], cache: Path | None) -> dict[str, Summaries]:
    """Summarise the validation and the test images of every condition: part -> name -> summary."""
    asked = [(condition, part) for part in ("val", "test") for condition in conditions]
    # Without their splits, which are large and which no summary needs.
    calls = [(replace(condition, splits={}), part, cache) for condition, part in asked]
    found = call_in_parallel(summarise, calls, sum(len(condition.cases) for condition in conditions))
    summaries: dict[str, Summaries] = {"val": {}, "test": {}}
    for (condition, part), summary in zip(asked, found, strict=True):
        summaries[part][condition.name] = summary
    return summaries


def _checks(group: Group) -> Section:
    problems = find_problems(group.conditions)
    items: list[Item] = []
    if problems:
        items.append(Note(f"{len(problems)} things to heed before the numbers are used: see the table.", "warning"))
        rows = [{"condition or run": problem.about, "what was found": problem.text} for problem in problems]
        items.append(TableItem("checks", "What does not hold.", pd.DataFrame(rows), names_images=True))
    items += [Note(text, "good") for text in passed_checks(problems, group.conditions)]
    if len(group.left_out):
        caption = f"Runs that are not in this report (n = {len(group.left_out)}), and why."
        items.append(TableItem("left_out", caption, group.left_out, names_images=True))
    return Section("Checks", "Done for every report, before any number.", items)


def _against_paper(
    group: Group,
    standing: dict[str, Condition],
    by_model: dict[str, Summaries],
    costs: pd.DataFrame,
    compared: pd.DataFrame,
) -> Section:
    runs = [row for row in group.left_out.to_dict("records") if row["model"]]
    left_out = {row["model"]: row["state"] if row["state"] == WEIGHTS_MISSING else row["reason"] for row in runs}
    missing = [model for model in paper.NAMES if model not in by_model["test"]]
    reasons = {model: left_out.get(model, "no run of it in this report") for model in missing}
    listed = contradictions(by_model["val"], by_model["test"], compared if len(compared) else None, costs)
    items: list[Item] = [Note(text, "warning") for text in _unlike_paper(list(standing.values()))]
    if standing:
        items.append(_sources(standing))
    items += [*paper_tables(by_model["val"], by_model["test"], reasons), listed]
    intro = (
        "The paper: Li, Niu, Tian, Huang, Frontiers in Oncology 14, 2025, doi 10.3389/fonc.2024.1461542. Its numbers "
        "come from one random split of BUSI, without intervals; ours from the runs of the first table."
    )
    return Section("Beside the paper", intro, items)


def _reference(conditions: list[Condition], standing: dict[str, Condition]) -> str | None:
    """Choose with whom many conditions are compared, before looking: the paper's network; few are compared in pairs."""
    if len(conditions) <= MAX_ALL_PAIRS:
        return None
    names = [condition.name for condition in conditions]
    own = [standing[model].name for model in ("deepcardinal50", "u2net_lite") if model in standing]
    return next((name for name in own if name in names), names[0])


def _sources(standing: dict[str, Condition]) -> TableItem:
    """Say which condition stands for each model."""
    rows = []
    for model, condition in standing.items():
        cfg = condition.config
        row = {"model": paper.NAMES.get(model, model), "condition": condition.name, "runs": len(condition.runs)}
        split = f"{cfg.data.split.method}, {':'.join(map(str, cfg.data.split.ratio))}"
        rows.append(row | {"split": split, "input, pixels": cfg.data.size, "epochs, at most": cfg.trainer.max_epochs})
    caption = (
        "Whose numbers stand beside the paper's: of each model the condition without a leak, with a grouped split, "
        "with the most runs. The paper: 100 epochs of the classifiers, a random split, an input size that is not said."
    )
    return TableItem("paper_sources", caption, pd.DataFrame(rows))


def _unlike_paper(conditions: list[Condition]) -> list[str]:
    """Say what makes our runs others than the paper's, beyond size and epochs."""
    said = []
    if any(condition.config.data.get("phantom") for condition in conditions):
        said.append("These are synthetic images: their numbers have nothing to do with the paper's.")
    if any(condition.config.get("debug_size") for condition in conditions):
        said.append("Some networks have the small size for debugging.")
    if any(set(condition.classes) != set(paper.IMAGES) for condition in conditions):
        said.append("Some runs have other classes than benign, malignant and normal.")
    return said


def _standing(conditions: list[Condition]) -> dict[str, Condition]:
    """Choose the condition that stands for each model: no leak, no mask, no twins apart, most runs, shortest name."""
    order = sorted(
        (one for one in conditions if not one.is_cross_fitted),
        key=lambda one: (
            bool(handling(one.config)),
            one.config.overlay.style != "none",
            one.config.data.split.method != "grouped",
            -len(one.runs),
            len(one.name),
        ),
    )
    return {condition.model: condition for condition in reversed(order)}


def _networks(standing: dict[str, Condition], costs: pd.DataFrame, test: Summaries) -> Section:
    items: list[Item] = [cost_table(costs), size_claim(costs, test)] if len(costs) else []
    items += [figure for condition in standing.values() if (figure := network(condition.config))]
    return Section("The networks and what they cost", "Drawn and counted from the modules that were trained.", items)


def _data(conditions: list[Condition]) -> Section:
    items: list[Item] = []
    data = next((found for one in conditions if (found := find_data(one.config))), None)
    if data and (figure := data_sample(*data)):
        items.append(figure)
    rows = []
    for condition in conditions:
        split = condition.splits[condition.runs[0].path.name]
        sizes = {part: len(split.part(part)) for part in ("train", "val", "test")}
        rows.append({"condition": condition.name, "split": split.method, **sizes, "hash": split.hash})
    caption = "Images of each part, of the first run of each condition. The same hash is the same split."
    items.append(TableItem("splits", caption, pd.DataFrame(rows)))
    if len({row["hash"] for row in rows}) > 1:
        items.append(
            Note("Not all conditions have the same split: they are compared on the images that they share.", "warning")
        )
    return Section("The data", "", items)
