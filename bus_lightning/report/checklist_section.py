"""The section of reporting checklists: how many of their items the report answers."""

from collections.abc import Sequence

import pandas as pd

from bus_lightning.report.checklist_claim import CLAIM
from bus_lightning.report.checklist_stard import STARD_AI
from bus_lightning.report.checklist_tripod import TRIPOD_AI
from bus_lightning.report.checklists import HEAD, count_states
from bus_lightning.report.sections import Note, Section, TableItem

CHECKLISTS = (CLAIM, TRIPOD_AI, STARD_AI)


def checklist_section(sections: Sequence[Section]) -> Section:
    """Count the items of each checklist that the sections of a report answer.

    Args:
        sections: All other sections of the report.
    """
    names = [HEAD, *names_in(sections)]
    rows = [
        {"checklist": each.title, "file": f"checklists/{each.name}.md"} | count_states(each, names)
        for each in CHECKLISTS
    ]
    caption = (
        "Items of reporting checklists. The files next to this page name the place of each item in this report, or say "
        "why it has none."
    )
    text = "What only the authors know, such as ethics, funding and clinical aims, is left to them."
    return Section("Reporting checklists", text, [TableItem("reporting_checklists", caption, pd.DataFrame(rows))])


def names_in(sections: Sequence[Section]) -> list[str]:
    """List the titles of sections, and the slugs of their tables and figures, in the order of reading."""
    return [
        name
        for section in sections
        for name in (section.title, *(item.slug for item in section.items if not isinstance(item, Note)))
    ]
