"""The findings of an audit."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bus_lightning.data.duplicates import Fingerprint

# Kinds of findings that name ids; all others name files.
OF_IDS = ("image_without_mask", "normal_with_lesion", "lesion_with_empty_mask", "several_masks", "color_marks")


@dataclass(frozen=True)
class Audit:
    """The findings about a data folder.

    Attributes:
        counts: Number of images per class, and of masks.
        problems: Kind of finding -> ids, or files below the root, sorted.
        broken: File below the root -> why it cannot be used, a line that begins with its name.
        groups: Id -> number of its near-duplicate group; an unreadable image has its own group.
        exact_duplicate_of: Id -> first id with the same decoded pixels, for exact duplicates.
        conflicts: Ids whose group has more than one class.
        content: Hash of the files.
        rules: Mask file -> the rule by which it was read; only masks that do not have two plain levels.
        bad_images: Image files (not masks) that cannot be used.
        measures: Column of `measures.COLUMNS` -> a value for each id, in the order of `groups`.
        fingerprints: Id -> fingerprint of every image that could be read; empty for an audit from the cache, where
            they are in a separate file.
    """

    counts: dict[str, int]
    problems: dict[str, list[str]]
    broken: dict[str, str]
    groups: dict[str, int]
    exact_duplicate_of: dict[str, str]
    conflicts: list[str]
    content: str
    rules: dict[str, str]
    bad_images: list[str]
    measures: dict[str, list[Any]]
    fingerprints: dict[str, Fingerprint] = field(default_factory=dict, compare=False, repr=False)

    @property
    def tasks(self) -> list[str]:
        """The tasks that can be trained on the folder as it is: classification needs classes, segmentation masks."""
        if self.bad_images:
            return []
        classes = len(self.counts.keys() - {"images", "masks"})
        without_masks = ["classification"] if classes > 1 else []
        obstacles = self.broken or self.problems["mask_of_another_scale"] or self.problems["image_without_mask"]
        return without_masks if obstacles else [*without_masks, "segmentation"]

    def to_json(self) -> dict[str, Any]:
        """Return everything but the fingerprints, for a JSON file."""
        return {key: value for key, value in vars(self).items() if key != "fingerprints"}

    def describe(self, name: str, finding: str = "") -> str:
        """Describe a finding about a file or an id, of this kind if given, in a line that begins with its name."""
        if finding == "mask_read_by_rule":
            return f"{name}: {self.rules[name]}"
        if name in self.problems["mask_of_another_scale"]:
            return (
                f"{name} has the same proportions as its image, but another size: pass data.resize_masks=true, "
                "or leave the image out with data.exclude=FILE.csv."
            )
        rule = self.rules.get(name)
        return self.broken.get(name) or (f"{name}: {rule}" if rule else name)

    def groups_table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Tabulate the groups of an index, with the columns `id,class,group,exact_duplicate_of,conflict`."""
        table = pd.DataFrame({"id": list(self.groups)})
        return table.assign(
            **{"class": table["id"].map(dict(zip(frame["id"], frame["class"], strict=True)))},
            group=table["id"].map(self.groups),
            exact_duplicate_of=[self.exact_duplicate_of.get(id_, "") for id_ in self.groups],
            conflict=table["id"].isin(self.conflicts),
        )

    def summary(self) -> dict[str, int]:
        """Count the findings, in the order in which they are shown."""
        sizes = pd.Series(self.groups, dtype=int).value_counts()
        sizes = sizes[sizes > 1]
        return {
            **self.counts,
            **{kind: len(names) for kind, names in self.problems.items()},
            "exact_duplicates": len(self.exact_duplicate_of),
            "near_duplicate_groups": len(sizes),
            "images_in_near_duplicate_groups": int(sizes.sum()),
            "groups_with_several_classes": len({self.groups[id_] for id_ in self.conflicts}),
        }
