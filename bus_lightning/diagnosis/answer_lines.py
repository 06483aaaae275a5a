"""Write answers as lines for a terminal: each answer of a few, and counts of many."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

_FEW = 10  # images; more are counted


def answer_lines(records: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines about the records of `results.Results`; file names are in them only if the records keep them."""
    if len(records) <= _FEW:
        for record in records:
            yield f"{record.get('file', record['name'])}: {_answer(record)}"
            yield from (f"  {doubt.get('text', doubt['code'])}" for doubt in record["doubts"])
        return
    classes = Counter(record["class"] for record in records if record["class"] is not None)
    parts = [f"{number} {name}" for name, number in classes.most_common()]
    parts.append(f"{sum(bool(record['doubts']) for record in records)} with doubts")
    yield f"{len(records)} images: {', '.join(parts)}"


def _answer(record: dict[str, Any]) -> str:
    """Write the probabilities, the highest first, and the number of lesions, as far as the bundle answers them."""
    ranked = sorted(record["probabilities"].items(), key=lambda item: -item[1])
    parts = [", ".join(f"{name} {probability:.3f}" for name, probability in ranked)] if ranked else []
    if record["lesion"] is not None:
        number = record["lesion"].get("lesions", 0)
        parts.append(f"{number} lesion{'' if number == 1 else 's'} outlined")
    return "; ".join(parts)
