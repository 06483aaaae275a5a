"""Refuse options of Lightning's Trainer that do not work in this framework, and name the option to use instead."""

from typing import Any

from omegaconf import DictConfig

from bus_lightning.core.errors import UserError

_SMALLEST_FLOAT16 = 6e-8
# Option -> allowed values, and why no others are allowed.
_ONLY: dict[str, tuple[tuple[Any, ...], str]] = {
    "max_steps": ((-1,), "the length of a run is counted in epochs: use trainer.max_epochs"),
    "max_time": ((), "a run that ends by the clock is not reproducible: use trainer.max_epochs; an interrupted run "
                     "continues with the same command"),
    "fast_dev_run": ((False,), "it keeps no weights that could be tested: use debug=fast"),
    "val_check_interval": ((1.0,), "an epoch is validated once, at its end, so that its row in history.csv and its "
                           "weights belong together; to validate less often: +trainer.check_val_every_n_epoch=2"),
    "callbacks": ((), "it would be ignored: use +callbacks.NAME._target_=CLASS"),
    "logger": ((), "it would be ignored: use logger=csv, tensorboard, wandb or none"),
    "plugins": ((), "it would be ignored: the framework sets its own for checkpoints and processes"),
    "enable_checkpointing": ((True,), "a run is tested with the weights that it has kept: leave it out"),
    "barebones": ((False,), "it keeps no weights that could be tested: use debug=profile to see where the time goes"),
}  # fmt: skip


def check_trainer(trainer: DictConfig, optimizer: DictConfig) -> None:
    """Refuse options of the Trainer with which a run would fail, or have no result, after its training.

    Raises:
        UserError: One line that names the option and the cure.
    """
    for name, (allowed, why) in _ONLY.items():
        value = trainer.get(name)
        if value is not None and not any(value == each and type(value) is type(each) for each in allowed):
            raise UserError(f"trainer.{name}={value}: {why}.")
    every = trainer.get("check_val_every_n_epoch", 1)
    if not isinstance(every, int) or not 1 <= every <= trainer.max_epochs:
        raise UserError(
            f"trainer.check_val_every_n_epoch={every}: with trainer.max_epochs={trainer.max_epochs} no epoch would be "
            f"validated: give a number from 1 to {trainer.max_epochs}."
        )
    is_adam = "Adam" in str(optimizer.get("_target_"))
    if trainer.precision == "16-true" and is_adam and optimizer.get("eps", 1e-8) < _SMALLEST_FLOAT16:
        raise UserError(
            "trainer.precision=16-true: float16 rounds Adam's eps to 0, and the weights would become NaN: use "
            "16-mixed, bf16-true, or +optimizer.eps=1e-4."
        )
    if str(trainer.precision).startswith("transformer-engine"):
        raise UserError(
            f"trainer.precision={trainer.precision}: the networks have no layers for it: use bf16-mixed, the fastest "
            "precision that all of them support."
        )
