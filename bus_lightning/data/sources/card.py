"""What is published about a data set: shown by the audit and the report, next to what a folder really holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

UNSTATED = "not stated with the data"


@dataclass(frozen=True)
class Card:
    """Facts about a published data set.

    Attributes:
        title: Its name in prose.
        citation: The paper to cite, with its DOI.
        licence: Under what the images may be used, as their source states it.
        homepage: Where to get it.
        counts: Published numbers: `images`, `patients` (if known), and images per class.
        faults: What is wrong or surprising in it, a sentence each.
        seen: Which of its files the reader was checked with: `files`, `table`, or empty for none.
        origin: Where, when and with which devices the images were made; empty if it is not known.
        reference_standard: How the class of an image was established; empty if it is not known.
        annotators: Who outlined the lesions; empty if it is not known.
        limits: What the set cannot show, a sentence each.
    """

    title: str
    citation: str
    licence: str
    homepage: str
    counts: Mapping[str, int] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    seen: str = ""
    origin: str = ""
    reference_standard: str = ""
    annotators: str = ""
    limits: tuple[str, ...] = ()
