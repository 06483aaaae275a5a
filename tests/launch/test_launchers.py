"""The configs of launchers and sweepers: ours, without a warning, and one line where a plugin is missing."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from bus_lightning.launch.plugins import has_plugin, missing_plugin, prefer_our_configs

ROOT = Path(__file__).parents[2]
PLUGINS = {"launcher=joblib": ("joblib", "parallel"), "launcher=slurm": ("submitit", "slurm"),
           "launcher=ray": ("ray", "ray"), "sweeper=optuna": ("optuna", "sweep")}  # fmt: skip
WITHOUT_PLUGINS = (
    "import runpy, sys; sys.modules['hydra_plugins'] = None; runpy.run_path('train.py', run_name='__main__')"
)


def train(*arguments, plugins=True):
    started = ["train.py"] if plugins else ["-c", WITHOUT_PLUGINS]
    return subprocess.run([sys.executable, *started, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("choice", PLUGINS)
def test_our_config_is_the_one_that_is_taken_and_nothing_warns(choice):
    if not find_spec(f"hydra_plugins.hydra_{PLUGINS[choice][0]}_{choice.partition('=')[0]}"):
        pytest.skip("the plugin is not installed")
    group, _, name = choice.partition("=")
    done = train(f"hydra/{choice}", "--cfg", "hydra", "-p", f"hydra.{group}")
    assert done.returncode == 0
    assert done.stderr == ""
    assert OmegaConf.create(done.stdout) == OmegaConf.load(ROOT / "conf" / "hydra" / group / f"{name}.yaml")


@pytest.mark.parametrize("choice", PLUGINS)
def test_a_missing_plugin_is_one_line_that_says_how_to_get_it(choice, tmp_path):
    done = train("-m", f"hydra/{choice}", "seed=0,1", f"runs_dir={tmp_path / 'runs'}", plugins=False)
    assert done.returncode == 1
    assert f"pip install 'bus_lightning[{PLUGINS[choice][1]}]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.glob("runs/*/*"))


def test_without_plugins_help_and_the_default_launcher_work():
    helped = train("--help", plugins=False)
    assert helped.returncode == 0
    assert "== Groups" in helped.stdout
    default = train("--cfg", "hydra", "-p", "hydra.launcher", plugins=False)
    assert "BasicLauncher" in default.stdout


def test_help_lists_groups_without_copying_every_config_for_each_of_them(monkeypatch):
    """Half a second of `--help`, where plugins are installed."""
    prefer_our_configs()
    copied = []
    of_a_config = DictConfig.__deepcopy__
    monkeypatch.setattr(DictConfig, "__deepcopy__", lambda cfg, memo: copied.append(1) or of_a_config(cfg, memo))
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        options = GlobalHydra.instance().config_loader().get_group_options("hydra/launcher")
    assert {"basic", "joblib"} <= set(options)
    assert not copied


def test_other_errors_are_not_taken_for_a_missing_plugin():
    assert missing_plugin(RuntimeError("Unknown plugin class : 'hydra_plugins.somebody_elses.Launcher'")) is None
    assert missing_plugin(ValueError("no number")) is None


def test_a_worker_of_ray_gets_what_is_set_in_the_environment_and_no_key(monkeypatch):
    prefer_our_configs()
    roots = [name for name in os.environ if name.endswith("_ROOT")]
    for name in (*roots, "BUS_LIGHTNING_JOBS", "WANDB_MODE", "OMP_NUM_THREADS", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    cfg = OmegaConf.load(ROOT / "conf" / "hydra" / "launcher" / "ray.yaml")
    cfg.runs_dir = "runs"
    handed = OmegaConf.to_container(cfg.ray.init, resolve=True)["runtime_env"]["env_vars"]
    assert handed == {}
    monkeypatch.setenv("BUSI_ROOT", "/data/busi")
    monkeypatch.setenv("BUS_LIGHTNING_JOBS", "/runs/.jobs")
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    handed = OmegaConf.to_container(cfg.ray.init, resolve=True)["runtime_env"]["env_vars"]
    assert handed == {"BUSI_ROOT": "/data/busi", "BUS_LIGHTNING_JOBS": "/runs/.jobs"}


def test_jobs_that_slurm_refuses_are_one_line_with_its_reason(tmp_path, monkeypatch):
    if not has_plugin("hydra_submitit_launcher"):
        pytest.skip("the plugin is not installed")
    said = "sbatch: error: invalid partition specified: nowhere"
    for name, script in {"srun": "#!/bin/sh\n", "sbatch": f"#!/bin/sh\necho '{said}' >&2\nexit 1\n"}.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    done = train("-m", "hydra/launcher=slurm", "hydra.launcher.partition=nowhere", "hydra.launcher.mem_gb=1",
                 "seed=0,1", f"runs_dir={tmp_path / 'runs'}")  # fmt: skip
    assert done.returncode == 1
    assert f"Error: Slurm does not take the jobs ({said}): " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_slurm_job_asks_to_be_queued_again_and_is_warned_in_time(tmp_path):
    pytest.importorskip("submitit")
    from submitit.slurm.slurm import _make_sbatch_string

    cfg = OmegaConf.load(ROOT / "conf" / "hydra" / "launcher" / "slurm.yaml")
    options = {key: cfg[key] for key in ("cpus_per_task", "signal_delay_s", "array_parallelism")}
    script = _make_sbatch_string(
        command="train", folder=tmp_path, map_count=3, time=cfg.timeout_min, setup=list(cfg.setup),
        additional_parameters=dict(cfg.additional_parameters), **options,
    ).splitlines()  # fmt: skip
    for line in ("--requeue", "--signal=USR2@120", "--time=240", "--cpus-per-task=4", "--array=0-2%3"):
        assert f"#SBATCH {line}" in script
    threads = script.index('test "$OMP_NUM_THREADS" || export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK')
    assert threads < script.index("export SUBMITIT_EXECUTOR=slurm")
