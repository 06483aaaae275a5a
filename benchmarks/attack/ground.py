"""What an attack starts from: synthetic images, two small finished runs, their bundle and their cache."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import run, say

_PHANTOMS = 60  # images, few, and yet some of each class in each part of the split
# Networks of a few kilobytes, which learn nothing: what is attacked does not depend on the weights.
_SMALL = ("+model.net.layers=[1,1,1,1]", "+model.net.channels=[4,4,8,8]", "+model.net.stem_type=deep",
          "+model.net.stem_width=2")  # fmt: skip
_NETS = {
    "segmenter": ("model=unet", "model.name=small_unet", "model.net.encoder_name=tu-resnet18",
                  "model.net.decoder_channels=[8,8,4,4,4]", *_SMALL),
    "classifier": ("model=efficientnet_lite0", "model.name=small_resnet", "model.weights=null",
                   "model.net.model_name=resnet18", *_SMALL),
}  # fmt: skip


@dataclass(frozen=True)
class Ground:
    """Where everything lies.

    Attributes:
        folder: The folder of the attack.
    """

    folder: Path

    @property
    def images(self) -> Path:
        """The data folder."""
        return self.folder / "images"

    @property
    def cache(self) -> Path:
        """The cache of the data folder."""
        return self.folder / "cache"

    @property
    def bundle(self) -> Path:
        """The intact bundle."""
        return self.folder / "bundle"

    @property
    def classifier(self) -> Path:
        """The intact run of a classifier."""
        return self.folder / "runs" / "intact" / "classifier"

    @property
    def segmenter(self) -> Path:
        """The intact run of a segmenter."""
        return self.folder / "runs" / "intact" / "segmenter"

    @property
    def training(self) -> list[str]:
        """The options of a small training on these images."""
        return ["data=phantom", f"data.phantom.images={_PHANTOMS}", f"data.root={self.images}", "data.size=64",
                "data.batch_size=8", "trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.precision=32-true",
                "channels_last=false", "logger=csv", "print_config=false", "callbacks.progress=null",
                "trainer.enable_progress_bar=false", f"runs_dir={self.folder / 'runs'}"]  # fmt: skip

    def net(self, name: str) -> tuple[str, ...]:
        """The options of one of the two networks."""
        return _NETS[name]

    def make(self) -> None:
        """Draw the images, train the two networks for an epoch, and export them, by the project's own commands."""
        for name in _NETS:
            say(f"training a small {name}")
            run(["python", "train.py", *self.training, *self.net(name), f"data.cache={self.cache}", "group=intact",
                 f"runs_dir={self.folder / 'runs'}", f"name={name}"])  # fmt: skip
        say("exporting both")
        run(["python", "-m", "bus_lightning.export", "--run", self.segmenter, self.classifier,
             "--out", self.bundle])  # fmt: skip
