"""The section of the data sets: what is published about each, and what it cannot show."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd

from bus_lightning.config.data_sets import options_by_set
from bus_lightning.core.errors import DamagedError
from bus_lightning.data.sources.card import Card
from bus_lightning.data.sources.registry import find_card
from bus_lightning.report.sections import Section, TableItem
from bus_lightning.report.studied_images import Studied
from bus_lightning.runs.evaluations import find_evaluations
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.sets import read_sets_of

_UNKNOWN = Card(title="", citation="", licence="", homepage="")
_BY_OWNER = "to be stated by the owner of the data"
_SYNTHETIC = Card(
    title="Synthetic images", citation="", licence="none needed: the program draws them", homepage="",
    origin="drawn by the program", reference_standard="known: the program draws the lesion", annotators="the program",
    limits=("They show that the program works; results on them say nothing about patients.",),
)  # fmt: skip


def data_facts_section(studied: Sequence[Studied]) -> Section | None:
    """Show the reference standard, the annotators, the licence and the limits of each data set.

    Args:
        studied: The images of the report's conditions; the sets of their evaluations are shown, too.

    Returns:
        The section; None without a data set.
    """
    cards = find_cards(studied)
    if not cards:
        return None
    facts: dict[str, Callable[[Card], str]] = {
        "name": lambda card: card.title if card.counts else _BY_OWNER,
        "made": lambda card: card.origin or _BY_OWNER,
        "reference standard of the class": lambda card: card.reference_standard or _BY_OWNER,
        "lesions outlined by": lambda card: card.annotators or _BY_OWNER,
        "published images": lambda card: _write_counts(card.counts) or "-",
        "licence": lambda card: card.licence or _BY_OWNER,
        "to cite": lambda card: card.citation or _BY_OWNER,
    }
    rows = [{"data set": key, "fact": name, "what is stated": write(card)} for key, card in cards.items()
            for name, write in facts.items()]  # fmt: skip
    table = TableItem("data_facts", "What is published about the data sets.", pd.DataFrame(rows))
    limits = [
        {"data set": key, "kind": kind, "what": text}
        for key, card in cards.items()
        for kind, texts in (("limit", card.limits), ("fault of the files", card.faults))
        for text in texts
    ]
    caption = "What the data sets cannot show, and what is wrong or surprising in their files."
    items = [table, *([TableItem("data_limits", caption, pd.DataFrame(limits))] if limits else [])]
    return Section("The data sets", "From the publications of the authors and from a check of the files.", list(items))


def find_cards(studied: Sequence[Studied]) -> dict[str, Card]:
    """Find the card of each data set that was trained or tested on: name -> card."""
    cards: dict[str, Card] = {}
    for each in studied:
        for condition in each.conditions:
            options = options_by_set(condition.config.data)
            for name, values in each.sets.described.items():
                source = str(options.get(str(values.get("data")), {}).get("source"))
                is_synthetic = bool(condition.config.data.get("phantom"))
                cards.setdefault(name, _SYNTHETIC if is_synthetic else find_card(source) or _UNKNOWN)
            for run in condition.runs:
                for name, values in _evaluated_sets(run).items():
                    cards.setdefault(name, find_card(str(values.get("data"))) or _UNKNOWN)
    return cards


def _evaluated_sets(run: RunDir) -> dict[str, Mapping[str, Any]]:
    """Read the descriptions of the data sets that a run was evaluated on."""
    described: dict[str, Mapping[str, Any]] = {}
    with suppress(DamagedError):
        for folder in find_evaluations(run):
            with suppress(DamagedError):
                described.update(read_sets_of(folder).described)
    return described


def _write_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items())
