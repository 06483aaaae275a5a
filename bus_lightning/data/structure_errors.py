"""The errors of the structure checks, in one line without the file's name."""

from bus_lightning.core.errors import UserError

POSSIBLY_INCOMPLETE = "possibly_incomplete"  # the code of a doubt: no decoder can tell whether the pixels are complete


def incomplete(kind: str) -> UserError:
    """Return the error for a picture that lacks pixels although its file has a regular end."""
    return UserError(f"The {kind} is cut off inside, part of the picture is missing: export it again.")


def excessive(kind: str, announced: str) -> UserError:
    """Return the error for a header that announces more than any real picture has, such as "1000 scans"."""
    return UserError(f"The {kind} announces {announced}, more than any picture needs: save it as a PNG of 8 bits.")
