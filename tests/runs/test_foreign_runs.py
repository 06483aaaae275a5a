"""A run folder from elsewhere never stops a command: what it cannot hold is named, and the other runs are answered."""

import json
import logging
import os
import shutil
import signal
import tempfile
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from changed_values import DELETED, changed
from omegaconf import OmegaConf
from PIL import Image
from rich.console import Console

from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.data.fingerprints import load_fingerprints
from bus_lightning.data.splits import load_split
from bus_lightning.export.making import _origin
from bus_lightning.export.predictions import read_folds
from bus_lightning.launch.report import main as report
from bus_lightning.report.costs import cost_frame
from bus_lightning.report.figures.history import history
from bus_lightning.report.making import _facts
from bus_lightning.runs.finished import open_run
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.images import COLUMNS
from bus_lightning.runs.lock import is_owned, lock_file, owned
from bus_lightning.runs.predicted_masks import _mask_of
from bus_lightning.runs.record import recorded
from bus_lightning.runs.table import collect, show
from bus_lightning.statistics.checks import find_problems
from bus_lightning.statistics.conditions import read_group
from bus_lightning.tracking.syncing import find_unsent
from bus_lightning.training.evaluate import evaluate_runs

KEPT = Path(__file__).parents[1] / "kept"
FILES = ("status.json", "split.json", "metrics.json", "cases.csv", "history.csv", "config.yaml", "fingerprints.npz",
         "sets.json", "images.csv")  # fmt: skip
NOBODY = 65534


@pytest.fixture(autouse=True)
def _ends():
    """End a test that waits for a pipe or reads without end."""

    def stop(*_):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def copy_run(to, kind="two_stage/classifier-null"):
    run = RunDir(Path(shutil.copytree(KEPT / "runs" / kind, to)))
    shutil.copy(KEPT / "fingerprints.npz", run.fingerprints)
    run.sets.write_text('{"sets": {"busi": {"data": "busi", "images": 9}}, "parts": {"test": {}}, "seen": 0}')
    run.images.write_text(f"{','.join(COLUMNS)}\na,busi,benign,,0,500,400,0.1,,1,0,unknown,unknown\n")
    return run


def nested(file):
    """Write a file of the same kind that is nested 100,000 deep."""
    depth = 100_000
    texts = {".json": '{"a":' * depth + "1" + "}" * depth, ".yaml": "{a: " * depth + "1" + "}" * depth}
    file.write_text(texts.get(file.suffix, "[" * depth))


def replaced(make):
    def damage(file):
        file.unlink()
        make(file)

    return damage


DAMAGES = {
    "missing": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "cut off": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "nested": nested,
    "another type": lambda file: file.write_text("[1, 2]"),
    "a text": lambda file: file.write_text('"text"'),
    "not UTF-8": lambda file: file.write_bytes(b"\xff\xfe\x00\x81" * 50),
    "aliases": lambda file: file.write_text("a: &a [1]\nb: *a\n"),
    "a folder": replaced(Path.mkdir),
    "a pipe": replaced(os.mkfifo),
    "an endless device": replaced(lambda file: file.symlink_to("/dev/zero")),
    "a link to itself": replaced(lambda file: file.symlink_to(file)),
}


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


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_of_a_run_is_named_and_the_other_runs_are_answered(tmp_path, file):
    copy_run(tmp_path / "group" / "whole", "two_stage/segmenter-null")
    for number, do in enumerate(DAMAGES.values()):
        do(copy_run(tmp_path / "group" / f"run{number}").path / file)
    group = read_group(tmp_path / "group")
    assert [run.path.name for condition in group.conditions for run in condition.runs][-1] == "whole"
    table = collect([run for run in sorted((tmp_path / "group").iterdir()) if run.is_dir()])
    show(table, console=Console(file=StringIO(), width=150))
    left_out, states = group.left_out.set_index("run"), table.set_index("run")["state"]
    assert states["whole"] == "complete"
    problems = {problem.about: problem.text for problem in find_problems(group.conditions) if problem.kind == "files"}
    for number, damage in enumerate(DAMAGES):
        name, why = f"run{number}", f"{file}, {damage}"
        if file == "fingerprints.npz" or (
            file in ("status.json", "history.csv", "sets.json", "images.csv") and damage == "missing"
        ):
            assert name not in left_out.index, why  # nothing that is shown depends on it
        elif file in ("history.csv", "sets.json", "images.csv"):
            assert f"{name}/{file} is damaged" in problems[name], why
        elif file == "metrics.json" and damage == "missing":
            assert left_out.loc[name, "reason"] == "is not complete: complete", why
        else:
            assert left_out.loc[name, "state"] == "damaged", why
            assert f"{name}/{file} is damaged" in left_out.loc[name, "reason"], why
            assert "\n" not in left_out.loc[name, "reason"]
        if file in ("status.json", "metrics.json", "cases.csv") and damage != "missing":
            assert states[name] == "damaged", why


