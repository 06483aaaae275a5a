"""The sections of a report, in the order of reading."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bus_lightning.config.split_options import PARTS
from bus_lightning.core.class_names import MALIGNANT
from bus_lightning.data.index import variable_of
from bus_lightning.data.published import count_divided_groups, describe_divided
from bus_lightning.report.across_section import across_section
from bus_lightning.report.baseline_section import baseline_section
from bus_lightning.report.calibration_section import calibration_section
from bus_lightning.report.certainty_section import certainty_section
from bus_lightning.report.checklist_section import checklist_section
from bus_lightning.report.confounder_section import confounder_section
from bus_lightning.report.costs import cost_frame, cost_table
from bus_lightning.report.data_facts import data_facts_section
from bus_lightning.report.ensemble_items import ensemble_items
from bus_lightning.report.estimates import Summaries
from bus_lightning.report.extension import Evidence, Extension
from bus_lightning.report.figures.history import history
from bus_lightning.report.figures.pictures import data_sample, find_data
from bus_lightning.report.heat_map_section import heat_map_section
from bus_lightning.report.image_section import image_section
from bus_lightning.report.lesion_section import lesion_section
from bus_lightning.report.mask_section import mask_section
from bus_lightning.report.no_lesion_section import no_lesion_section
from bus_lightning.report.operating_section import operating_section
from bus_lightning.report.protocol_section import protocol_section
from bus_lightning.report.robustness_section import robustness_section
from bus_lightning.report.sections import Item, Note, Section, TableItem
from bus_lightning.report.selective_section import selective_section
from bus_lightning.report.studied_images import read_studied
from bus_lightning.report.task_sections import COMPARED, in_short, task_section
from bus_lightning.statistics.as_planned import AsPlanned
from bus_lightning.statistics.checks import find_problems, passed_checks
from bus_lightning.statistics.comparisons import MAX_ALL_PAIRS, compare_all
from bus_lightning.statistics.conditions import Condition, Group, of_task
from bus_lightning.statistics.operating_points import SCREENING_PREVALENCE, OperatingPoint, find_operating_points
from bus_lightning.statistics.parallel import call_in_parallel
from bus_lightning.statistics.summary import summarise

Say = Callable[[str], None]


def contents(
    group: Group,
    extensions: Sequence[Extension] = (),
    cache: Path | None = None,
    say: Say = lambda text: None,
    prevalence: float = SCREENING_PREVALENCE,
    as_planned: AsPlanned | None = None,
) -> list[Section]:
    """Make all sections of a report.

    Args:
        group: The conditions, and the runs that were left out.
        extensions: Studies that add to the report.
        cache: Folder that keeps summaries from one report to the next.
        say: Called with the name of each step.
        prevalence: Share of malignant at which the stated PPV and NPV hold, in (0, 1).
        as_planned: The protocol of the study next to its runs, if it has one.
    """
    evidence = gather_evidence(group, extensions, cache, say, prevalence)
    main, summaries = evidence.main, evidence.summaries
    titles = {model: title for extension in extensions for model, title in extension.titles.items()}
    say("figures")
    studied = read_studied(main)
    sections = [
        in_short(main, summaries, evidence.comparisons),
        protocol_section(as_planned, group.conditions, summaries) if as_planned else None,
        _checks(group),
        *[section for extension in extensions for section in extension.after_checks(evidence)],
        image_section(studied),
        *[task_section(task, evidence) for task in COMPARED],
        *[section for extension in extensions for section in extension.after_tasks(evidence)],
        baseline_section(main, summaries["classification"]["test"], cache),
        operating_section(evidence),
        calibration_section(evidence),
        selective_section(evidence),
        certainty_section(evidence),
        lesion_section(main, summaries["segmentation"]["test"]),
        confounder_section(main, studied),
        no_lesion_section(main, summaries["segmentation"], cache),
        robustness_section(main, cache),
        across_section(main, cache),
        mask_section(group.conditions, summaries["classification"]["test"], titles),
        heat_map_section(main),
        Section(
            "Training",
            "How the networks were trained: dashed lines for training images with augmentation, solid lines for "
            "validation images.",
            [item for task in COMPARED for item in history(of_task(main, task))],
        ),
        Section(
            "The networks and what they cost",
            "Counted on the networks that were trained.",
            [
                *ensemble_items(main),
                *([cost_table(evidence.costs, titles)] if len(evidence.costs) else []),
                *[item for extension in extensions for item in extension.after_costs(evidence)],
            ],
        ),
        _data(main),
        data_facts_section(studied),
    ]
    shown = [section for section in sections if section and section.items]
    return [*shown, checklist_section(shown)]


def gather_evidence(
    group: Group,
    extensions: Sequence[Extension] = (),
    cache: Path | None = None,
    say: Say = lambda text: None,
    prevalence: float = SCREENING_PREVALENCE,
) -> Evidence:
    """Compute the numbers of a report; the arguments are those of `contents`."""
    say("intervals")
    summaries = {task: _summaries(of_task(group.conditions, task), cache) for task in COMPARED}
    main = group.conditions
    for extension in extensions:
        main = extension.main_conditions(main)
    by_model = _representatives(main)
    references = [model for extension in extensions for model in extension.references]
    say("comparisons")
    tables = [
        compare_all(own, "test", list(metrics), reference=_reference(own, by_model, references))
        for task, metrics in COMPARED.items()
        if (own := of_task(main, task))
    ]
    comparisons = pd.concat(tables, ignore_index=True) if any(map(len, tables)) else pd.DataFrame()
    say("operating points")
    points = _operating_points(main, prevalence)
    costs = cost_frame(main, [row for extension in extensions for row in extension.cost_rows(main)])
    return Evidence(group, main, by_model, summaries, comparisons, costs, points, prevalence)


def _summaries(conditions: list[Condition], cache: Path | None) -> dict[str, Summaries]:
    """Summarise the validation and the test images of every condition: part -> name -> summary."""
    keys = [(part, condition) for part in ("val", "test") for condition in conditions]
    # Without the splits: they are large, and no summary needs them.
    calls = [(replace(condition, splits={}), part, cache) for part, condition in keys]
    results = call_in_parallel(summarise, calls, sum(len(condition.cases) for condition in conditions))
    summaries: dict[str, dict[str, pd.DataFrame]] = {"val": {}, "test": {}}
    for (part, condition), summary in zip(keys, results, strict=True):
        summaries[part][condition.name] = summary
    return dict(summaries)


def _operating_points(main: list[Condition], prevalence: float) -> dict[str, list[OperatingPoint]]:
    """Test the thresholds of every condition that predicts malignant."""
    own = [condition for condition in of_task(main, "classification") if MALIGNANT in condition.classes]
    calls = [(replace(condition, splits={}), prevalence) for condition in own]
    points = call_in_parallel(find_operating_points, calls, sum(len(condition.cases) for condition in own))
    return {condition.name: rules for condition, rules in zip(own, points, strict=True) if rules}


def _representatives(conditions: list[Condition]) -> dict[str, Condition]:
    """Choose the condition of each model that is shown: no leak, no mask, grouped split, most runs, shortest name."""

    def preference(condition: Condition) -> tuple[object, ...]:
        data, overlay, clean = condition.config.data, condition.config.overlay, condition.config.preprocess
        has_overlay = overlay.style != "none"
        is_cleaned = clean.denoise != "none" or clean.contrast != "none"
        has_leak = (
            (has_overlay and overlay.source == "ground_truth")
            or data.get("mistake") is not None
            or (is_cleaned and set(clean.parts) != set(PARTS))
        )
        return has_leak, has_overlay, data.split.method != "grouped", -len(condition.runs), len(condition.name)

    usable = [condition for condition in conditions if not condition.is_cross_fitted]
    best_first = sorted(usable, key=preference)
    # Backwards, so that the best one replaces the others; reverse=True would keep the last of equal ones.
    return {condition.model: condition for condition in reversed(best_first)}


def _reference(conditions: list[Condition], by_model: dict[str, Condition], models: list[str]) -> str | None:
    """Choose, before any result is seen, the condition to compare many others with; few are compared in pairs."""
    if len(conditions) <= MAX_ALL_PAIRS:
        return None
    names = [condition.name for condition in conditions]
    preferred = [by_model[model].name for model in models if model in by_model]
    return next((name for name in preferred if name in names), names[0])


def _checks(group: Group) -> Section:
    broken = find_problems(group.conditions)
    items: list[Item] = []
    if broken:
        items.append(Note(f"Read the table before you use the numbers. Findings: {len(broken)}.", "warning"))
        rows = [{"condition or run": finding.about, "what was found": finding.text} for finding in broken]
        items.append(TableItem("checks", "Checks that failed.", pd.DataFrame(rows), names_images=True))
    if passed := passed_checks(broken, group.conditions):
        items.append(Note("\n\n".join(passed), "good"))
    if number := len(group.left_out):
        text = f"{number} run{'s are' if number > 1 else ' is'} not in this report; all numbers are of the others."
        items.append(Note(text, "warning"))
        caption = f"Runs that are not in this report (n = {len(group.left_out)}), and why."
        items.append(TableItem("left_out", caption, group.left_out, names_images=True))
    return Section("Checks", "Every report makes these checks before it shows a number.", items)


def _data(conditions: list[Condition]) -> Section:
    data = next((data for condition in conditions if (data := find_data(condition.config))), None)
    sample = data_sample(*data) if data else None
    rows, warnings = [], [] if data else [_without_pictures(conditions)]
    for condition in conditions:
        split = condition.splits[condition.runs[0].path.name]
        parts = {part: split.part(part) for part in PARTS}
        sizes = {part: len(ids) for part, ids in parts.items()}
        divided = describe_divided(split.divided or count_divided_groups(split.groups, parts))
        rows.append({"condition": condition.name, "split": split.method, **sizes, "divides": divided or "nothing",
                     "hash": split.hash})  # fmt: skip
        if divided:
            warnings.append(Note(f"{condition.name}: the {split.method} split divides {divided}.", "warning"))
    caption = "Images of each part, and what the split divides between parts, in the first run of each condition. "
    caption += "The same hash means the same split."
    table = TableItem("splits", caption, pd.DataFrame(rows))
    items: list[Item] = [*warnings, *([sample] if sample else []), table]
    if len({row["hash"] for row in rows}) > 1:
        text = "Not all conditions have the same split: they are compared on the images that they share."
        items.append(Note(text, "warning"))
    return Section("The data", "", items)


def _without_pictures(conditions: Sequence[Condition]) -> Note:
    """Say why a report has no pictures of images, and how it gets them."""
    names = sorted({str(name) for condition in conditions for name in condition.config.data.get("sets") or ()})
    variables = " and ".join(dict.fromkeys(map(variable_of, names))) or "data.root"
    text = (
        f"The images of {' and '.join(names) or 'the runs'} were not found, so this report has no pictures of them. "
        f"Bring the folder back, or set {variables} to its new place, and make the report again."
    )
    return Note(text, "warning")
