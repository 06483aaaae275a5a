"""A Hydra application with the project's config that does nothing: what Hydra itself costs."""

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="../../conf", config_name="train")
def main(cfg: DictConfig) -> None:
    """Do nothing."""


if __name__ == "__main__":
    main()
