"""One stage of the work on a data folder, or on a grid's run folders, in a fresh process: seconds."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from bus_lightning.data.audit import cached_audit
from bus_lightning.data.index import read_index
from bus_lightning.data.prepare import prepare_data
from bus_lightning.data.sources.folder import read as read_folder
from bus_lightning.runs.table import collect, show

SIZE = 64


def config(folder: Path) -> DictConfig:
    """Compose the config of a small run on the folder; its cache lies next to it."""
    from benchmarks.bare import composed  # with torch, whose memory is not to count for what needs none

    return composed("model=resnet34", "data=folder", f"data.root={folder}", f"data.size={SIZE}",
                    f"data.cache={folder.with_name('cache')}")  # fmt: skip


def index(folder: Path) -> Callable[[], object]:
    """List the images."""
    return lambda: read_index(folder)


def audit(folder: Path) -> Callable[[], object]:
    """Decode every file and look for duplicates; the findings are kept for the stages that follow."""
    return lambda: cached_audit(folder, read_folder(folder, {}), folder.with_name("cache"))


def split(folder: Path) -> Callable[[], object]:
    """Split the images with their groups kept whole."""
    cfg = config(folder)
    prepared = prepare_data(cfg.data, needs_masks=True)
    return lambda: prepared.split(cfg.data.split)


def epochs(folder: Path) -> Callable[[], object]:
    """Make the cache on disk and serve every training image twice, each time as a new run does."""
    from benchmarks.probes.epochs import datamodule_of, epoch_of

    cfg = config(folder)
    return lambda: [sum(1 for _ in epoch_of(datamodule_of(cfg))) for _ in range(2)]


def metrics(folder: Path) -> Callable[[], object]:
    """Compute the metrics of as many cases as the folder has images."""
    from bus_lightning.metrics.per_case import metrics_of

    frame, rng = read_index(folder), np.random.default_rng(0)
    classes = sorted(set(frame["class"]))
    probabilities = pd.DataFrame(rng.dirichlet([1.0] * len(classes), len(frame)), columns=classes)
    cases = pd.concat([frame[["id"]], frame["class"].rename("label"), probabilities.add_prefix("prob_")], axis=1)
    return lambda: metrics_of(cases)


def runs(folder: Path) -> Callable[[], object]:
    """Collect and show the table of a grid."""
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    return lambda: show(collect(folders))


STAGES = {stage.__name__: stage for stage in (index, audit, split, epochs, metrics, runs)}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    work = STAGES[options.stage](options.folder)
    begin = time.perf_counter()
    work()
    print(json.dumps({"seconds": time.perf_counter() - begin}))


if __name__ == "__main__":
    main()
