"""Say what the answers of a bundle lack, in the same words on the command line, the page and the model card."""

from bus_lightning.diagnosis.bundle import Bundle

NO_OUTLINE = "This bundle answers the class only: there is no outline, and no lesion is measured."
NO_CLASS = "This bundle outlines only: there is no class, no probability of malignant and no heat map."


def what_lacks(bundle: Bundle) -> str:
    """Return a sentence about what the answers lack; empty if they have an outline and a class."""
    if not bundle.outlines:
        return NO_OUTLINE
    return "" if bundle.classifies else NO_CLASS
