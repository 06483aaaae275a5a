"""The pairs of networks that are measured, made into bundles by the project's own commands after two training steps."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contestants import limits
from benchmarks.processes import SCRATCH, run, say

FOLDER = SCRATCH / "diagnosis"
_PHANTOMS = 60  # drawn images, few, and yet some of each class in each part of the split


@dataclass(frozen=True)
class Net:
    """A network at the size of its input.

    Attributes:
        model: Its name in conf/model.
        size: Side of its input, in pixels.
    """

    model: str
    size: int

    @property
    def name(self) -> str:
        """What the tables call it."""
        return f"{self.model} at {self.size}"

    @property
    def run(self) -> Path:
        """Folder of its run."""
        return FOLDER / "runs" / "pairs" / f"{self.model}-{self.size}"


@dataclass(frozen=True)
class Pair:
    """A segmenter and a classifier that make a bundle.

    Attributes:
        name: What the tables call it.
        segmenter, classifier: The networks.
    """

    name: str
    segmenter: Net
    classifier: Net

    @property
    def bundle(self) -> Path:
        """Folder of the bundle."""
        return FOLDER / "bundles" / f"{self.segmenter.run.name}-{self.classifier.run.name}"


PAIRS = (
    Pair("paper's pair, 320", Net("u2net_lite", 320), Net("deepcardinal50", 224)),
    Pair("paper's pair, 256", Net("u2net_lite", 256), Net("deepcardinal50", 224)),
    Pair("small pair, 192", Net("unet_efficientnet_lite0", 192), Net("efficientnet_lite0", 192)),
)


def make_bundles(pairs: tuple[Pair, ...]) -> None:
    """Train every network for two steps and export the pairs; nothing is kept from before."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    for net in dict.fromkeys(net for pair in pairs for net in (pair.segmenter, pair.classifier)):
        say(f"two training steps of {net.name}")
        run(["python", "train.py", "data=phantom", f"data.phantom.images={_PHANTOMS}",
             f"data.root={FOLDER / 'phantom'}", f"data.cache={FOLDER / 'cache'}", f"data.size={net.size}",
             "data.batch_size=4", f"model={net.model}", "logger=none", *limits(2, 1, 1),
             f"runs_dir={FOLDER / 'runs'}", "group=pairs", f"name={net.run.name}"])  # fmt: skip
    for pair in pairs:
        say(f"exporting the {pair.name}")
        run(["python", "-m", "bus_lightning.export", "--run", pair.segmenter.run,
             pair.classifier.run, "--out", pair.bundle])  # fmt: skip
