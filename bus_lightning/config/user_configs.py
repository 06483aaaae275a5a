"""The user's own folder of configs, `--config-dir FOLDER`, next to ours."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from bus_lightning.config import CONF
from bus_lightning.core.errors import UserError
from bus_lightning.core.reading import read_text

_PLACES = ("*.yaml", "*/*.yaml", "*/*/*.yaml")  # of our own files; `**` would not follow links


def check_user_configs(folder: Path) -> None:
    """Refuse a folder of configs without a file, or with a file that Hydra would not read.

    Hydra would silently use our file instead of one in its place, and reads no file that ends in `.yml`. As Hydra does,
    this follows links to folders.

    Raises:
        UserError: The folder or the file, and what to do.
    """
    if not folder.is_dir():
        raise UserError(f"--config-dir {folder}: there is no such folder.")
    files = [file for pattern in _PLACES for file in folder.glob(pattern) if not file.is_dir()]
    for file in files:
        read_text(file, cure="Save it as UTF-8")  # else Hydra does not name it
    for file in sorted(file for place in _PLACES for file in folder.glob(place.replace("yaml", "yml"))):
        group = file.parent.relative_to(folder)
        if not files or (group != Path() and (CONF / group).is_dir()):  # a project may hold other files at its top
            raise UserError(f"{file} would be ignored: rename it to {file.stem}.yaml.")
    if not files:
        raise UserError(f"--config-dir {folder} has no YAML file: write one, such as model/my_network.yaml.")
    for shipped in sorted(CONF.rglob("*.yaml")):
        if (file := folder / shipped.relative_to(CONF)).is_file():
            raise UserError(f"{file} has the name of a file of bus_lightning, which would be used: rename it.")


def find_config_folders(hydra: DictConfig | None = None) -> list[Path]:
    """Return our folder of configs, and that of `--config-dir`.

    Args:
        hydra: Hydra's own config, for a caller before the first job; None takes that of the job, if there is one.
    """
    chosen = HydraConfig.get() if hydra is None and HydraConfig.initialized() else hydra
    sources = [] if chosen is None else chosen.runtime.config_sources
    return [CONF, *(Path(source.path) for source in sources if source.provider == "command-line")]
