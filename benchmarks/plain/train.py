"""Train as a typical project does: `python -m benchmarks.plain.train -m model=resnet34,u2net_lite`."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import hydra
import lightning.pytorch as pl
import torch
from hydra.utils import instantiate
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Subset, random_split
from torchmetrics import Metric

from benchmarks.plain.dataset import UltrasoundDataset


class Module(pl.LightningModule):
    """A network with a loss and a metric.

    Args:
        net: Images to logits.
        loss: Logits and target to a scalar.
        metric: Of logits and target.
        optimizer: Parameters to optimizer.
    """

    def __init__(
        self, net: nn.Module, loss: nn.Module, metric: Metric, optimizer: Callable[[Iterable[Tensor]], Optimizer]
    ) -> None:
        super().__init__()
        self.net, self.loss, self.make_optimizer = net, loss, optimizer
        self.metrics = nn.ModuleDict({stage: metric.clone() for stage in ("fit", "val", "test")})

    def _step(self, stage: str, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, target = batch
        logits = self.net(images)
        loss: Tensor = self.loss(logits, target)
        self.metrics[stage](logits, target.int())
        self.log(f"{stage}/loss", loss, on_epoch=True, on_step=False, prog_bar=True)
        self.log(f"{stage}/score", self.metrics[stage], on_epoch=True, on_step=False, prog_bar=True)
        return loss

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Train on a batch."""
        return self._step("fit", batch)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Validate on a batch."""
        self._step("val", batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Test on a batch."""
        self._step("test", batch)

    def configure_optimizers(self) -> Optimizer:
        """Build the optimizer."""
        return self.make_optimizer(self.parameters())


def loaders(cfg: DictConfig) -> list[DataLoader[tuple[Tensor, Tensor]]]:
    """Split and serve train, validation and test; only training images are augmented."""
    sets = [
        UltrasoundDataset(cfg.data_root, list(cfg.classes), cfg.size, augment, cfg.task == "segmentation")
        for augment in (True, False, False)
    ]
    shares = [part / sum(cfg.ratio) for part in cfg.ratio]
    generator = torch.Generator().manual_seed(cfg.seed)
    parts = [part.indices for part in random_split(sets[0], shares, generator)]
    if cfg.split:
        chosen = json.loads(Path(cfg.split).read_text())
        positions = {f"{path.parent.name}/{path.stem}": number for number, (path, _) in enumerate(sets[0].samples)}
        parts = [[positions[id_] for id_ in chosen[part]] for part in ("train", "val", "test")]
    return [
        DataLoader(Subset(images, part), cfg.batch_size, shuffle=number == 0, num_workers=cfg.num_workers)
        for number, (images, part) in enumerate(zip(sets, parts, strict=True))
    ]


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    """Train, validate and test one model."""
    pl.seed_everything(cfg.seed)
    train, val, test = loaders(cfg)
    module = Module(instantiate(cfg.net), instantiate(cfg.loss), instantiate(cfg.metric), instantiate(cfg.optimizer))
    callbacks = [instantiate(callback) for callback in cfg.callbacks.values()]
    callbacks.append(ModelCheckpoint(f"{cfg.output_dir}/checkpoints", monitor="val/score", mode="max"))
    trainer = instantiate(cfg.trainer, callbacks=callbacks, logger=CSVLogger(cfg.output_dir))
    trainer.fit(module, train, val)
    trainer.test(module, test, ckpt_path="best")


if __name__ == "__main__":
    main()
