"""The goals of a page of results: which conditions answer a goal, and whether they reach it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bus_lightning.metrics.catalogue import LOWER_IS_BETTER, title_of
from bus_lightning.report.estimates import estimate
from bus_lightning.report.marked_page import markdown_table
from bus_lightning.report.results.plan import Goal
from bus_lightning.report.results.rows import Row
from bus_lightning.report.writing import plain


@dataclass(frozen=True)
class Answer:
    """What one condition reached.

    Attributes:
        role: `planned`; `best of N`: chosen among N conditions by this very score, which is therefore optimistic; or
            `the only one`: another than the planned condition, without a choice.
        row: The number; None if the planned condition was not measured.
    """

    role: str
    row: Row | None


def find_answers(goal: Goal, rows: Sequence[Row]) -> list[Answer]:
    """Find the planned condition of a goal, and the best one of all conditions of its groups.

    The planned condition is that of the first group, with single networks or ensembles as `goal.ensemble` says. Only
    conditions that have tested as many images as any other can be the best, so that a single fold is not.

    Returns:
        The planned conditions, then the best of several; nothing if no condition was measured.
    """
    candidates = _candidates(goal, rows)
    if not candidates:
        return []
    planned = [row for row in candidates if row.group == goal.groups[0] and (row.ensemble > 1) == goal.ensemble]
    answers = [Answer("planned", row) for row in planned] or [Answer("planned", None)]
    whole = _whole(candidates)
    if (len(whole) > 1 or whole != planned) and (defined := [row for row in whole if row.value is not None]):
        best = min(defined, key=lambda row: _distance(goal, row))
        answers.append(Answer(f"best of {len(whole)}" if len(whole) > 1 else "the only one", best))
    return answers


def judge(goal: Goal, row: Row) -> str:
    """Say whether a value reaches a goal: `reached`, `minimum reached`, `not reached` or `undefined`."""
    if row.value is None:
        return "undefined"
    if goal.at_most is not None:
        return "reached" if goal.goal <= row.value <= goal.at_most else "not reached"
    if _reaches(goal, row.value, goal.goal):
        return "reached"
    return "minimum reached" if goal.least is not None and _reaches(goal, row.value, goal.least) else "not reached"


def make_goals(goals: Sequence[Goal], rows: Sequence[Row]) -> str:
    """Make the table of goals: what was found elsewhere, the goal, and what was reached."""
    lines = []
    for goal in goals:
        answers = find_answers(goal, rows)
        wanted = f"{goal.goal:g}" + (f" to {goal.at_most:g}" if goal.at_most is not None else "")
        wanted += f"; minimum {goal.least:g}" if goal.least is not None else ""
        cells = [list(_write(goal, answer)) for answer in answers] or [["not measured", "-", "-"]]
        lines.append([
            plain(goal.question), title_of(goal.metric), plain(goal.elsewhere or "-"), wanted,
            *("<br>".join(column) for column in zip(*cells, strict=True)),
        ])  # fmt: skip
    headings = ["question", "metric", "best found elsewhere", "goal", "reached", "verdict", "n"]
    return markdown_table(headings, lines, words=len(headings))


def make_headline(goals: Sequence[Goal], rows: Sequence[Row]) -> str:
    """Make the short table of what was reached: the planned condition of each goal and the best one, by their recipes.

    A planned condition that has tested fewer images than another is no headline.
    """
    lines = []
    for goal in goals:
        whole = _whole(_candidates(goal, rows))
        measured = [(each.role, each.row) for each in find_answers(goal, rows) if each.row and each.row in whole]
        planned = [row for role, row in measured if role == "planned"]
        role, best = next(((role, row) for role, row in measured if role != "planned"), ("", None))
        cells = [
            "<br>".join(_shorten(row, "") for row in planned) or "not measured",
            "-" if planned else "not measured",
        ]
        if best:
            cells[1] = f"the same; {role}" if best in planned else _shorten(best, role)
        images = str(whole[0].n) if whole else "-"
        question = plain(f"{goal.question}: {title_of(goal.metric)}")
        lines.append([question, *cells, images, plain(goal.elsewhere or "-")])
    headings = ["question", "planned", "best of all", "images", "best found elsewhere"]
    return markdown_table(headings, lines, words=len(headings))


def _shorten(row: Row, role: str) -> str:
    """Write a value with its recipe, and among how many conditions it was chosen."""
    recipes = " and ".join(row.averaged) or row.group
    networks = f", ensemble of {row.ensemble}" if row.ensemble > 1 else ""
    chosen = f"; {'another was planned' if role == 'the only one' else role}" if role else ""
    return plain(f"{_value(row)}, {recipes}{networks}{chosen}")


def _write(goal: Goal, answer: Answer) -> Iterator[str]:
    """Write the cells of an answer: the value, the verdict, and the numbers of images and runs."""
    row = answer.row
    if row is None:
        yield from (f"{answer.role}: not measured", "-", "-")
        return
    size = f"{row.n}, {row.runs} run{'s' * (row.runs > 1)}"
    yield from (f"{answer.role}, {plain(row.label)}: {_value(row)}", judge(goal, row), size)


def _value(row: Row) -> str:
    return "undefined" if row.value is None else estimate(row.value, row.low, row.high)


def _candidates(goal: Goal, rows: Sequence[Row]) -> list[Row]:
    """Select the rows that could answer a goal, each condition once, although several tables may show it."""
    own: dict[tuple[str, str], Row] = {}
    for row in rows:
        is_of_goal = row.group in goal.groups and (row.task, row.metric) == (goal.task, goal.metric)
        is_own = row.data in (*row.trained, " + ".join(row.trained))
        is_of_images = row.data == goal.tested and not is_own if goal.tested else row.data == " + ".join(row.trained)
        if is_of_goal and is_of_images and row.part == "test":
            own.setdefault(row.key, row)
    return list(own.values())


def _whole(candidates: Sequence[Row]) -> list[Row]:
    """Select the rows that have tested as many images as any other."""
    return [row for row in candidates if row.n == max(other.n for other in candidates)]


def _reaches(goal: Goal, value: float, wanted: float) -> bool:
    return value <= wanted if goal.metric in LOWER_IS_BETTER else value >= wanted


def _distance(goal: Goal, row: Row) -> float:
    """Return how far a value is from the best: from the middle of the range that is asked for, or by its direction."""
    value = row.value or 0.0
    if goal.at_most is not None:
        return abs(value - (goal.goal + goal.at_most) / 2)
    return value if goal.metric in LOWER_IS_BETTER else -value
