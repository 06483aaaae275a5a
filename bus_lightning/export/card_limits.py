"""The sections of a model card that say what the networks are for, what they do not know, and whose images they saw."""

from bus_lightning.data.sources.card import Card
from bus_lightning.data.sources.registry import SOURCES, get_source
from bus_lightning.diagnosis.bundle import Bundle
from bus_lightning.diagnosis.trained_on import Trained
from bus_lightning.export.markdown import escape

_USE = """## Intended use

For researchers, teachers and developers who know the limits of such networks: to demonstrate, check and compare them.
Not for patients, and not for diagnosis, screening, triage or any other use in the care of patients."""
_OF_CLASSES = (
    "A heat map shows which places the answer comes from, not where the disease is.",
    "The network answers one of its {number} classes for every picture. It has no class for anything else, "
    "such as another organ, an axilla or an implant.",
)
_OF_OUTLINES = ("Lesions that touch the border, several lesions and very small ones are measured less accurately.",)
_OF_ALL = (
    "A network sees a single picture. It knows no age, history, symptom, other view, earlier picture, Doppler or "
    "elastography, and it cannot ask for them.",
    "If the data have no patient ids, as in BUSI, frames of one patient may be in two parts of the split, and the "
    "results may look too good.",
    "If the age and the origin of the patients are not recorded with the images, as in BUSI, nothing is known about "
    "groups of them.",
    "The check for other kinds of images uses simple statistics and misses some.",
)
_TESTED = (
    "Trained on few images of few devices. How much is lost on other data is shown above; elsewhere it can be more."
)
_NOT_TESTED = "Trained on few images of few devices. Other devices, settings, populations and organs were not tested."


def describe_use(bundle: Bundle, is_tested_elsewhere: bool) -> str:
    """Write the sections about the use and the limits; one sentence depends on the results on other data."""
    limits = [
        _TESTED if is_tested_elsewhere else _NOT_TESTED,
        *_OF_ALL,
        *(_OF_CLASSES if bundle.classifies else ()),
        *(_OF_OUTLINES if bundle.outlines else ()),
    ]
    listed = "\n".join(f"- {limit.format(number=len(bundle.classes))}" for limit in limits)
    return f"{_USE}\n\n## Limits, and what it does not know\n\n{listed}"


def describe_licences(trained: Trained) -> str:
    """Write the section about licences, with what the sources of known data sets state."""
    text = "## Licences\n\nThe code is under Apache-2.0. "
    if not (cards := find_cards(trained)):
        return text + (
            "The licence of the training images is not recorded: ask their source before you pass the networks on."
        )
    stated = "; ".join(f"{card.title}: {escape(card.licence)}" for card in cards)
    return text + (
        f"Licence of the training images, as far as it is known: {stated}. None of these images is in the bundle. "
        "It is not known whether their terms bind a network that was trained on them: nobody has stated or granted it. "
        "Cite the images wherever you show an answer, and ask their authors before any use but research and teaching."
    )


def find_cards(trained: Trained) -> list[Card]:
    """Return what is published about the data sets that networks were trained on, as far as they are known by name."""
    known = {card.title: card for card in (get_source(name).CARD for name in SOURCES) if card.counts}
    names = dict.fromkeys(data.name for data in trained.values())
    return [known[name] for name in names if name in known]
