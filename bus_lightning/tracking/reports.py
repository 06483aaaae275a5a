"""Send the tables and figures of a report to Weights & Biases."""

import tempfile
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import wandb
from omegaconf import DictConfig

from bus_lightning.runs.folder import RunDir
from bus_lightning.tracking.links import link_to_run, report_id
from bus_lightning.tracking.privacy import may_name_images
from bus_lightning.tracking.settings import wandb_mode, wandb_settings


def send_report(group: Path, runs: list[tuple[RunDir, DictConfig]], items: Iterable[Any]) -> None:
    """Send tables and figures to the W&B project of the runs, with a link to each run; a later report replaces them.

    If a run has `logger.wandb.image_names=false`, tables and figures that name images are not sent.

    Args:
        group: Folder of the runs.
        runs: The runs that were logged to W&B, with their configs; the first names project and entity.
        items: Tables with `slug`, `frame` and `names_images`; figures with `slug`, `caption`, `names_images`, and the
            file that the page shows: `media_type` and `content`. Other items are not sent.
    """
    first, mode = runs[0][1], wandb_mode()
    node, with_names = first.logger.wandb, all(may_name_images(config) for _, config in runs)
    with (
        tempfile.TemporaryDirectory() as scratch,
        wandb.init(
            project=node.get("project"),
            entity=node.get("entity"),
            group=first.group,
            job_type="report",
            name=f"report-{group.name}",
            id=report_id(group.name),
            resume="allow",
            dir=str(group),
            settings=wandb_settings(mode),
            mode=mode,  # type: ignore[arg-type]  # what WANDB_MODE says
        ) as run,
    ):
        links = [
            [folder.path.name, config.model.name, link_to_run(run, folder, config.logger.wandb.get("project"))]
            for folder, config in runs
        ]
        shown: dict[str, Any] = {"runs": wandb.Table(columns=["run", "model", "link"], data=links)}
        for item in items:
            if getattr(item, "names_images", False) and not with_names:
                continue
            if hasattr(item, "frame"):
                shown[f"tables/{item.slug}"] = wandb.Table(dataframe=item.frame.astype(str))
            elif hasattr(item, "content"):
                shown[f"figures/{item.slug}"] = _picture(item, Path(scratch) / f"{item.slug}.png")
        run.log(shown)  # in one step


def _picture(item: Any, file: Path) -> wandb.Image | wandb.Html:
    """Show a figure on W&B by the file that the page shows, so that it need not be drawn again.

    Args:
        item: The figure.
        file: Where a PNG is written, which W&B reads; an SVG becomes HTML, because W&B shows no SVG as an image.
    """
    if item.media_type == "image/png":
        file.write_bytes(item.content)
        return wandb.Image(str(file), caption=item.caption)
    _, tag, rest = item.content.decode().partition("<svg ")  # without the lines of XML before it
    html = f"<figure>{tag}{rest}<figcaption>{escape(item.caption)}</figcaption></figure>"
    return wandb.Html(html, inject=False, data_is_not_path=True)
