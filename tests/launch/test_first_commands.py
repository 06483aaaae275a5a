"""What a newcomer types first, and what comes back."""

import re

import pytest
from omegaconf import OmegaConf
from test_command_line import run

from bus_lightning import __version__
from bus_lightning.config.rules import check
from bus_lightning.core.errors import UserError
from bus_lightning.launch.grids import check_choices, gather_overrides
from bus_lightning.launch.report import main
from bus_lightning.training.evaluate import evaluate_runs

NO_DATA = ("model=alexnet", "data.root=/no/such/folder", "logger=none")


def lines_of(done):
    return done.stderr.strip().splitlines()


def test_the_config_is_printed_when_it_is_asked_for_and_not_otherwise(tmp_path):
    quiet = run("train.py", *NO_DATA, f"runs_dir={tmp_path}")
    assert len(lines_of(quiet)) <= 2
    assert "max_epochs" not in quiet.stderr
    assert "max_epochs" in run("train.py", *NO_DATA, f"runs_dir={tmp_path}", "print_config=true").stderr


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("+predict.flip=true", "Error: predict.flip is unknown: choose from flips."),
        ("robustness_options.images=3", "Error: robustness_options.images=3 has no effect without robustness=true: "),
    ],
)
def test_an_option_of_an_evaluation_that_has_no_effect_is_refused_in_one_line(override, line):
    done = run("evaluate.py", "runs=none", override)
    assert done.returncode == 1
    assert [shown.startswith(line) for shown in lines_of(done)] == [True]


def test_a_grid_without_values_is_refused_in_one_line():
    done = run("train.py", "-m")
    assert done.returncode == 1
    (line,) = lines_of(done)
    assert line.startswith("Error: -m starts a grid, but no option has several values: python train.py -m model=")


def test_overrides_on_both_sides_of_the_flag_of_a_grid_are_one_grid():
    done = run("train.py", "seed=3", "-m", "model=alexnet,resnet34", "--cfg", "job", "-p", "optimizer")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^# (seed.*)", done.stdout, re.MULTILINE) == ["seed=3 model=alexnet", "seed=3 model=resnet34"]


def test_a_grid_of_evaluations_shows_each_of_its_configs():
    done = run("evaluate.py", "-m", "runs=x", "part=test,val", "--cfg", "job", "-p", "part")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(test|val)$", done.stdout, re.MULTILINE) == ["test", "val"]


@pytest.mark.parametrize(
    ("arguments", "gathered"),
    [
        (["-m", "model=a,b"], ["-m", "model=a,b"]),
        (["seed=0", "-m", "model=a,b"], ["seed=0", "model=a,b", "-m"]),
        (["seed=0", "--cfg", "job", "model=a", "-p", "model"], ["seed=0", "model=a", "--cfg", "job", "-p", "model"]),
    ],
)
def test_overrides_are_gathered_only_where_hydra_needs_it(arguments, gathered):
    assert gather_overrides(arguments) == gathered


def test_the_beginning_of_an_option_stands_for_the_option():
    done = run("train.py", "--multi", "model=alexnet,resnet34", "--cf=job", "-p", "optimizer")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^# (model.*)", done.stdout, re.MULTILINE) == ["model=alexnet", "model=resnet34"]
    assert run("train.py", "--vers").stdout == f"bus_lightning {__version__}\n"


def test_a_list_of_models_is_refused_with_the_grid_that_is_meant_also_when_only_the_config_is_asked_for():
    done = run("train.py", "model=[alexnet,resnet34]", "--cfg", "job")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = lines_of(done)
    assert line.endswith("-m model=alexnet,resnet34")
    with pytest.raises(UserError, match=r"-m model=unet,u2net,alexnet$"):
        check_choices(["model=[unet,u2net],alexnet"])


@pytest.mark.parametrize("weights", ["imagnet", "ImageNet", "imagenet1k", "coco"])
def test_misspelt_weights_are_refused_with_the_known_names(composed, weights):
    hint = "" if weights == "coco" else r" Did you mean imagenet\?"
    with pytest.raises(UserError, match=f"^model.weights={weights}: there is no such file.{hint} Give imagenet, a fil"):
        check(composed("model=alexnet", f"model.weights={weights}"))


def test_weights_that_exist_are_taken(composed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_bytes(b"")
    for weights in ("imagenet", "mine", "null", "/no/file.pth"):  # whether a file can be read is said when it is read
        check(composed("model=alexnet", f"model.weights={weights}"))


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Stand in a folder whose runs/ has two groups of one run each."""
    monkeypatch.chdir(tmp_path)
    for group in ("demo", "paper"):
        run_folder = tmp_path / "runs" / group / "one"
        run_folder.mkdir(parents=True)
        (run_folder / "config.yaml").write_text("")


@pytest.mark.parametrize("folder", ["runs/dmeo", "demo", "runs", "rums/demo", "runs/demo/two"])
def test_a_report_of_a_wrong_group_names_those_that_exist(groups, capsys, folder):
    assert main([folder]) == 1
    assert f"Error: {folder} is not a folder of runs: choose from runs/demo, runs/paper." in capsys.readouterr().err


def test_a_report_of_a_run_names_its_group(groups, capsys):
    assert main(["runs/demo/one"]) == 1
    assert "choose from runs/demo." in capsys.readouterr().err


def test_a_report_without_a_group_names_those_that_exist(groups, capsys):
    assert main([]) == 1
    assert "runs/demo, runs/paper" in capsys.readouterr().err


@pytest.mark.parametrize("patterns", ["runs/classification/*", "runs/demo", "runs", "runs/*", "demo/*", "???"])
def test_an_evaluation_of_wrong_groups_names_those_that_exist(groups, patterns):
    with pytest.raises(UserError, match=r"Try runs='runs/demo/\*' or runs='runs/paper/\*'\."):
        evaluate_runs(OmegaConf.create({"runs": patterns, "part": "test", "split": None}))
