"""The addresses that the project names on the internet, and whether they answer."""

import re
from importlib import import_module

import httpx
from pages import MARKDOWN, links_of, prose_of

from bus_lightning.data.download import ADDRESS
from bus_lightning.data.sources.registry import SOURCES

_REFUSES_PROGRAMS = {401, 403, 405, 406, 418, 429, 503}  # of a page that is there


def addresses():
    """Return the addresses of the data sets and those in the pages, each once, sorted."""
    cards = [getattr(import_module(f"bus_lightning.data.sources.{name}"), "CARD", None) for name in SOURCES]
    of_data = [card.homepage for card in cards if card and card.homepage]
    in_pages = [link for page in MARKDOWN for link in links_of(page) if re.match("https?://", link)]
    named = [doi for page in MARKDOWN for doi in re.findall(r"\bdoi:(10\.\d+/[^\s)]+?)[.,]?(?=\s|$)", prose_of(page))]
    return sorted({ADDRESS, *of_data, *in_pages, *(f"https://doi.org/{doi}" for doi in named)})


def fault_of(address, client):
    """Ask an address for an answer and return what is wrong with it; None if it is there.

    A DOI is there if its register knows where it leads. Where it leads may refuse programs.
    """
    follows = "://doi.org/" not in address
    try:
        with client.stream("GET", address, follow_redirects=follows) as answer:
            status = answer.status_code
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    return None if status < 400 or status in _REFUSES_PROGRAMS else f"HTTP {status}"
