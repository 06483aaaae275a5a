"""The tables of a page of results, as Markdown."""

from collections.abc import Mapping, Sequence

from bus_lightning.core.printable import printable
from bus_lightning.metrics.catalogue import title_of
from bus_lightning.report.estimates import estimate
from bus_lightning.report.extension import Extension
from bus_lightning.report.marked_page import markdown_table
from bus_lightning.report.results.missing import Missing
from bus_lightning.report.results.plan import Table
from bus_lightning.report.results.rows import Row, published
from bus_lightning.report.writing import plain
from bus_lightning.runs.baselines import BASELINES

_NONE = "Not measured: there is no complete run."


def make_table(table: Table, rows: Sequence[Row], extensions: Sequence[Extension], missing: Sequence[Missing]) -> str:
    """Make a table; below it are the commits and commands of its runs, and how much is missing.

    Args:
        table: The table.
        rows: Its rows.
        extensions: Studies that know published numbers and titles of models.
        missing: What its groups lack.
    """
    titles = {model: title for extension in extensions for model, title in extension.titles.items()}
    body = _across(table, rows, titles) if table.kind == "across" else _scores(table, rows, titles, extensions)
    where = ", ".join(table.groups)
    entries = f"{len(missing)} {'entry' if len(missing) == 1 else 'entries'}"
    lack = f"*[What is missing](#what-is-missing) has {entries} about {where}.*" if missing else ""
    return "\n\n".join(filter(None, [body, _provenance(rows), _kept(rows), lack]))


def make_missing(missing: Sequence[Missing]) -> str:
    """Make the table of all that is missing or mixed."""
    if not missing:
        return "Nothing: every group is complete."
    lines = [[plain(each.group), plain(each.about), plain(each.text)] for each in missing]
    return markdown_table(["group", "condition or run", "what"], lines, words=3)


def _scores(
    table: Table, rows: Sequence[Row], titles: Mapping[str, str], extensions: Sequence[Extension]
) -> str:  # fmt: skip
    """Make a row of each condition, a column of each metric, and the paper's numbers next to ours."""
    rows = sorted(rows, key=lambda row: [*table.models, row.model].index(row.model))
    conditions = [
        {row.metric: row for row in rows if (row.group, row.condition) == name}
        for name in dict.fromkeys((row.group, row.condition) for row in rows)
    ]
    not_run = [model for model in table.models if model not in {row.model for row in rows}]
    if not conditions and not not_run:
        return _NONE
    headings = ["condition", "data", "images", "runs", "n"]
    for metric in table.metrics:
        headings += [title_of(metric), *([f"{title_of(metric)}, paper"] if metric in table.paper else [])]

    def line(head: Sequence[object], model: str, values: Mapping[str, str], otherwise: str) -> list[object]:
        cells = [*head]
        for metric in table.metrics:
            cells.append(values.get(metric, otherwise))
            cells += [published(table, metric, model, extensions) or "-"] if metric in table.paper else []
        return cells

    def measured(own: Mapping[str, Row]) -> list[object]:
        first = next(iter(own.values()))
        head = (plain(_label(first, titles)), plain(first.data), plain(first.protocol), first.runs, first.n)
        return line(head, first.model, {metric: _value(row) for metric, row in own.items()}, "-")

    lines = [
        *(measured(own) for own in conditions if not _is_baseline(own)),
        *(line((plain(titles.get(model, model)), "-", "-", 0, "-"), model, {}, "not run") for model in not_run),
        *(measured(own) for own in conditions if _is_baseline(own)),
    ]
    return markdown_table(headings, lines, words=3)


def _is_baseline(rows: Mapping[str, Row]) -> bool:
    return next(iter(rows.values())).model in BASELINES.values()


def _across(table: Table, rows: Sequence[Row], titles: Mapping[str, str]) -> str:
    """Make training sets rows and test sets columns; bold: held-out images of the training set."""
    if not rows:
        return _NONE
    tested = list(dict.fromkeys(row.data for row in rows))
    headings = ["trained on", "network", "metric", "runs", *(f"tested on {name}" for name in tested)]
    lines = []
    for name in dict.fromkeys((row.group, row.condition) for row in rows):
        for metric in table.metrics:
            own = {row.data: row for row in rows if (row.group, row.condition, row.metric) == (*name, metric)}
            if not own:
                continue
            first = next(iter(own.values()))
            words = " + ".join(first.trained), _network(first, rows, titles), title_of(metric)
            cells: list[object] = [*map(plain, words), first.runs]
            for data in tested:
                row = own.get(data)
                text = f"{_value(row)}, n = {row.n}" if row else "-"
                text += f", {row.runs} run{'s' * (row.runs > 1)}" if row and row.runs != first.runs else ""
                cells.append(f"**{text}**" if row and data in row.trained else text)
            lines.append(cells)
    return markdown_table(headings, lines, words=3)


def _network(row: Row, rows: Sequence[Row], titles: Mapping[str, str]) -> str:
    """Name the network of a row; in full where another condition has the same network and training sets."""
    similar = {other.key for other in rows if (other.model, other.trained) == (row.model, row.trained)}
    return _label(row, titles) if len(similar) > 1 else titles.get(row.model, row.model)


def _label(row: Row, titles: Mapping[str, str]) -> str:
    title = titles.get(row.model, row.model)
    rest = row.label.removeprefix(row.model).strip(", _")
    return f"{title}, {rest}" if rest and rest != row.model else title


def _value(row: Row) -> str:
    return f"undefined: {plain(row.reason)}" if row.value is None else estimate(row.value, row.low, row.high)


def _provenance(rows: Sequence[Row]) -> str:
    """Name the commits and the commands of the runs behind rows."""
    commits = list(dict.fromkeys(commit for row in rows for commit in row.commit.split(", ")))
    commands = list(dict.fromkeys(command for row in rows for command in row.command))
    commands.sort(key=lambda command: command.startswith("python evaluate.py"))
    if not rows:
        return ""
    lines = "\n".join(printable(command.replace("`", "'").replace("\n", " ")) for command in commands)
    trained = f"Commit of the training: {plain(', '.join(commits))}."
    return f"{trained} Commands:\n\n```\n{lines}\n```" if lines else trained


def _kept(rows: Sequence[Row]) -> str:
    """Say which rows have no runs in the folder any more."""
    kept = [row for row in rows if row.kept]
    if not kept:
        return ""
    if len(kept) == len(rows):
        return "*Kept from an earlier page: the folder of runs no longer has the runs of this table.*"
    names = plain("; ".join(dict.fromkeys(f"{row.label} ({row.group})" for row in kept)))
    return f"*Kept from an earlier page: the folder of runs no longer has those of {names}.*"
