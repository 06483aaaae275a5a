"""What a command keeps of its jobs: where, which lists a new command may remove, and how a stopped one goes on."""

import os
import subprocess
import sys

import pytest
from held import LIMIT_S
from omegaconf import OmegaConf

from bus_lightning.launch import command_line
from bus_lightning.launch.command_line import JOBS, JobList

DEAD, TIME = 999_999_999, 1_700_000_000_000_000_000  # no process has this id


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Let a command on the machine `gpu` open its list; return the names of the lists that are then there."""
    monkeypatch.delenv(JOBS, raising=False)
    monkeypatch.setattr(command_line.socket, "gethostname", lambda: "gpu")

    def go(*before):
        for name in before:
            (tmp_path / name).write_text("")
        JobList().on_run_start(OmegaConf.create({"runs_dir": str(tmp_path), "hydra": {"overrides": {"task": []}}}))
        monkeypatch.delenv(JOBS)
        return {path.name for path in tmp_path.iterdir()}

    return go


def test_the_list_of_a_command_on_another_machine_stays_whatever_the_machine_is_called(opened):
    others = {f".jobs-gpu-2-{TIME}-{DEAD}", f".jobs-cpu-{TIME}-{DEAD}", f".jobs-my-gpu-{TIME}-{DEAD}"}
    assert others <= opened(*others)


def test_the_list_of_a_killed_command_is_removed_and_that_of_a_running_one_stays(opened):
    killed, running = f".jobs-gpu-{TIME}-{DEAD}", f".jobs-gpu-{TIME}-{os.getpid()}"
    left = opened(killed, running)
    assert killed not in left
    assert running in left
    assert len(left) == 2  # and the list of the new command


def test_another_file_that_is_called_like_a_list_stops_no_command(opened):
    assert ".jobs-gpu-notes" in opened(".jobs-gpu-notes")


@pytest.mark.parametrize("afresh", ["rerun=true", "rerun=True", "++rerun=TRUE"])
def test_the_command_that_goes_on_starts_nothing_afresh(afresh):
    line = command_line._how_to_continue(["train.py", "-m", "seed=0,1", afresh]).splitlines()[-1]
    assert line.endswith(" -m seed=0,1")


@pytest.mark.parametrize("grid", [(), ("-m", "seed=0,1")], ids=["run", "grid"])
def test_the_sign_of_the_home_folder_in_runs_dir_makes_no_folder_of_that_name(grid, tmp_path):
    script, home, here = tmp_path / "script.py", tmp_path / "home", tmp_path / "here"
    script.write_text(
        "import hydra, sys\n"
        "from bus_lightning.config import CONF\n"
        "from bus_lightning.launch.command_line import launch\n"
        "@hydra.main(version_base='1.3', config_path=str(CONF), config_name='train')\n"
        "def train(cfg): pass\n"
        "sys.exit(launch(train, 'train'))\n"
    )
    here.mkdir()
    command = [sys.executable, str(script), *grid, "runs_dir='~/my runs'"]
    subprocess.run(command, cwd=here, env=os.environ | {"HOME": str(home)}, check=True, timeout=LIMIT_S)
    assert not list(here.iterdir())
    assert [path.name for path in home.iterdir()] == ["my runs"]
    assert [path.name for path in (home / "my runs").iterdir()] == (["multirun.yaml"] if grid else [])
