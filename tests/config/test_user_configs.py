"""A folder of the user's own configs may have links and any path, and a file that cannot be read is named."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from yaml import MarkedYAMLError

from bus_lightning.config.complaints import describe, is_complaint
from bus_lightning.config.user_configs import check_user_configs
from bus_lightning.core.errors import UserError
from bus_lightning.launch.grids import _params, user_configs_of


@pytest.fixture
def elsewhere(tmp_path):
    """A folder of models, outside the folder of configs."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "tiny.yaml").write_text("name: tiny\n")
    return tmp_path / "elsewhere"


def linked(tmp_path: Path, elsewhere: Path) -> Path:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "model").symlink_to(elsewhere)
    return tmp_path / "configs"


def test_a_group_behind_a_link_counts(tmp_path, elsewhere):
    check_user_configs(linked(tmp_path, elsewhere))


def test_a_file_behind_a_link_does_not_hide_one_of_ours(tmp_path, elsewhere):
    (elsewhere / "resnet50.yaml").write_text("name: mine\n")
    configs = linked(tmp_path, elsewhere)
    (configs / "own.yaml").write_text("a: 1\n")
    with pytest.raises(UserError, match=r"model/resnet50.yaml has the name of a file of bus_lightning"):
        check_user_configs(configs)


@pytest.mark.parametrize("place", ["model/own.yml", "hydra/launcher/own.yml"])
def test_a_config_whose_ending_hydra_does_not_read_is_named_with_the_ending_it_needs(tmp_path, place):
    (tmp_path / "own.yaml").write_text("name: mine\n")
    (tmp_path / "compose.yml").write_text("services: {}\n")  # of another program
    check_user_configs(tmp_path)
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_text("name: mine\n")
    with pytest.raises(UserError, match=rf"{place} would be ignored: rename it to own\.yaml\.$"):
        check_user_configs(tmp_path)


def test_a_folder_whose_only_file_has_the_other_ending_is_refused_with_its_name(tmp_path):
    (tmp_path / "own.yml").write_text("name: mine\n")
    with pytest.raises(UserError, match=r"own\.yml would be ignored: rename it to own\.yaml\.$"):
        check_user_configs(tmp_path)


@pytest.mark.parametrize("arguments", [["--config-dir", ""], ["--config-dir="], ["-cd", "", "model=alexnet"]])
def test_an_empty_folder_of_configs_is_refused(arguments):
    with pytest.raises(UserError, match="--config-dir is empty: name your folder of configs, or leave the option out"):
        user_configs_of(arguments)


@pytest.mark.parametrize("first", [["--config-dir", "a"], ["--config-dir=a"], ["-cd", "a"], ["--config-di=a"]])
def test_two_folders_of_configs_are_refused(first):
    with pytest.raises(UserError, match="--config-dir is given twice: put the files into one folder"):
        user_configs_of([*first, "model=alexnet", "--config-dir", "b"])


def test_a_link_to_the_folder_itself_ends(tmp_path, elsewhere):
    configs = linked(tmp_path, elsewhere)
    (configs / "again").symlink_to(configs)
    check_user_configs(configs)


def test_a_file_that_is_not_text_is_named(tmp_path, elsewhere):
    (elsewhere / "tiny.yaml").write_bytes("name: Brüste\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"model/tiny.yaml .*not text in UTF-8 .*Save it as UTF-8"):
        check_user_configs(linked(tmp_path, elsewhere))


def test_broken_yaml_is_named_with_its_line(elsewhere):
    (elsewhere / "tiny.yaml").write_text("a: [1,\n b: {")
    with pytest.raises(MarkedYAMLError) as caught, (elsewhere / "tiny.yaml").open() as stream:  # as Hydra opens it
        OmegaConf.load(stream)
    assert is_complaint(caught.value)
    assert describe(caught.value).startswith(f"{elsewhere / 'tiny.yaml'}, line 2, is not valid YAML")


@pytest.mark.parametrize("name", ["a,b", "a=b", "a[b", "it's", 'a"b', "Brüste", "with space"])
def test_a_grid_is_shown_with_configs_at_any_path(tmp_path, name):
    (tmp_path / name / "sweep").mkdir(parents=True)
    (tmp_path / name / "sweep" / "mine.yaml").write_text(
        "# @package _global_\nhydra: {sweeper: {params: {seed: '1,2'}}}\n"
    )
    assert _params(["--config-dir", str(tmp_path / name), "-m", "sweep=mine"], "train") == ["seed=1,2"]
