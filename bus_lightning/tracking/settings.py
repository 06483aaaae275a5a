"""How this program uses Weights & Biases: the mode, and what W&B may record. Without Lightning, which takes seconds."""

import os
from typing import Any

import wandb

from bus_lightning.core.errors import UserError
from bus_lightning.core.workarounds import skip_launch_inputs

_MODES = ("online", "offline", "disabled", "shared")
_unreachable = False  # whether W&B did not respond to this process: its later jobs do not wait again

skip_launch_inputs()  # here, because each call of `wandb.init` needs the settings


def record_offline() -> None:
    """Record offline for the rest of this process, because W&B does not respond."""
    global _unreachable
    _unreachable = True


def wandb_settings(mode: str, **more: Any) -> wandb.Settings:
    """Return W&B's settings for a mode: what it prints, how long it waits, what it may record of this machine."""
    return wandb.Settings(
        silent=mode != "online",  # online, W&B prints the run's address
        init_timeout=30,
        allow_val_change=True,  # of the config: a run may be resumed with a newer commit
        console="off",  # progress bars, and warnings with paths of this machine
        host="",
        disable_git=True,  # it would name the remote, which may be a folder; the commit is in the config
        x_disable_meta=True,  # command line, user's folders, host; the config has what matters
        x_save_requirements=False,
        x_transaction_log_flush_interval=1.0,  # seconds, which a kill may lose
        **more,
    )


def wandb_mode() -> str:
    """Choose the mode of W&B: `WANDB_MODE`, else online if the user is logged in, else offline without a prompt.

    Raises:
        UserError: If `WANDB_MODE` is not a mode of W&B.
    """
    for name in [name for name, value in os.environ.items() if name.startswith("WANDB_") and not value.strip()]:
        del os.environ[name]  # an empty variable counts as unset; W&B itself would refuse it
    if (requested := os.environ.get("WANDB_MODE", _MODES[0])) not in _MODES:
        raise UserError(f"WANDB_MODE={requested} is not a mode: give one of {', '.join(_MODES)}, or unset it.")
    mode = os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False, verify=False) else "offline")
    return "offline" if _unreachable and mode == "online" else mode
