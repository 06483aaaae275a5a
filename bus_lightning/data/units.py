"""Take whole units, such as the images of a patient, until each class has its share."""

import math
from collections import Counter
from collections.abc import Iterable

from bus_lightning.core.errors import UserError


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
    """Divide the units into folds of nearly equal class counts and return one of them."""
    if folds < 2 or fold is None or not 0 <= fold < folds:
        named = f"data.split.{option}"
        raise UserError(f"{named}s={folds} needs at least 2 and {named} from 0 to {folds - 1}; it is {fold}.")
    rest = order
    for number in range(fold):
        before = take_share(rest, counts, 1 / (folds - number))
        rest = [unit for unit in rest if unit not in before]
    return take_share(rest, counts, 1 / (folds - fold)) if fold < folds - 1 else set(rest)
