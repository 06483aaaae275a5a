"""What a run leaves of its cost."""

from types import SimpleNamespace

from omegaconf import OmegaConf

from bus_lightning.config.settle import with_images
from bus_lightning.config.trusted import Origin
from bus_lightning.runs.folder import RunDir


def costly(composed, tmp_path, model, *runs, **status):
    """Make a condition whose runs have only what the table of costs reads."""
    cfg = composed(f"model={model}", "data.size=224", f"debug_size={status.pop('debug', False)}")
    cfg = with_images(cfg, ["benign", "malignant", "normal"], [])
    OmegaConf.resolve(cfg)
    folders = []
    for number, run in enumerate(runs):
        folder = RunDir(tmp_path / f"{model}_{number}")
        folder.path.mkdir(parents=True)
        folder.update_status(**{"device": "GPU", "precision": "bf16-mixed", "epochs": 10} | status | run)
        folders.append(folder)
    return SimpleNamespace(model=model, task=cfg.task.name, config=cfg, runs=folders, origin=Origin(folders[0].config),
                           is_ensemble=False)  # fmt: skip
