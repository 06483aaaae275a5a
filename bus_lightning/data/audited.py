"""A data set with its findings, and what can be said about them in words."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bus_lightning.data.burned_in import ERROR
from bus_lightning.data.described import describe_set
from bus_lightning.data.findings import Audit
from bus_lightning.data.sources.card import Card
from bus_lightning.data.sources.guessing import guess_layout
from bus_lightning.data.sources.registry import DataSet
from bus_lightning.data.sources.source_index import SourceIndex

BLOCKING = (
    "unreadable",
    "mask_among_images",
    "mask_size_mismatch",
    "mask_of_another_scale",
    "mask_unclear",
    "image_without_mask",
)  # findings that prevent the training of a task


@dataclass(frozen=True)
class AuditedSet:
    """A data set that was audited.

    Attributes:
        dataset: Its name, its folder and its index.
        audit: The findings.
        card: What is published about it.
    """

    dataset: DataSet
    audit: Audit
    card: Card

    @property
    def name(self) -> str:
        """Its name in the config."""
        return self.dataset.name

    @property
    def title(self) -> str:
        """Its title: that of the published set, or else the name of its folder."""
        return self.card.title if self.card.counts else self.root.absolute().name

    @property
    def root(self) -> Path:
        """Its folder."""
        return self.dataset.root

    @property
    def index(self) -> SourceIndex:
        """What its source has read."""
        return self.dataset.index

    @cached_property
    def described(self) -> dict[str, Any]:
        """The set in a few numbers, as `describe_set` gives them."""
        return describe_set(self.index.frame, self.audit)

    @cached_property
    def advice(self) -> str:
        """What to do if folders were taken for classes that hold masks; empty if none is."""
        return guess_layout(self.root) if self.audit.problems["mask_among_images"] else ""

    def summary(self) -> dict[str, int]:
        """Count the findings, in the order in which they are shown."""
        rows = {"rows_without_file": len(self.index.missing)} if self.index.missing else {}
        return self.audit.summary() | rows | {"passed_over": len(self.index.skipped)}

    def names_of(self, finding: str) -> list[str]:
        """List the ids or files of a finding."""
        return self.index.missing if finding == "rows_without_file" else self.audit.problems.get(finding, [])

    def to_json(self) -> dict[str, Any]:
        """Return everything but the fingerprints, for a JSON file."""
        return {
            "summary": self.summary(),
            "described": self.described,
            "passed_over": self.index.skipped,
            "rows_without_file": self.index.missing,
            "notes": self.index.notes,
        } | self.audit.to_json()

    def measured(self) -> list[str]:
        """Say what was measured on the images, a sentence each."""
        known = self.described
        sentences = []
        if known["patients"] is not None:
            lone = known["images_without_patient"]
            sentences.append(f"{known['patients']:,} patients{f'; {lone:,} images have none' if lone else ''}.")
        if known["median_width"] is not None:
            sentences.append(
                f"Median width and height: {known['median_width']:.0f} and {known['median_height']:.0f} pixels."
            )
        if known["median_lesion_share"] is not None:
            mm = known["median_lesion_mm"]
            sentences.append(
                f"Median lesion: {known['median_lesion_share']:.1%} of the image"
                f"{f', as large as a circle with a diameter of {mm:.0f} mm' if mm else ''} "
                f"({known['lesions']:,} images with a lesion)."
            )
        if known["share_marked"] is not None:
            sentences.append(f"Tinted: {known['share_tinted']:.0%} of the images.")
            sentences.append(
                f"Text, calipers or frames burned in: {known['share_marked']:.0%} of the images. This measurement is "
                f"{ERROR}."
            )
        return sentences


def published_rows(audited: AuditedSet) -> list[tuple[str, int | None, int | None]]:
    """List what is counted, with the number in the folder and the published number; None where it is not known."""
    known, published = audited.described, audited.card.counts
    counts: dict[str, int | None] = {"images": known["images"], "patients": known["patients"], **known["classes"]}
    rows = [(name, number, published.get(name)) for name, number in counts.items()]
    rows += [(name, 0, number) for name, number in published.items() if name not in counts]
    rows.append(("masks", audited.audit.counts["masks"], None))
    return [row for row in rows if row[1:] != (None, None)]


def count_published(audited: AuditedSet) -> list[str]:
    """Compare the number of images with the published one, in a sentence; none without a published number."""
    published, actual = audited.card.counts.get("images"), audited.described["images"]
    if not published:
        return []
    of = f"{actual:,} of {published:,} published images of {audited.card.title}"
    if actual < published:
        return [f"{of}: this is a part."]
    if actual == published:
        differing = [name for name, number, known in published_rows(audited) if known not in (None, number)]
        return [f"{of}, but the number of {differing[0]} differs." if differing else f"{of}: all."]
    return [f"{actual:,} images, but {published:,} are published: {audited.card.title} with copies or other images?"]


def say_verdict(audit: Audit) -> str:
    """Say which tasks can be trained on a folder, and what prevents the others."""
    if not audit.tasks:
        return "The folder cannot be used for training: fix the files in red."
    verdict = f"The folder can be used for {' and '.join(audit.tasks)}."
    if audit.tasks == ["classification"]:
        without = len(audit.problems["image_without_mask"])
        bad = len(audit.broken) + len(audit.problems["mask_of_another_scale"])
        reasons = [f"{without} images have no mask"] * bool(without) + [f"{bad} masks cannot be used"] * bool(bad)
        verdict += f" Not for segmentation: {' and '.join(reasons)}."
    return verdict
