"""The W&B run of a job: its name and id, its files, what it may record of this machine, and how it ends."""

import logging
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb
import wandb.apis.public  # `wandb.init` imports it: see `_import_loggers` in training/train.py
from lightning.pytorch.loggers import WandbLogger
from torch import nn

from bus_lightning.config.stored import load_config
from bus_lightning.core.errors import UserError
from bus_lightning.core.files import write_aside
from bus_lightning.core.folders_in_texts import without_folders
from bus_lightning.core.reading import read_text
from bus_lightning.core.workarounds import without_anonymous
from bus_lightning.runs.folder import RunDir
from bus_lightning.tracking.privacy import may_name_images
from bus_lightning.tracking.settings import record_offline, wandb_mode, wandb_settings

log = logging.getLogger(__name__)
_PACKAGE = "bus_lightning"  # its loggers: W&B shows their lines as the run's log


class RunLogger(WandbLogger):
    """Log a row per epoch, with `epoch` as the x-axis; evaluations after the training add no row.

    The step of a row is its epoch, so the recordings of a run that was interrupted and resumed fit together in any
    mode, and W&B drops an epoch that comes a second time.

    Args:
        watch: gradients, parameters or all: log histograms of these; None logs none.
        image_names: Whether the names of image files may go to W&B.
        options: Options of `WandbLogger`.
    """

    def __init__(self, watch: str | None = None, image_names: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.image_names = image_names
        without_anonymous(self._wandb_init)
        self.watched = watch
        self._trained = False

    @property
    def experiment(self) -> Any:
        """Return the W&B run, opened on first use; offline if W&B cannot be reached."""
        if self._experiment is None:
            try:
                run = super().experiment
            except wandb.errors.UsageError as error:
                raise UserError(f"logger=wandb: {' '.join(str(error).split())} Or set WANDB_MODE=offline.") from error
            except wandb.errors.CommError as error:
                reason = str(error).partition("\n")[0]
                log.warning("W&B does not respond (%s): recording offline; `python -m bus_lightning.tracking sync` "
                            "sends it later.", reason)  # fmt: skip
                record_offline()
                self._wandb_init["mode"] = "offline"
                self._wandb_init["settings"].silent = True
                wandb.teardown()  # the failed attempt holds the run's id
                run = super().experiment
            run.define_metric("epoch")
            run.define_metric("*", step_metric="epoch", overwrite=True)
            for handler in logging.getLogger(_PACKAGE).handlers:  # W&B's own, which sends these lines
                handler.setFormatter(_WithoutFolders("%(levelname)s %(message)s"))
        return self._experiment

    def log_hyperparams(self, params: Any) -> None:
        """Record the config, without the folders of this machine."""
        super().log_hyperparams(without_folders(params))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add to the row of the epoch that `metrics` names, unless that row has been sent."""
        epoch = int(metrics["epoch"]) if "epoch" in metrics else None
        if self._trained or (epoch is not None and epoch < self.experiment.step):
            return
        self.experiment.log(dict(metrics) | ({} if step is None else {"trainer/global_step": step}), step=epoch)

    def log_graph(self, model: nn.Module, input_array: Any = None) -> None:
        """Watch the network if `watch` is set; Lightning calls this before training."""
        if self.watched and not self._trained:
            # idx: W&B counts networks over all jobs of a process.
            self.experiment.watch(model.net, log=self.watched, log_freq=20, idx=0, log_graph=False)

    def finalize(self, status: str) -> None:
        """Remember that the training is over: from now on Lightning evaluates the kept checkpoint."""
        super().finalize(status)
        self._trained = True

    def send_results(self, *results: Any) -> None:
        """Send the results of the run (see `training.tracker.Tracker`)."""
        from bus_lightning.tracking.results import send_results  # which needs more than a logger does

        send_results([self], *results)

    def finish(self, run: RunDir, exit_code: int) -> None:
        """End the W&B run (see `training.tracker.Tracker`)."""
        finish_run(run, exit_code)


def wandb_logger(save_dir: str, image_names: bool = True, **options: Any) -> RunLogger:
    """Make the logger of a job; the id in the run's folder continues an interrupted W&B run.

    Args:
        save_dir: The run's folder.
        image_names: Whether the names of image files may go to W&B; if not, the log is not sent either.
        options: project, name, group, job_type, entity, tags, notes, watch. Numbers are converted to text.
    """
    run = RunDir(Path(save_dir))
    id_file = run.path / "wandb_id.txt"
    if not id_file.is_file():
        chosen = os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None  # by W&B's agent
        write_aside(id_file, chosen or uuid.uuid4().hex[:8])
    status, mode = run.status, wandb_mode()
    captured = {_PACKAGE: "INFO"} if image_names else {}
    settings = wandb_settings(mode, git_commit=status.get("commit"), capture_loggers=captured)
    options = {key: value if value is None or isinstance(value, list) else str(value) for key, value in options.items()}
    options["tags"] = [str(tag) for tag in options.get("tags") or []]
    config: dict[str, Any] = {key: status.get(key) for key in ("commit", "dirty", "versions")}
    config["hashes"] = {key: status.get(key) for key in ("data", "split")}
    # Not `offline=True`: it would set WANDB_MODE for every later job of this process.
    return RunLogger(save_dir=save_dir, id=read_text(id_file, 1000), resume="allow", mode=mode, settings=settings,
                     config=config, log_model=False, image_names=image_names, **options)  # fmt: skip


def finish_run(run: RunDir, exit_code: int) -> None:
    """End the W&B run of this process, if it has one; exit code 0 is finished, 255 killed, others failed."""
    if wandb.run is None:
        return
    try:
        status = run.status
        # None replaces the error of an earlier attempt. The message may name an image.
        error = status.get("error") if _may_name_images(run) else status.get("kind")
        wandb.run.summary.update(without_folders({"seconds": status.get("seconds"), "error": error}))
    except Exception as error:  # the run's own record is complete without W&B
        log.warning("%s: the end of the run could not be sent to W&B: %s", run.path, error)
    finally:
        wandb.finish(exit_code=exit_code)


def _may_name_images(run: RunDir) -> bool:
    try:
        return may_name_images(load_config(run.config))
    except UserError:  # the config cannot be read: be careful
        return False


class _WithoutFolders(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text: str = without_folders(super().format(record))
        return text
