"""A sweep of W&B: what its agent calls is one run with the drawn parameters."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf
from test_sweeps import configured

from bus_lightning.config.rules import check

ROOT = Path(__file__).parents[2]
WANDB_SWEEP = yaml.safe_load((ROOT / "sweeps" / "wandb.yaml").read_text())


def agent_command(monkeypatch, **parameters):
    """Return the command that W&B's agent runs for parameters that its server has drawn."""
    from wandb import wandb_agent

    called = []

    class Process:
        def __init__(self, command, **options):
            called.append(command)

    monkeypatch.setattr(wandb_agent, "AgentProcess", Process)
    monkeypatch.setattr(wandb_agent.config_util, "save_config_file_from_dict", lambda *arguments: None)
    monkeypatch.setenv("WANDB_RUN_ID", "drawn")  # the agent sets it: taken back after the test
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", "none")
    agent = object.__new__(wandb_agent.Agent)
    agent._sweep_command, agent._function, agent._in_jupyter = list(WANDB_SWEEP["command"]), None, False
    agent._run_processes, agent._forward_signals = {}, False
    drawn = {name: {"value": value} for name, value in parameters.items()}
    agent._command_run({"program": WANDB_SWEEP["program"], "args": drawn, "run_id": "drawn"})
    return called[0]


def draw(seed):
    """Draw parameters from the sweep's distributions, as W&B's server does."""
    rng = np.random.default_rng(seed)

    def value(distribution, min, max):
        if distribution == "log_uniform_values":
            return float(np.exp(rng.uniform(np.log(min), np.log(max))))
        return float(rng.uniform(min, max))

    return {name: value(**options) for name, options in WANDB_SWEEP["parameters"].items()}


@pytest.mark.parametrize("seed", range(5))
def test_what_an_agent_of_w_and_b_calls_is_one_run_with_the_drawn_parameters(seed, monkeypatch):
    parameters = draw(seed)
    env, interpreter, program, *overrides = agent_command(monkeypatch, **parameters)
    assert (env, interpreter, program) == ("/usr/bin/env", "python", "train.py")
    assert not [override for override in overrides if override.startswith("-")]  # no -m, which would start another grid
    cfg = configured(*overrides, hydra=True)
    assert cfg.hydra.mode is None
    for name, value in parameters.items():
        assert OmegaConf.select(cfg, name) == value
    check(cfg)
    assert WANDB_SWEEP["metric"]["name"] == cfg.task.monitor
    assert WANDB_SWEEP["metric"]["goal"] == f"{cfg.task.mode}imize"
    assert (ROOT / program).is_file()


def test_parameters_of_w_and_b_are_single_values_and_no_groups():
    """The name of a group, as a parameter, would stand in the config of W&B's runs in place of the group."""
    cfg = configured("augment=scaled")
    assert all(isinstance(OmegaConf.select(cfg, name), float) for name in WANDB_SWEEP["parameters"])
