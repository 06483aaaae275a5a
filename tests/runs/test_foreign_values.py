"""Each value in a file of a run may be of another kind: it is refused with the file's name, or answered."""

import json
from io import StringIO

import pytest
import yaml
from changed_values import DELETED, changed
from damaged_files import copy_run
from rich.console import Console

from bus_lightning.core.errors import DamagedError
from bus_lightning.data.splits import load_split
from bus_lightning.export.making import _origin
from bus_lightning.report.costs import cost_frame
from bus_lightning.report.figures.history import history
from bus_lightning.report.making import _facts
from bus_lightning.runs.finished import open_run
from bus_lightning.runs.table import collect, show
from bus_lightning.statistics.checks import find_problems
from bus_lightning.statistics.conditions import read_group

pytestmark = pytest.mark.usefixtures("no_hanging")


def answers(run):
    """Ask everything that is answered from a run's files; returns the reasons for which it is left out."""
    table = collect([run.path])
    show(table, console=Console(file=StringIO(), width=150))
    group = read_group(run.path.parent)
    for conditions in [group.conditions] * bool(group.conditions):
        _facts(group)
        find_problems(conditions)
        cost_frame(conditions)
        _origin(open_run(run.path))
        if any(len(name) > 4 for name in run.status.get("kept_by") or ""):
            history(conditions)
    return [row["reason"] for row in group.left_out.to_dict("records") if row["run"] == run.path.name]


VALUES = (None, True, -1, 10**400, float("nan"), "text", "\ud800", [], [1], {"a": 1}, {"a": {"b": [None]}})


def places_in(content, place=()):
    """List the place of each value: of a mapping all, of a list or a mapping of ids the first."""
    places = [place]
    keys = content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    for number, key in enumerate(keys):
        if number == 0 or (isinstance(content, dict) and place != ("groups",)):
            places += places_in(content[key], (*place, key))
    return places


def refusal(read, of):
    """Return the line with which something is not read; None if it is read."""
    try:
        read(of)
    except DamagedError as error:
        return str(error)
    return None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "read"),
    [
        ("status.json", lambda run: run.status),
        ("metrics.json", lambda run: run.metrics),
        ("split.json", lambda run: load_split(run.split)),
    ],
)
def test_each_value_of_a_json_file_that_is_of_another_kind_is_refused_or_answered(tmp_path, file, read):
    run = copy_run(tmp_path / "group" / "run")
    content = json.loads((run.path / file).read_text())
    refused = 0
    for number, (place, value) in enumerate((p, v) for p in places_in(content) for v in (*VALUES, DELETED)):
        if place or value is not DELETED:
            (run.path / file).write_text(json.dumps(changed(content, place, value)))
            line = refusal(read, run)
            if line:
                refused += 1
                assert str(run.path / file) in line
            elif number % 7 == 0:  # all of them take minutes
                answers(run)  # raises nothing
    assert refused > 100


@pytest.mark.slow
def test_each_value_of_a_config_that_is_of_another_kind_is_refused_or_answered(tmp_path):
    run = copy_run(tmp_path / "group" / "run")
    content = yaml.safe_load(run.config.read_text())
    values = (None, -1, 10**400, float("nan"), "text", [1], {"a": {"b": 1}}, DELETED)
    refused, known = 0, {}
    for number, place in enumerate(places_in(content)[1:]):
        run.config.write_text(yaml.safe_dump(changed(content, place, values[number % 8])))
        if line := refusal(open_run, run.path):
            refused += 1
            assert f"{run.config} is damaged" in line
            continue
        config = open_run(run.path).config
        read = repr([config[group] for group in ("seed", "data", "task", "overlay", "preprocess", "model")])
        if known.setdefault(read, place) == place:  # what is not read is not asked again
            answers(run)
    assert refused > 25
