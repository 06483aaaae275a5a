"""The user's own folder of configs, `--config-dir FOLDER`, next to ours."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from bus_lightning.config import CONF
from bus_lightning.core.errors import UserError


def check_user_configs(folder: Path) -> None:
    """Refuse a folder of configs without a file, or with a file that has the place of one of ours.

    Hydra would silently use our file.

    Raises:
        UserError: The folder or the file, and what to do.
    """
    if not folder.is_dir():
        raise UserError(f"--config-dir {folder}: there is no such folder.")
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.yaml"))
    if not files:
        raise UserError(f"--config-dir {folder} has no YAML file: write one, such as model/my_network.yaml.")
    for file in files:
        if (CONF / file).is_file():
            raise UserError(f"{folder / file} has the name of a file of bus_lightning, which would be used: rename it.")


def find_config_folders() -> list[Path]:
    """Return our folder of configs, and in a job that of `--config-dir`."""
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else []
    return [CONF, *(Path(source.path) for source in sources if source.provider == "command-line")]
