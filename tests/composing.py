"""Compose the config of a run as `train.py` does, for small networks and without progress bars."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from bus_lightning.config.run_names import run_name

ROOT = Path(__file__).parent.parent


def compose_run(overrides, root, cache, runs):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        said = [f"data.root={root}", f"data.cache={cache}", f"runs_dir={runs}", "logger=none", "debug_size=true",
                "callbacks.progress=null", "trainer.enable_progress_bar=false", "data.size=64", "trainer.max_epochs=1",
                *overrides]  # fmt: skip
        cfg = compose("train", overrides=said)
    cfg.name = cfg.name or run_name(cfg.model.name, overrides)
    return cfg
