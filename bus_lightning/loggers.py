"""The Weights & Biases logger, which needs more than a `_target_`: a mode and an id that outlives an interruption."""

import os
import uuid
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.loggers import WandbLogger


def wandb_logger(save_dir: str, **options: Any) -> WandbLogger:
    """Open the W&B run of a job, or go on with the one that its folder names.

    Args:
        save_dir: The run's folder.
        options: project, name, group, job_type, entity, tags, notes.
    """
    id_file = Path(save_dir) / "wandb_id.txt"
    if not id_file.is_file():
        id_file.write_text(uuid.uuid4().hex[:8])
    mode = wandb_mode()
    settings = wandb.Settings(silent=mode != "online")  # online, it prints the run's address
    # Not `offline=True`: it would set WANDB_MODE for every later job of this process.
    return WandbLogger(save_dir=save_dir, id=id_file.read_text(), resume="allow", mode=mode, settings=settings,
                       log_model=False, **options)  # fmt: skip


def wandb_mode() -> str:
    """Decide how W&B runs: `WANDB_MODE`, else online for a user who is logged in, else offline without a question."""
    return os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False, verify=False) else "offline")
