"""The tables of a page of results, as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bus_lightning.core.printable import printable
from bus_lightning.metrics.catalogue import title_of
from bus_lightning.report.estimates import estimate
from bus_lightning.report.extension import Extension
from bus_lightning.report.marked_page import markdown_table
from bus_lightning.report.results.missing import Missing
from bus_lightning.report.results.plan import SummaryTable, Table
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
    if table.kind == "across":
        body = _across(table, rows, _titles(extensions))
    else:
        columns = [_Column(title_of(metric), table, metric) for metric in table.metrics]
        body = _side_by_side(columns, rows, extensions, has_details=True)
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


def make_summary(
    summary: SummaryTable, tables: Sequence[Table], rows: Sequence[Row], extensions: Sequence[Extension]
) -> str:
    """Make a table of the summary page: one metric of several tables side by side, a row of each condition.

    Args:
        summary: The table.
        tables: The tables of the plan.
        rows: Their rows.
        extensions: Studies that know published numbers and titles of models.
    """
    by_name = {table.name: table for table in tables}
    columns = [_Column(heading, by_name[name], summary.metric) for heading, name in summary.columns.items()]
    return _side_by_side(columns, rows, extensions, has_details=False)


@dataclass(frozen=True)
class _Column:
    """A metric of a table, with the paper's numbers next to it where the table has them."""

    heading: str
    table: Table
    metric: str

    @property
    def has_paper(self) -> bool:
        return self.metric in self.table.paper


def _side_by_side(
    columns: Sequence[_Column], rows: Sequence[Row], extensions: Sequence[Extension], has_details: bool
) -> str:
    """Make a row of each condition: networks in the order of the first table, those that have not run, and baselines.

    Args:
        columns: The columns.
        rows: Numbers, also those of other tables and metrics.
        extensions: Studies that know published numbers and titles of models.
        has_details: Whether columns of the images and runs come first.
    """
    models, titles = columns[0].table.models, _titles(extensions)
    chosen = [row for row in rows if any((row.table, row.metric) == (each.table.name, each.metric) for each in columns)]
    conditions: dict[tuple[str, str], dict[tuple[str, str], Row]] = {}
    for row in sorted(chosen, key=lambda row: [*models, row.model].index(row.model)):
        conditions.setdefault(row.key, {})[row.table, row.metric] = row
    not_run = [model for model in models if model not in {row.model for row in chosen}]
    if not conditions and not not_run:
        return _NONE

    def line(label: str, details: Sequence[object], model: str, own: Mapping[tuple[str, str], Row]) -> list[object]:
        cells: list[object] = [plain(label), *(details if has_details else ())]
        for each in columns:
            row = own.get((each.table.name, each.metric))
            cells.append(_value(row) if row else "-" if own else "not run")
            cells += [published(each.table, each.metric, model, extensions) or "-"] if each.has_paper else []
        return cells

    def measured(own: Mapping[tuple[str, str], Row]) -> list[object]:
        first = next(iter(own.values()))
        details = plain(first.data), plain(first.protocol), first.runs, first.n
        return line(_label(first, titles), details, first.model, own)

    lines = [
        *(measured(own) for own in conditions.values() if not _is_baseline(own.values())),
        *(line(titles.get(model, model), ("-", "-", 0, "-"), model, {}) for model in not_run),
        *(measured(own) for own in conditions.values() if _is_baseline(own.values())),
    ]
    headings = ["condition", *(("data", "images", "runs", "n") if has_details else ())]
    for each in columns:
        headings += [each.heading, *([f"{each.heading}, paper"] if each.has_paper else [])]
    return markdown_table(headings, lines, words=3 if has_details else 1)


def _is_baseline(rows: Iterable[Row]) -> bool:
    return next(iter(rows)).model in BASELINES.values()


def _titles(extensions: Sequence[Extension]) -> dict[str, str]:
    return {model: title for extension in extensions for model, title in extension.titles.items()}


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