def test_a_report_of_damaged_runs_has_the_whole_ones_and_a_line_for_each_other(tmp_path, capsys):
    copy_run(tmp_path / "group" / "whole__$\\frac{$\x1b[2J")
    for file in FILES[:4] + FILES[5:6]:
        for damage in ("nested", "a pipe"):
            DAMAGES[damage](copy_run(tmp_path / "group" / f"{file}-{damage}").path / file)
    masks = copy_run(tmp_path / "group" / "masks", "two_stage/segmenter-null").masks
    first, second, *_ = sorted(masks.rglob("*.png"))
    replaced(os.mkfifo)(first)
    replaced(lambda file: file.symlink_to("/dev/zero"))(second)
    (masks.parent / "explain").mkdir()
    os.mkfifo(masks.parent / "explain" / "maps.csv")
    os.mkfifo(masks.parent / "explain" / "heatmaps.png")
    assert report([str(tmp_path / "group"), "--no-wandb"]) == 0
    tables = tmp_path / "group" / "report" / "tables"
    left_out = pd.read_csv(tables / "left_out.csv")
    assert sorted(left_out["run"]) == sorted(f"{file}-{damage}" for file in FILES[:4] + FILES[5:6]
                                             for damage in ("nested", "a pipe"))  # fmt: skip
    assert set(left_out["state"]) == {"damaged"}
    checks = " ".join(pd.read_csv(tables / "checks.csv")["what was found"])
    for file in ("maps.csv", "heatmaps.png", f"{first.name} is damaged"):
        assert file in checks
    assert "whole__$\\frac{$" in (tmp_path / "group" / "report" / "index.html").read_text()
    assert "\x1b" not in (tmp_path / "group" / "report" / "report.md").read_text() + "".join(capsys.readouterr())


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


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder like the one that the kept runs were made in; it is the working directory."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "phantom").symlink_to(KEPT / "data" / "phantom")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluated(runs):
    data = {"root": None, "skip_unreadable": False}
    return OmegaConf.create({"runs": runs, "part": "test", "split": None, "progress": False, "data": data})


def test_damaged_runs_are_refused_by_evaluation_and_the_whole_one_is_evaluated(project, caplog, capsys):
    whole = copy_run(project / "runs" / "group" / "whole", "classification/finished")
    bad = []
    for file in ("status.json", "split.json", "config.yaml"):
        for damage in ("nested", "a pipe", "another type"):
            run = copy_run(project / "runs" / "group" / f"{file}-{damage}", "classification/finished")
            DAMAGES[damage](run.path / file)
            bad.append(f"{run.path.relative_to(project)}/{file} is damaged")
    lacks = copy_run(project / "runs" / "group" / "lacks", "classification/finished")
    cut = yaml.safe_load(lacks.config.read_text())
    del cut["data"]["workers"], cut["trainer"]["precision"]
    lacks.config.write_text(yaml.safe_dump(cut))
    bad.append(f"{lacks.config.relative_to(project)} is damaged")
    with pytest.raises(UserError, match="10 of 11 runs could not be evaluated"):
        evaluate_runs(evaluated("runs/group/*"))
    for line in bad:
        assert line in caplog.text
    (evaluation,) = (whole.path / "evaluations").iterdir()
    assert RunDir(evaluation).metrics["test"]["n"] > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.pop("std"), "it lacks 'std'"),
        (lambda data: data.pop("balance"), "it lacks 'balance'"),
        (lambda data: data.update(classes=["benign", "malignant", "cyst"]), "data.classes: no images of class 'cyst'"),
        (lambda data: data.update(classes=["malignant", "normal"]), "data.classes lacks the class of 'benign"),
    ],
)
def test_a_config_whose_data_does_not_fit_costs_its_own_run_only(project, caplog, change, words):
    whole, bad = (copy_run(project / "runs" / "group" / name, "classification/finished") for name in ("whole", "bad"))
    config = yaml.safe_load(bad.config.read_text())
    change(config["data"])
    bad.config.write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="1 of 2 runs could not be evaluated"):
        evaluate_runs(evaluated("runs/group/*"))
    assert words in caplog.text
    assert len(list((whole.path / "evaluations").iterdir())) == 1


