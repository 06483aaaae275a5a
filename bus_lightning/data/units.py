"""Take whole units, such as the images of a patient, until each class has its share."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from bus_lightning.core.errors import UserError
from bus_lightning.core.randomness import shuffled


@dataclass(frozen=True)
class Units:
    """Units of images.

    Attributes:
        members: Name of a unit -> its ids.
        counts: Name -> number of images of each class.
        order: The names, in the order in which they are taken.
    """

    members: dict[str, list[str]]
    counts: dict[str, Counter[str]]
    order: list[str]

    def ids(self, units: Iterable[str]) -> list[str]:
        """Return the sorted ids of these units."""
        return sorted(id_ for unit in units for id_ in self.members[unit])

    def divide(self, taken: set[str]) -> tuple[list[str], list[str]]:
        """Return the sorted ids of the units that are taken, and those of the others."""
        return self.ids(taken), self.ids(unit for unit in self.order if unit not in taken)


def arrange(ids: Iterable[str], class_of: dict[str, str], groups: dict[str, int] | None, seed: int) -> Units:
    """Collect images in units that stay together, ordered by the hash of (seed, unit)."""
    members = collect_units(ids, groups)
    counts = {name: Counter(class_of[id_] for id_ in unit) for name, unit in members.items()}
    return Units(members, counts, shuffled(members, "split", seed))


def collect_units(ids: Iterable[str], groups: dict[str, int] | None) -> dict[str, list[str]]:
    """Collect the images that must stay together, by the first of them."""
    if groups is None:
        return {id_: [id_] for id_ in ids}
    together: dict[int, list[str]] = {}
    for id_ in sorted(ids):
        together.setdefault(groups[id_], []).append(id_)
    return {members[0]: members for members in together.values()}


def take_share(order: list[str], counts: dict[str, Counter[str]], share: float) -> set[str]:
    """Take units in order until each class has its share, as nearly as whole units allow."""
    total = sum((counts[unit] for unit in order), Counter[str]())
    missing = Counter({name: math.floor(number * share + 0.5) for name, number in total.items()})
    taken = set()
    for unit in order:
        if all(missing[name] >= number for name, number in counts[unit].items()):
            taken.add(unit)
            missing.subtract(counts[unit])
    # The rest of each quota is smaller than every unit left: take a unit if that comes closer to the quota.
    for unit in order:
        gain = sum(abs(missing[name]) - abs(missing[name] - number) for name, number in counts[unit].items())
        if unit not in taken and gain > 0:
            taken.add(unit)
            missing.subtract(counts[unit])
    return taken


def take_fold(order: list[str], counts: dict[str, Counter[str]], folds: int, fold: int | None, option: str) -> set[str]:
    """Divide the units into folds of nearly equal class counts and return one of them.

    Args:
        order: Names of the units, in the order in which they are taken.
        counts: Name -> number of images of each class.
        folds: Number of folds, at least 2.
        fold: The fold, from 0.
        option: Name of the option that chose it, below `data.split`, for the error.

    Raises:
        UserError: If there is no such fold.
    """
    if folds < 2 or fold is None or not 0 <= fold < folds:
        named = f"data.split.{option}"
        raise UserError(f"{named}s={folds} needs at least 2 and {named} from 0 to {folds - 1}; it is {fold}.")
    rest = order
    for number in range(fold):
        before = take_share(rest, counts, 1 / (folds - number))
        rest = [unit for unit in rest if unit not in before]
    return take_share(rest, counts, 1 / (folds - fold)) if fold < folds - 1 else set(rest)
