"""Compose the config group `data` alone, for commands that look at data and train nothing."""

from collections.abc import Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from bus_lightning.config import CONF
from bus_lightning.config.complaints import describe, is_complaint
from bus_lightning.config.data_sets import refuse_unread, with_tested_sets
from bus_lightning.config.schema import TRAIN, check_kinds
from bus_lightning.core.errors import UserError

_KINDS = {key: kind for key, kind in TRAIN.items() if key.startswith("data.")}


def compose_data(overrides: Sequence[str]) -> dict[str, Any]:
    """Compose the config group `data` as `train.py` does, with the sets that `data.test` names, in plain values.

    Args:
        overrides: Such as `data=bus_bra` and `data.root=/data/BUSBRA`.

    Returns:
        Key -> value; `???` for a key that has none.

    Raises:
        UserError: If an override is wrong, in one line.
    """
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("train", overrides=list(overrides))
        data: Any = OmegaConf.to_container(with_tested_sets(check_kinds(cfg, _KINDS)).data, resolve=True)
        refuse_unread(data)
    except Exception as error:
        if not is_complaint(error):
            raise
        raise UserError(describe(error)) from error
    return {str(key): value for key, value in data.items()}
