"""An error of a command line is one line with the cure; an error that all jobs of a grid share is shown once."""

import os
import shlex
from pathlib import Path

import pytest
import warm
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException

from bus_lightning.config.complaints import describe, quoted

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "SQLALCHEMY_SILENCE_UBER_WARNING": "1"}


def run(*arguments, **environment):
    return warm.run(arguments, ROOT, 300, ENVIRONMENT | environment)


@pytest.fixture
def train(phantom, audit_cache, tmp_path):
    def go(*arguments, **environment):
        places = [f"data.root={phantom}", f"data.cache={audit_cache}", f"runs_dir={tmp_path / 'runs'}"]
        return run("train.py", *arguments, *places, **environment)

    return go


def only_line(done):
    """The one line of a command that did nothing."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    return line


PATHS = ["/a/b (1)", "/a/b=c", "/a,b", "/data/Brüste", "/数据/乳腺", "/a/{b}", "/a/it's (mine)", '/a/"b" (1)',
         "C:\\a (1)\\", "/a/b(", "(", "/a/=,()", "/a/b (1), c=d", "/data/été/1", "/a/b\\ (1)", "/a[1] (2)",
         "runs/ä*/b (1)"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_quoted_path_is_read_as_it_is(path):
    (argument,) = shlex.split(quoted(f"data.root={path}"))
    assert OverridesParser.create().parse_override(argument).value() == path


@pytest.mark.parametrize("path", PATHS)
def test_the_argument_that_cannot_be_read_is_named_with_its_cure(path):
    argument = f"data.root={path}"
    try:
        OverridesParser.create().parse_overrides(["seed=0", argument])
    except OverrideParseException as error:
        line = describe(error)
        assert line.startswith(f"{argument}: ")
        assert line.endswith(quoted(argument))
        assert "\n" not in line
    else:
        assert path == "/a,b", "this one is a grid"


def test_the_names_in_a_list_are_quoted_each():
    (argument,) = shlex.split(quoted("data.classes=[benign (a),malignant]"))
    assert OverridesParser.create().parse_override(argument).value() == ["benign (a)", "malignant"]


@pytest.mark.parametrize(("argument", "value"), [
    ("data.columns={image: Datei, mask: Läsion, class: Befund (BI-RADS), mm_per_pixel: Pixelgröße [mm]}",
     {"image": "Datei", "mask": "Läsion", "class": "Befund (BI-RADS)", "mm_per_pixel": "Pixelgröße [mm]"}),
    ("data.columns={image: 'Größe, neu', mask: 'Läsion'}", {"image": "Größe, neu", "mask": "Läsion"}),
    ("data.map.class={benign: [gutärtig, 2], no lesion: [kein (3)]}",
     {"benign": ["gutärtig", 2], "no lesion": ["kein (3)"]}),
])  # fmt: skip
def test_the_values_of_a_group_are_quoted_each(argument, value):
    (command,) = shlex.split(quoted(argument))
    assert OverridesParser.create().parse_override(command).value() == value


@pytest.mark.parametrize("value", ["{class: {benign: [gutärtig], malignant: [b]}}", "{benign: [gutärtig}", "{}}"])
def test_a_group_that_quotes_do_not_fix_gets_no_wrong_cure(value):
    assert quoted(f"data.map={value}") is None


@pytest.mark.parametrize(("argument", "cure"), [("data.root", "data.root: write key=value"),
                                                ("dätä.root=x", "'dätä.root' is not a key"),
                                                ("data root=x(", "'data root' is not a key")])  # fmt: skip
def test_an_argument_that_quotes_do_not_fix_gets_another_cure(argument, cure):
    with pytest.raises(HydraException) as error:
        OverridesParser.create().parse_overrides([argument])
    assert cure in describe(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_both_commands_say_which_argument_to_quote_and_how(script):
    key = "data.root" if script == "train.py" else "runs"
    line = only_line(run(script, f"{key}=/a/b (1)"))
    assert line == f"Error: {key}=/a/b (1): the value of {key} needs quotes within quotes: write '{key}=\"/a/b (1)\"'"


def test_a_comma_outside_of_a_grid_is_a_list_a_text_or_a_grid():
    line = only_line(run("train.py", "data.root=/a,b"))
    assert "needs -m" in line
    assert "data.root=[/a,b]" in line
    assert "'data.root=\"/a,b\"'" in line


def test_several_options_of_a_group_are_a_grid_and_only_callbacks_and_loggers_a_list():
    line = only_line(run("train.py", "model=resnet34,alexnet"))
    assert line.endswith("needs -m: python train.py -m model=resnet34,alexnet")
    line = only_line(run("train.py", "callbacks=early_stopping,ema"))
    assert line.endswith("write 'callbacks=[early_stopping,ema]'")


@pytest.mark.parametrize(
    "overrides",
    [["model=[resnet50,resnet34]"], ["-m", "optimizer=[adam,sgd]", "seed=0,1"], ["-m", "model=[unet,u2net],u2net"]],
)
def test_options_that_would_be_merged_into_one_object_are_refused(train, tmp_path, overrides):
    (named,) = [argument for argument in overrides if "[" in argument]
    group = named.partition("=")[0]
    assert only_line(train(*overrides)).startswith(f"Error: {named}: a run has one {group}; ")
    assert not list((tmp_path / "runs").glob("*/*"))


@pytest.mark.parametrize("override", ["data.size=[320,240]", "group=.."])
def test_a_wrong_value_is_one_line_and_leaves_no_folder(train, tmp_path, override):
    assert only_line(train(override)).startswith(f"Error: {override}: give ")
    assert not list((tmp_path / "runs").glob("*/*"))


def test_a_wrong_value_of_evaluate_is_one_line():
    assert only_line(run("evaluate.py", "runs=x", "explain=yes")) == "Error: explain=yes: give true or false."


def test_what_is_wrong_for_all_jobs_of_a_grid_is_refused_once(train, tmp_path):
    assert (
        only_line(train("-m", "seed=0,1,2", "data.size=-3"))
        == "Error: data.size=-3: give a whole number of at least 1."
    )
    line = only_line(train("-m", "seed=0,1,2", "model=u2net_lite", "scheduler=plateau"))
    assert "needs a validation set" in line
    assert not list((tmp_path / "runs").glob("*/*"))


@pytest.mark.slow
def test_a_job_of_a_grid_that_is_wrong_alone_does_not_stop_the_others(train, tmp_path):
    done = train("-m", "seed=-1,0,x", "model=alexnet", "debug=fast", "logger=none", "data.size=64")
    assert done.returncode == 1
    assert done.stderr.count("give a whole number from 0 to 4294967295, or null") == 2
    assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "runs").glob("debug/*/metrics.json"))) == 1


def test_a_search_without_a_score_is_refused_once(train):
    line = only_line(train("sweep=search", "model=u2net_lite"))
    assert "A search needs a validation set for its score" in line


@pytest.mark.slow
def test_a_search_is_not_refused_for_a_value_that_it_varies(train):
    done = train("sweep=search", "model=u2net_lite", "data.split.val_from_train=choice(1,2)", "debug=fast", "seed=0",
                 "hydra.sweeper.n_trials=1", "logger=none")  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_search_needs_no_database_and_says_so(train, tmp_path):
    line = only_line(train("sweep=search", "model=alexnet", f"hydra.sweeper.storage=sqlite:///{tmp_path}/search.db"))
    assert "hydra.sweeper.storage" in line
    assert "needs no database" in line


def test_a_grid_for_slurm_without_slurm_is_one_line(train):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    line = only_line(train("-m", "seed=0,1", "hydra/launcher=slurm", PATH="/nowhere"))
    assert "srun is not on this machine" in line


@pytest.mark.parametrize("flags", [["-m", "--cfg", "job"], ["--multirun", "--cfg=job"]])
def test_the_config_of_every_job_of_a_grid_is_shown_and_nothing_is_trained(train, tmp_path, flags):
    done = train(*flags, "model=alexnet,resnet34", "seed=3,4")
    assert done.returncode == 0, done.stderr
    shown = list(yaml.safe_load_all(done.stdout))
    jobs = [(config["model"]["name"], config["seed"]) for config in shown]
    assert jobs == [("alexnet", 3), ("alexnet", 4), ("resnet34", 3), ("resnet34", 4)]
    assert not (tmp_path / "runs").exists()


def test_a_part_of_the_config_of_every_job_is_shown_with_the_flags_of_hydra(train):
    done = train("-m", "--cfg", "job", "--resolve", "--package", "optimizer", "optimizer.lr=0.1,0.2")
    assert [config["lr"] for config in yaml.safe_load_all(done.stdout)] == [0.1, 0.2]


@pytest.mark.slow
def test_an_empty_wandb_mode_is_as_unset(train, tmp_path):
    done = train("model=alexnet", "debug=fast", "logger=wandb", "name=one", "data.size=64", WANDB_MODE="",
                 WANDB_API_KEY="")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "runs").glob("debug/one/wandb/offline-run-*"))) == 1


def test_a_group_that_is_null_is_one_line_with_the_two_ways_to_say_it():
    line = only_line(run("train.py", "model=alexnet", "logger=null"))
    assert line == "Error: logger=null: choose one of its options, or remove it with '~logger'"
    assert only_line(run("train.py", "model=null")) == "Error: model=null: choose one of its options"


@pytest.mark.parametrize("value", ["true", "3", "0.5"])
def test_a_value_that_names_no_option_of_a_group_is_one_line(value):
    line = only_line(run("train.py", "model=alexnet", f"debug={value}"))
    assert line == f"Error: debug={value}: choose one of its options, or remove it with '~debug'"


def test_a_run_trains_without_the_parts_that_are_taken_out(train, tmp_path):
    out = ("~logger", "~callbacks", "~scheduler", "~augment", "~seed")
    done = train("model=alexnet", "trainer.max_epochs=1", "debug_size=true", "data.size=64", "name=one", *out)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "classification" / "one" / "metrics.json").is_file()


def test_an_argument_without_a_key_is_not_an_empty_line():
    assert only_line(run("train.py", "=3")) == "Error: =3: give key=value."


@pytest.mark.parametrize("place", ["file", "file/runs"])
def test_a_place_where_no_folder_can_be_made_is_named_before_hydra_fails_there(tmp_path, place):
    (tmp_path / "file").write_text("")
    line = only_line(run("train.py", f"runs_dir={tmp_path / place}"))
    assert line.startswith(f"Error: {tmp_path / place}: a file is in the place of a folder: move the file, or choose ")
    assert "choose runs_dir=..." in line


def test_only_the_group_without_a_name_is_named_in_a_grid(monkeypatch):
    error = ValueError("Config group override must be a string or a list. Got NoneType")
    grid = ["-m", "model=alexnet,resnet34", "augment=choice(none,'paper')", "logger=null"]
    monkeypatch.setattr("sys.argv", ["train.py", *grid])
    assert describe(error) == "logger=null: choose one of its options, or remove it with '~logger'"
    monkeypatch.setattr("sys.argv", ["train.py", "-m", "model=alexnet,null", "seed=0,1"])
    assert describe(error) == "model=alexnet,null: choose one of its options"
