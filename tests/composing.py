"""Compose the config of a run as `train.py` does, for small networks and without progress bars."""

import functools
from copy import deepcopy
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from bus_lightning.config.run_names import run_name

ROOT = Path(__file__).parent.parent


def compose_run(overrides, root, cache, runs):
    cfg = deepcopy(_compose(f"data.root={root}", f"data.cache={cache}", *overrides))
    if not any(override.startswith("runs_dir=") for override in overrides):
        cfg.runs_dir = str(runs)
    cfg.name = cfg.name or run_name(cfg.model.name, overrides)
    return cfg


@functools.cache  # Hydra takes a tenth of a second, and most tests ask for one of a few configs
def _compose(*overrides):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        fixed = ["logger=none", "debug_size=true", "callbacks.progress=null", "trainer.enable_progress_bar=false",
                 "data.size=64", "trainer.max_epochs=1"]  # fmt: skip
        return compose("train", overrides=[*fixed, *overrides])
