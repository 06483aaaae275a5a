"""A problem that a check has found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Something that does not hold.

    Attributes:
        kind: A key of `checks.CHECKS`.
        about: Name of the condition or run.
        text: The problem.
    """

    kind: str
    about: str
    text: str
