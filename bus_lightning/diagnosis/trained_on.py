"""Describe what the networks of a bundle were trained on, in the same words on every page and in every result."""

from collections.abc import Mapping
from dataclasses import dataclass

from bus_lightning.core.errors import UserError

_LONGEST = 80  # characters of a data set's name
_BY_EARLIER_CARDS = "Trained on **drawn phantoms**"
NOT_RECORDED = (
    "What the networks were trained on is not recorded: the bundle was made by an earlier version of bus_lightning."
)


@dataclass(frozen=True)
class TrainingData:
    """The training images of one network."""

    name: str  # of the data set, plain text; empty if it has none
    synthetic: bool
    images: int | None = None  # of the training part; None if it is not recorded
    content: str = ""  # first digits of the hash of the data set's files, shown if there is no name

    def __str__(self) -> str:
        """Return a phrase that ends a sentence, such as "624 images of BUSI"."""
        number = "" if self.images is None else f"{self.images:,} "
        if self.synthetic:
            return f"{number}synthetic images (drawn phantoms)"
        files = f" (files {self.content})" if self.content else ""
        return f"{number}images of {self.name or f'a data set without a name{files}'}"


Trained = Mapping[str, TrainingData]  # `segmenter` and `classifier` -> training images; empty if not recorded


def sentence(trained: Trained) -> str:
    """Return a sentence that says what the networks of a bundle were trained on."""
    if not trained:
        return NOT_RECORDED
    if len(set(trained.values())) == 1:
        text = f"Trained on {next(iter(trained.values()))}."
    else:
        data = ", ".join(f"the {name} on {data}" for name, data in trained.items())
        text = f"Trained on different images: {data}."
    return f"{text} The answers say nothing about real images." if is_synthetic(trained) else text


def is_synthetic(trained: Trained) -> bool:
    """Return whether any of the networks was trained on synthetic images."""
    return any(data.synthetic for data in trained.values())


def check_name(name: str) -> str:
    """Check the name of a data set, which is shown with every answer, and return it with single spaces.

    Raises:
        UserError: When it is empty, too long, a path, or not printable.
    """
    plain = " ".join(name.split())
    if not plain or len(plain) > _LONGEST or not plain.isprintable() or "/" in plain or "\\" in plain:
        raise UserError(
            f"--data-name {name!r}: give a name of up to {_LONGEST} characters that is not a path, such as 'BUS-BRA': "
            "it is shown with every answer."
        )
    return plain


def from_card(card: str) -> Trained:
    """Read the training images from the model card of a bundle whose manifest does not name them."""
    phantoms = TrainingData("", synthetic=True)
    return {"segmenter": phantoms, "classifier": phantoms} if _BY_EARLIER_CARDS in card else {}
