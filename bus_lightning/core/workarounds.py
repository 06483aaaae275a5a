"""Workarounds for libraries: one function each, with a link to the cause and when it can be removed.

Importing this module imports none of the libraries.
"""

import logging
import multiprocessing
import signal
import sys
import warnings
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import lightning.pytorch as pl

# Lightning warns of what is meant here. Message -> why it does not apply.
_LIGHTNING_WARNINGS = {
    r".*LeafSpec.* is deprecated": "https://github.com/Lightning-AI/pytorch-lightning/issues/21326; 2.6.6 has it still",
    r".*does not have many workers": "the images are in memory",
    r"Checkpoint directory .* is not empty": "a run is resumed in its folder",
    r".*smaller than the logging interval": "epochs are logged, not only steps",
    r"The `srun` command is available": "submitit starts the job, not srun",
    r"You're resuming from a checkpoint that ended before the epoch ended": "the data module skips the used batches",
    r"It is recommended to use `self.log\(.*, sync_dist=True\)`": "the values are the same in all processes already",
}


def quiet_lightning() -> None:
    """Silence Lightning's tips and the warnings that do not apply, and let its lines go through our handlers alone.

    Source: `lightning/pytorch/__init__.py` of lightning 2.6 adds its own handler. Stays.
    """
    logging.getLogger("lightning.pytorch").handlers.clear()
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)  # debug=profile prints its table there
    for message in _LIGHTNING_WARNINGS:
        warnings.filterwarnings("ignore", message=message)


def quiet_alembic() -> None:
    """Silence the lines that alembic logs at its import.

    Source: `monai/apps/auto3dseg/hpo_gen.py` of MONAI 1.6 imports Optuna if it is installed, and this alembic. It can
    go with a MONAI whose metrics import neither.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)


def keep_signals_from_lightning(trainer: "pl.Trainer") -> None:
    """Keep a Trainer from handling signals.

    Its handler of SIGTERM waits for other processes from within the handler, and ends the training unsaved.

    Upstream: https://github.com/Lightning-AI/pytorch-lightning/issues/21406, open. It can go with a Lightning whose
    handlers only set a flag (https://github.com/Lightning-AI/pytorch-lightning/pull/21407).
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


def plain_environment() -> Any:
    """Make the plugin that keeps Lightning from detecting Slurm, where it would queue jobs again by itself.

    Upstream: https://github.com/Lightning-AI/pytorch-lightning/issues/6389. Stays.
    """
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment

    return LightningEnvironment()


def convert_before_loading(trainer: "pl.Trainer", module: "pl.LightningModule") -> None:
    """Convert a module to the Trainer's precision before a checkpoint is loaded into it.

    Lightning converts when the weights are loaded already, which rounds those of `64-true`.

    Source: `Strategy.setup` in `lightning/pytorch/strategies/strategy.py` of lightning 2.6. It can go with a Lightning
    that converts before `_restore_modules_and_callbacks`.
    """
    trainer.precision_plugin.convert_module(module)


def reset_determinism(deterministic: Any) -> None:
    """Choose deterministic algorithms for the next Trainer; without a choice, Lightning keeps that of the last job.

    Source: `accelerator_connector.py` of lightning 2.6, which leaves torch as it is for `deterministic=None`.

    Args:
        deterministic: `trainer.deterministic`.
    """
    import torch

    torch.use_deterministic_algorithms(bool(deterministic))


def share_config_store() -> None:
    """Let Hydra share its store of configs; it copies the whole store for each job and each group of `--help`.

    Upstream: https://github.com/hydra-ecosystem/hydra/pull/2928, merged, and not in hydra-core 1.3.8. It can go with a
    release that has it.
    """
    from hydra.core.config_store import ConfigStore

    # What Hydra takes from the store it copies anyway.
    ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]


def raise_errors_of_jobs() -> None:
    """Let Hydra raise the error of a job as it is, without a line that lists all overrides.

    Source: `JobReturn` in `hydra/core/utils.py` of hydra-core 1.3, since
    https://github.com/hydra-ecosystem/hydra/pull/1465. Stays.
    """
    from hydra.core.utils import JobReturn, JobStatus

    def value_of(job: JobReturn) -> Any:
        if job.status == JobStatus.COMPLETED:
            return job._return_value
        raise job._return_value

    JobReturn.return_value = property(value_of, JobReturn.return_value.fset)  # type: ignore[assignment, attr-defined]


def loky_pids(backend: Any) -> list[int]:
    """List the processes of a joblib backend, which it does not name.

    Upstream: joblib kills them without a signal before, https://github.com/joblib/joblib/issues/181, open.

    Args:
        backend: A `LokyBackend`.
    """
    return list(backend._workers._processes)


def reset_start_method() -> None:
    """Let a worker of joblib start processes that read data: loky's start method serves only its own workers.

    Source: `loky/backend/context.py` in joblib 1.6.
    """
    multiprocessing.set_start_method(None, force=True)


def start_ray(options: dict[str, Any]) -> None:
    """Start Ray, or join its cluster, before Hydra's plugin does, and keep our handler of SIGTERM: Ray's aborts.

    Upstream: https://github.com/ray-project/ray/issues/17308, closed, and
    https://github.com/ray-project/ray/pull/39482, with which `ray.init` sets the handler.

    Args:
        options: Of `ray.init`.
    """
    stop = signal.getsignal(signal.SIGTERM)
    with suppress(ImportError, ConnectionError):  # the plugin says what is missing
        import_module("hydra_plugins.hydra_ray_launcher.ray_launcher")
        import_module("ray").init(**options)
    signal.signal(signal.SIGTERM, stop)


def without_anonymous(options: dict[str, Any]) -> None:
    """Remove an option that Lightning passes to `wandb.init`, which warns that it has no effect.

    Upstream: https://github.com/wandb/wandb/pull/10909. It can go with a Lightning that does not pass it.
    """
    del options["anonymous"]


def skip_launch_inputs() -> None:
    """Let `wandb.init` look for inputs of W&B Launch only if Launch is imported, without which none can be staged.

    Otherwise it imports all of Launch, which takes longer than the rest of the call. A W&B without the method stays as
    it is. Source: `_detect_and_apply_job_inputs` in `wandb/sdk/wandb_run.py` of wandb 0.31. It can go when W&B looks
    for the inputs without the import.
    """
    run: Any = import_module("wandb").Run
    apply = getattr(run, "_detect_and_apply_job_inputs", None)
    if apply is None:
        return

    def apply_if_staged(self: Any) -> None:
        if "wandb.sdk.launch" in sys.modules:
            apply(self)

    run._detect_and_apply_job_inputs = apply_if_staged


def decode_run_lengths(code: Any) -> Any:
    """Decode a mask of pycocotools without the warning that its arrays lack an argument of NumPy 2.

    Source: `__array__` in `pycocotools/_mask.pyx` of pycocotools 2.0.11. It can go with a release that takes `copy`.

    Args:
        code: Run lengths, as `pycocotools.mask.merge` returns them.

    Returns:
        (H, W) uint8 in {0, 1}.
    """
    codec = import_module("pycocotools.mask")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy keyword", DeprecationWarning)
        return codec.decode(code)


def member_of_sheet(sheet: Any) -> str:
    """Return the member of an XLSX that holds a sheet, to find the merged cells, which openpyxl leaves out.

    Source: `openpyxl/worksheet/_read_only.py` of openpyxl 3.1.5 reads no `mergeCells`. It can go with a release whose
    read-only sheets have `merged_cells`.

    Args:
        sheet: A sheet of a workbook that is opened with `read_only=True`.
    """
    return str(sheet._worksheet_path)
