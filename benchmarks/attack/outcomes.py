"""What became of a hostile file, and of all of them together."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.attack.watching import Watched

# What must never happen, in the order of the table.
BAD = ("traceback", "crashed", "hung", "too much memory", "no finite row", "without a line")
GOOD = ("refused", "answered with a doubt", "answered")


@dataclass(frozen=True)
class Outcome:
    """What became of a file or folder.

    Attributes:
        kind: The row of the table that it belongs to.
        name: Of the file, within this attack.
        result: One of `GOOD` or `BAD`.
        line: What the command printed about it.
    """

    kind: str
    name: str
    result: str
    line: str = ""


@dataclass
class Tally:
    """All outcomes so far, and the worst of what was measured.

    Attributes:
        outcomes: One for each file or folder.
        longest: Largest number of seconds that one of them took.
        together_mb, alone_mb: See `Watched`.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    longest: float = 0.0
    together_mb: float = 0.0
    alone_mb: float = 0.0

    def add(self, outcomes: Iterable[Outcome], watched: Watched) -> None:
        """Add what a command gave."""
        self.outcomes.extend(outcomes)
        self.longest = max(self.longest, watched.longest)
        self.together_mb = max(self.together_mb, watched.together_mb)
        self.alone_mb = max(self.alone_mb, watched.alone_mb)

    def counts(self) -> dict[str, dict[str, int]]:
        """Count the outcomes: kind -> result -> number."""
        kinds: dict[str, Counter[str]] = {}
        for outcome in self.outcomes:
            kinds.setdefault(outcome.kind, Counter())[outcome.result] += 1
        return {kind: dict(counter) for kind, counter in kinds.items()}

    def bad(self) -> list[Outcome]:
        """List the outcomes that must not happen."""
        return [outcome for outcome in self.outcomes if outcome.result in BAD]
