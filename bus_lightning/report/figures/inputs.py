"""What figures are drawn from: the usable cases of a part, six models per figure, labels and numbers of images."""

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import pandas as pd

from bus_lightning.config.run_names import CUT
from bus_lightning.metrics.columns import COUNTS, PROBABILITY
from bus_lightning.report.figures.style import PALETTE
from bus_lightning.statistics.conditions import Condition
from bus_lightning.statistics.option_differences import describe_differences

_GROUPS = re.compile(r"^(?:\w+\.)+(?=\w+-)")  # prefix of the name of a setting: data.split.
_CUT = re.compile(rf"{CUT}(?:__|$)")  # also before the group
_LONGEST = 72  # characters of a label
PART_TITLES = {"train": "training", "val": "validation", "test": "test"}
_Value = TypeVar("_Value")


def usable(condition: Condition, part: str) -> pd.DataFrame:
    """Select the cases of a part, without those that lack a label or a value."""
    if not len(condition.cases):
        return condition.cases
    cases = condition.part(part)
    is_classification = condition.task == "classification"
    needed = [f"{PROBABILITY}{name}" for name in condition.classes] if is_classification else list(COUNTS)
    return cases[cases["label"].isin(condition.classes)].dropna(subset=needed).reset_index(drop=True)


def pages(conditions: Sequence[Condition], task: str, part: str) -> Iterator[tuple[str, dict[str, pd.DataFrame]]]:
    """Divide the conditions of a task into pages: label -> usable cases."""
    own = [condition for condition in conditions if condition.task == task]
    labels = labels_of(own)
    return paged({labels[condition.name]: cases for condition in own if len(cases := usable(condition, part))})


def paged(values: Mapping[str, _Value]) -> Iterator[tuple[str, dict[str, _Value]]]:
    """Divide a mapping into pages of six, one for each figure.

    Yields:
        Suffix of the figure's slug, ``""`` or ``"_2"`` and so on; and the page.
    """
    names = list(values)
    for number, start in enumerate(range(0, len(names), len(PALETTE)), 1):
        yield "" if number == 1 else f"_{number}", {name: values[name] for name in names[start : start + len(PALETTE)]}


def labels_of(conditions: Sequence[Condition]) -> dict[str, str]:
    """Shorten the names of conditions to their differences.

    Args:
        conditions: Named `<model>__<setting>__<setting>`.

    Returns:
        Name -> label: the model, if there are several, and the settings that not all conditions share,
        `data.split.method-random` as `method-random`; the names themselves if these labels are not unique. Where a name
        was cut, the options themselves say what differs.
    """
    settings = {condition.name: condition.name.split("__")[1:] for condition in conditions}
    shared = set.intersection(*(set(values) for values in settings.values())) if settings else set()
    one_model = len({condition.model for condition in conditions}) == 1
    if any(_CUT.search(condition.name) for condition in conditions) and (described := _by_options(conditions)):
        return described
    labels = {}
    for condition in conditions:
        own = [_GROUPS.sub("", setting) for setting in settings[condition.name] if setting not in shared]
        labels[condition.name] = ", ".join(own if one_model and own else [condition.model, *own])
    return labels if len(set(labels.values())) == len(labels) else {name: name for name in labels}


def _by_options(conditions: Sequence[Condition]) -> dict[str, str] | None:
    """Make labels of the options that differ; None if they are not unique."""
    several = len({condition.model for condition in conditions}) > 1
    words = describe_differences(conditions)
    labels = {}
    for condition in conditions:
        parts = [condition.model] if several or not words[condition.name] else []
        labels[condition.name] = _shortened(", ".join(filter(None, [*parts, words[condition.name]])))
    return labels if len(set(labels.values())) == len(labels) else None


def _shortened(label: str) -> str:
    """Leave out the last options of a label that the title of a panel has no room for; the table of options has all."""
    if len(label) <= _LONGEST:
        return label
    options_end = label.rfind(", ", 0, _LONGEST - 3)
    return f"{label[:options_end]}, ..." if options_end > 0 else f"{label[: _LONGEST - 3]}..."


def name_pictured(conditions: Sequence[Condition]) -> str:
    """Say in a caption which condition stands for each model, as long as that fits."""
    names = [condition.name for condition in conditions]
    shown = f" ({', '.join(names)})" if 0 < len(names) <= len(PALETTE) else ""
    return f"one condition of each model{shown}"


def wrapped(label: str, width: int = 24) -> str:
    """Break a label into lines of this width: between words, and in long words after an underscore or a hyphen."""
    lines = []
    for line in textwrap.wrap(label, width, break_on_hyphens=False, break_long_words=False):
        while len(line) > width and (cut := max(line.rfind(mark, 0, width) for mark in "_-") + 1):
            lines.append(line[:cut])
            line = line[cut:]
        lines.append(line)
    return "\n".join(lines)


def images_in(part: str, page: dict[str, pd.DataFrame]) -> str:
    """Write the number of images and of trainings of each model: `n = 156 test images, 3 replicates of each model`.

    An image can be a validation image of several folds: then the number of predictions is added.
    """
    images = [cases["id"].nunique() for cases in page.values()]
    replicates = [cases["replicate"].nunique() for cases in page.values()]
    predictions = [len(cases) for cases in page.values()]
    is_shared = any(n > i * r for n, i, r in zip(predictions, images, replicates, strict=True))
    several = f" ({span(predictions)} predictions, because folds share them)" if is_shared else ""
    repeated = f", {span(replicates)} replicates of each model" if max(replicates) > 1 else ""
    return f"n = {span(images)} {PART_TITLES.get(part, part)} images{several}{repeated}"


def span(numbers: Sequence[float], write: Callable[[float], str] = str) -> str:
    """Write equal numbers as one, `156`, others as a range, `150 to 156`."""
    low, high = write(min(numbers)), write(max(numbers))
    return low if low == high else f"{low} to {high}"
