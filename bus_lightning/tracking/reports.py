"""Send the tables and figures of a report to Weights & Biases."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import wandb
from omegaconf import DictConfig

from bus_lightning.tracking.privacy import may_name_images
from bus_lightning.tracking.settings import wandb_mode, wandb_settings


def send_report(group: Path, configs: list[DictConfig], items: Iterable[Any]) -> None:
    """Send tables and figures to the W&B project of the runs.

    If a run has `logger.wandb.image_names=false`, tables and figures that name images are not sent.

    Args:
        group: Folder of the runs.
        configs: Configs of the runs that were logged to W&B; the first names project and entity.
        items: Tables with `slug`, `frame` and `names_images`; figures with `slug`, `figure`, `caption` and
            `names_images`. Other items are not sent.
    """
    node, mode = configs[0].logger.wandb, wandb_mode()
    with_names = all(map(may_name_images, configs))
    with (
        tempfile.TemporaryDirectory() as folder,
        wandb.init(
            project=node.get("project"),
            entity=node.get("entity"),
            group=configs[0].group,
            job_type="report",
            name=f"report-{group.name}",
            dir=str(group),
            settings=wandb_settings(mode),
            mode=mode,  # type: ignore[arg-type]  # what WANDB_MODE says
        ) as run,
    ):
        shown: dict[str, Any] = {}
        for item in items:
            if getattr(item, "names_images", False) and not with_names:
                continue
            if hasattr(item, "frame"):
                shown[f"tables/{item.slug}"] = wandb.Table(dataframe=item.frame.astype(str))
            elif hasattr(item, "figure"):
                file = Path(folder) / f"{item.slug}.png"
                item.figure.savefig(file, dpi=150)
                shown[f"figures/{item.slug}"] = wandb.Image(str(file), caption=item.caption)
        run.log(shown)  # in one step