def test_a_damaged_fold_is_left_out_of_the_calibration(tmp_path, caplog):
    classifier = copy_run(tmp_path / "exported")
    for file in ("status.json", "split.json", "config.yaml", "cases.csv"):
        DAMAGES["nested"](copy_run(tmp_path / "folds" / file).path / file)
    with pytest.raises(UserError, match="matches no classification run"):
        read_folds(str(tmp_path / "folds" / "*"), [open_run(classifier.path)])
    for file in ("status.json", "split.json", "config.yaml", "cases.csv"):
        assert f"Left out of the calibration: {tmp_path}/folds/{file}/{file} is damaged" in caplog.text


def test_a_folder_that_may_not_be_read_is_listed(monkeypatch):
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        copy_run(folder / "group" / "whole")
        closed = copy_run(folder / "group" / "closed")
        copy_run(folder / "group" / "file").status_file.chmod(0)
        for path in (folder / "group").rglob("*"):
            os.chown(path, NOBODY, NOBODY) if os.geteuid() == 0 else None
        closed.path.chmod(0)
        runs = [folder / "group" / name for name in ("whole", "closed", "file")]
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
        group, table = read_group(folder / "group"), collect(runs)
        with pytest.raises(UserError, match="could not be evaluated"):
            evaluate_runs(evaluated(f"{folder}/group/[!w]*"))
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        closed.path.chmod(0o700)
        shutil.rmtree(folder)
    assert group.left_out[["run", "state"]].values.tolist() == [["closed", "damaged"], ["file", "damaged"]]
    assert table["state"].tolist() == ["complete", "damaged", "damaged"]


@pytest.mark.parametrize("damage", ["a folder", "a pipe", "an endless device"])
@pytest.mark.parametrize("name", ["config.yaml", "status.json", "train.log", "error.txt", "metrics.json"])
def test_a_run_is_not_trained_where_something_else_has_the_name_of_one_of_its_files(tmp_path, damage, name):
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    (run.path / name).touch()
    DAMAGES[damage](run.path / name)
    with pytest.raises(DamagedError, match=name), recorded(run, "model"):
        pytest.fail("it is trained")


@pytest.mark.parametrize("damage", ["a folder", "a pipe", "an endless device"])
def test_a_lock_that_is_no_file_holds_nothing_and_is_named(tmp_path, damage):
    file = lock_file(tmp_path / "run")
    file.touch()
    DAMAGES[damage](file)
    assert not is_owned(tmp_path / "run")
    with pytest.raises(DamagedError, match=r"\.run\.lock is damaged"), owned(tmp_path / "run"):
        pytest.fail("it is held")


@pytest.mark.parametrize("id_", ["/etc/hostname", "../../secret", "benign/../../x", "a\0b", "\ud800"])
def test_an_id_is_a_path_below_the_data_folder(tmp_path, id_):
    run = copy_run(tmp_path / "run")
    content = json.loads(run.split.read_text())
    content["groups"][id_] = 1
    run.split.write_text(json.dumps(content))
    with pytest.raises(DamagedError, match="not a path below the data folder"):
        load_split(run.split)


