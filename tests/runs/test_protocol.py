"""A run keeps the protocol of its study, and an impossible protocol is refused before any compute."""

import hashlib
import re

import pytest
from hydra import compose, initialize_config_dir
from planned_runs import write_protocol
from test_config import CONF

from bus_lightning.config.identity import identity
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.launch.grids import check_grid
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.protocol import keep_protocol, list_deviations, read_kept_protocol, read_protocol

BLOCK = """primary_metric: {classification: auroc_macro}
split: {method: grouped, folds: 3, seed: 0}
seeds: [0, 1]
selection: val
test_openings: 1
conditions:
  first: {options: {model.name: resnet34, data.size: 32}}
  second: {group: first, seeds: [5], split: {folds: null}, options: {model.name: alexnet}}
"""


@pytest.fixture
def protocol(tmp_path):
    """Write a protocol and return its path; `block` replaces the fields."""

    def write(block=BLOCK, name="protocol.md"):
        return write_protocol(tmp_path, block, name)

    return write


def test_a_protocol_names_every_run_that_it_plans(protocol):
    first, second = read_protocol(protocol()).conditions
    assert first.runs == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert second.runs == [(5, None)]
    assert (first.group, second.group) == ("first", "first")


def test_a_run_keeps_the_text_under_which_it_was_trained(trained, protocol):
    file = protocol()
    run = trained("model=resnet34", "trainer.max_epochs=1", f"protocol={file}", "group=first")
    assert run.protocol.read_bytes() == file.read_bytes()
    assert run.status["protocol"] == hashlib.sha256(file.read_bytes()).hexdigest() == read_kept_protocol(run).hash
    log = run.log.read_text()
    assert "not as planned" in log
    assert "data.split.folds=null, planned 3" in log
    file.write_text("changed later")
    assert read_kept_protocol(run).primary_metric == {"classification": "auroc_macro"}


def test_a_run_that_continues_keeps_the_first_protocol_and_notes_the_others(tmp_path, protocol):
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    before, after = read_protocol(protocol()), read_protocol(protocol(BLOCK.replace("[0, 1]", "[0]"), "after.md"))
    run.update_status(**keep_protocol(run, before, continues=False))
    for _ in range(2):
        run.update_status(**keep_protocol(run, after, continues=True))
    assert read_kept_protocol(run) == before
    assert run.status["later_protocols"] == [after.hash]
    run.update_status(**keep_protocol(run, None, continues=False))
    assert read_kept_protocol(run) is None
    assert not run.protocol.exists()


def test_a_copy_that_was_changed_is_damaged(tmp_path, protocol):
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    run.update_status(**keep_protocol(run, read_protocol(protocol()), continues=False))
    run.protocol.write_text(run.protocol.read_text() + "\n")
    with pytest.raises(DamagedError, match="its hash differs"):
        read_kept_protocol(run)
    run.protocol.unlink()
    with pytest.raises(DamagedError, match="it is missing"):
        read_kept_protocol(run)


def test_the_protocol_is_no_part_of_an_experiments_identity(composed, protocol):
    assert identity(composed(f"protocol={protocol()}")) == identity(composed())
    assert composed(f"protocol={protocol()}").name == composed().name


WRONG = [
    ("seeds: [0, 1]\n", "", "seeds is missing: give a list of different whole numbers, such as '[0,1,2]'."),
    ("[0, 1]", "[0, 0]", "seeds=[0,0]: give a list of different whole numbers, such as '[0,1,2]'."),
    ("auroc_macro", "auc", "primary_metric={classification:auc}: give a metric of each task"),
    ("selection: val", "selection: test", "selection=test: give one of val, last epoch."),
    ("test_openings: 1", "test_openings: 0", "test_openings=0: give a whole number of at least 1."),
    ("folds: 3", "folds: 1", "split.folds=1: give a whole number of at least 2, or null."),
    ("method: grouped", "method: twins", "split.method=twins: give one of grouped"),
    ("selection: val", "selection: val\nmore: 1", "more is unknown: choose from primary_metric"),
    ("{model.name: alexnet}", "{model.name: alexnet, data.sice: 3}",
     "conditions.second.options.data.sice: the config has no such option"),
    ("data.size: 32", "data.size: big", "conditions.first.options.data.size=big: give a whole number"),
    ("data.size: 32", "1: 32", "options={model.name:resnet34,1:32}: give a mapping: option of the config"),
    ("auroc_macro", "[auroc_macro]", "primary_metric={classification:[auroc_macro]}: give a metric of each task"),
    ("data.size: 32", "seed: 32", "conditions.first.options.seed: give it as seeds or split"),
    ("{options: {model.name: resnet34, data.size: 32}}", "{groups: x, options: {}}", "conditions.first.groups is unk"),
    ("seeds: [0, 1]\n", "seeds: [0, 1\n", "is damaged: it is not YAML"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line"), WRONG)
def test_an_impossible_protocol_is_refused_in_one_line_that_names_the_file_and_the_field(protocol, old, new, line):
    assert old in BLOCK
    file = protocol(BLOCK.replace(old, new, 1))
    with pytest.raises(UserError, match=f"{re.escape(str(file))}.*{re.escape(line)}"):
        read_protocol(file)


def test_a_file_without_a_block_or_with_two_is_refused(protocol):
    file = protocol()
    text = file.read_text()
    for content, number in (("# Only text\n", 0), (text + text, 2)):
        file.write_text(content)
        with pytest.raises(UserError, match=f"it has {number} blocks"):
            read_protocol(file)


def test_a_missing_protocol_is_refused_before_a_run_and_before_the_first_job_of_a_grid(trained, tmp_path):
    missing = f"protocol={tmp_path / 'none.md'}"
    with pytest.raises(UserError, match=r"none\.md: there is no such file; give another one, or leave the option out"):
        trained("model=resnet34", missing, "data.root=/nowhere")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        grid = compose("train", overrides=["sweep=seeds", missing], return_hydra_config=True)
    with pytest.raises(UserError, match=r"none\.md: there is no such file"):
        check_grid(grid)


def test_a_grid_finds_a_protocol_in_the_home_folder(protocol, monkeypatch):
    file = protocol()
    monkeypatch.setenv("HOME", str(file.parent))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = ["sweep=seeds", f"protocol='~/{file.name}'"]
        grid = compose("train", overrides=overrides, return_hydra_config=True)
    check_grid(grid)
    file.unlink()
    with pytest.raises(UserError, match="there is no such file"):
        check_grid(grid)


def test_what_is_not_as_planned_is_listed(composed, protocol):
    plan = read_protocol(protocol())
    planned = ["model=resnet34", "group=first", "data.size=32", "data.split.folds=3", "data.split.fold=1", "seed=1"]
    assert list_deviations(plan, composed(*planned)) == []
    assert list_deviations(plan, composed(*planned, "data.size=96", "seed=7")) == [
        "data.size=96, planned 32",
        "seed=7 with fold 1 is not planned",
    ]
    assert list_deviations(plan, composed("model=alexnet", "group=first", "seed=5")) == []
    assert list_deviations(plan, composed("group=other")) == ["no condition has the group other"]


def test_the_projects_protocol_can_be_read():
    plan = read_protocol(CONF.parent / "docs" / "protocol.md")
    assert {"best_classifier", "best_segmenter", "best_joint"} <= {planned.name for planned in plan.conditions}
