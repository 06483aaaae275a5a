"""An index like that of BUSI, its groups of near-duplicates, and what a split makes of them."""

from collections import Counter

import numpy as np
import pandas as pd

from bus_lightning.config.split_options import PARTS

COUNTS = {"benign": 437, "malignant": 210, "normal": 133}
FRAME = pd.DataFrame(
    [{"id": f"{kind}/{kind} ({n})", "class": kind} for kind in COUNTS for n in range(1, COUNTS[kind] + 1)]
)
LESIONS = FRAME.assign(**{"class": "lesion"})
ALONE = {id_: number for number, id_ in enumerate(FRAME["id"])}


def grouped_as_in_busi():
    """149 groups of 330 images among the 780, eight of them across classes."""
    rng = np.random.default_rng(0)
    groups = dict(ALONE)
    ids = rng.permutation(FRAME["id"])
    sizes = [2] * 130 + [3] * 10 + [4] * 6 + [5, 5, 6]
    assert (len(sizes), sum(sizes)) == (149, 330)
    crossing, rest = ids[:16], ids[16:]
    for first, second in crossing.reshape(8, 2):
        groups[first] = groups[second]
    by_class = {kind: [id_ for id_ in rest if id_.startswith(kind)] for kind in COUNTS}
    for size in sizes[8:]:
        kind = rng.choice(list(COUNTS), p=[0.56, 0.27, 0.17])
        members = [by_class[kind].pop() for _ in range(size)]
        groups.update(dict.fromkeys(members, groups[members[0]]))
    return groups


GROUPS = grouped_as_in_busi()
CLASS = dict(zip(FRAME["id"], FRAME["class"], strict=True))


def sizes(split):
    return tuple(len(split.part(part)) for part in PARTS)


def classes(ids):
    return Counter(CLASS[id_] for id_ in ids)


def is_partition(split):
    return sorted(split.train + split.val + split.test) == sorted(FRAME["id"]) == split.part("all")
