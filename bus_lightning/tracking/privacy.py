"""What may leave the machine: the names of image files, if the config lets them."""

from omegaconf import DictConfig


def may_name_images(cfg: DictConfig) -> bool:
    """Say whether a run's config lets the names of image files go to W&B; that of older runs does."""
    return bool((cfg.logger.get("wandb") or {}).get("image_names", True))
