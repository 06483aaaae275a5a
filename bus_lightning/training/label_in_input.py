"""Warn where the images that a classifier sees show their label, because an overlay was drawn from the ground truth."""

import logging

from omegaconf import DictConfig

from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.probe import SUSPICIOUS, label_in_input
from bus_lightning.data.splits import Split

log = logging.getLogger(__name__)


def announce_label_in_input(overlay: DictConfig, evaluated: list[str]) -> None:
    """Warn if the label is drawn into evaluated images."""
    shows_label = overlay.style != "none" and overlay.source == "ground_truth"
    drawn = [part for part in evaluated if shows_label and part in overlay.parts]
    if drawn:
        log.warning("The label is in the input: overlay=%s is drawn into %s images. Their scores measure the drawing.",
                    overlay.style, " and ".join(drawn))  # fmt: skip


def probe_overlay(overlay: DictConfig, datamodule: BusDataModule, split: Split) -> dict[str, float]:
    """Warn before the training of a classifier if the overlay lets simple statistics of the images reveal the class.

    Returns:
        The macro AUC of the probe with and without overlay, for status.json; empty if nothing is drawn.
    """
    hidden = ("none", "channel", "crop")  # styles that the statistics do not see
    if overlay.style in hidden or overlay.source == "predicted" or "train" not in overlay.parts:
        return {}
    if (aucs := label_in_input(datamodule.parts["train"], split.groups)) is None:
        return {}
    drawn, bare = aucs
    if drawn - bare >= SUSPICIOUS:
        log.warning(
            "The overlay reveals the label: 20 statistics of the intensities predict the class with a macro AUC of "
            "%.2f, and of %.2f without overlay=%s.", drawn, bare, overlay.style,
        )  # fmt: skip
    return {"probe_auc": round(drawn, 4), "probe_auc_without_overlay": round(bare, 4)}