def test_a_mask_that_is_no_regular_file_is_not_ignored(tmp_path):
    run = copy_run(tmp_path / "run", "two_stage/segmenter-null")
    (id_, *_) = (id_ for id_ in load_split(run.split).test)
    file = run.masks / f"{id_}.png"
    replaced(os.mkfifo)(file)

    class Segmenter:
        """A segmenter as the search for masks needs it."""

        def __init__(self):
            self.run, self.split, self.trained = open_run(run.path), load_split(run.split), frozenset()

    assert _mask_of(id_, 0, [Segmenter()]) == file.resolve()


def arrays(**changes):
    with np.load(KEPT / "fingerprints.npz") as file:
        return {name: file[name] for name in file.files} | changes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"greys": np.zeros(9, np.uint8)}, "do not fit each other"),
        ({"numbers": np.array(["a"] * 42)}, "another kind"),
        ({"points": np.full((1285, 2), np.nan, np.float32)}, "impossible numbers"),
        ({"ids": np.zeros(42, np.int32)}, "another kind"),
        ({"descriptors": np.zeros((1285, 3), np.uint8)}, "do not fit each other"),
        ({"shapes": np.array([[-1, -4032]] * 42, np.int32)}, "do not fit|impossible"),
    ],
)
def test_fingerprints_that_do_not_fit_are_refused(tmp_path, change, words):
    np.savez_compressed(tmp_path / "f.npz", **arrays(**change))
    with pytest.raises(UserError, match=words):
        load_fingerprints(tmp_path / "f.npz")


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "missing"])
def test_damaged_fingerprints_are_named(tmp_path, damage):
    file = Path(shutil.copy(KEPT / "fingerprints.npz", tmp_path / "fingerprints.npz"))
    DAMAGES[damage](file)
    with pytest.raises(UserError, match=r"fingerprints\.npz does not hold fingerprints"):
        load_fingerprints(file)


def test_fingerprints_that_claim_more_than_they_can_hold_are_refused_before_they_are_read(tmp_path):
    np.savez_compressed(tmp_path / "f.npz", **arrays(greys=np.zeros(300_000_000, np.uint8)))  # packed to 300 kB
    with pytest.raises(UserError, match=r"claims to hold 0\.3 GB"):
        load_fingerprints(tmp_path / "f.npz")


def test_what_is_not_a_recording_is_not_sent(tmp_path):
    for kind in ("good", "bad"):
        (tmp_path / "group" / kind / "wandb" / f"offline-run-20260101_000000-{kind}").mkdir(parents=True)
    (good, bad) = (tmp_path.rglob("offline-run-*good"), tmp_path.rglob("offline-run-*bad"))
    (next(iter(good)) / "run-good.wandb").write_bytes(b"x")
    os.mkfifo(next(iter(bad)) / "run-bad.wandb")
    assert [recording.run_id for recording in find_unsent(tmp_path)] == ["good"]


def test_a_picture_that_is_no_picture_is_a_finding_though_the_report_is_made(tmp_path, caplog):
    run = copy_run(tmp_path / "group" / "run", "two_stage/segmenter-null")
    file = sorted(run.masks.rglob("*.png"))[0]
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(file)
    with caplog.at_level(logging.WARNING):
        problems = [problem.text for problem in find_problems(read_group(run.path.parent).conditions)]
    assert any(f"{file} is damaged: it has 9 pixels" in text for text in problems)


def test_a_run_from_elsewhere_makes_no_new_folder_outside_of_the_working_folder(tmp_path, monkeypatch):
    run, elsewhere, own = copy_run(tmp_path / "run"), tmp_path / "elsewhere", tmp_path / "own"
    own.mkdir()
    monkeypatch.chdir(own)
    config = OmegaConf.load(run.config)
    config.data.root, config.data.cache = str(elsewhere / "images"), str(elsewhere / "cache")
    config.data.phantom = {"images": 12, "seed": 0}
    OmegaConf.save(config, run.config)
    opened = open_run(run.path).config.data
    assert opened.phantom is None
    assert opened.cache == "data/cache"
    with pytest.raises(UserError, match="could not be evaluated"):
        evaluate_runs(evaluated(str(run.path)))
    assert not elsewhere.exists()
    config.data.root, config.data.cache = "data/phantom", str(own / "cache")
    OmegaConf.save(config, run.config)
    assert open_run(run.path).config.data.phantom == config.data.phantom
    assert open_run(run.path).config.data.cache == config.data.cache
