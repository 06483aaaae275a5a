"""Open a finished run: one object for everything in its folder, each part read when it is first used.

For example::

    from bus_lightning.runs.finished import find_runs, open_run

    run = open_run("runs/demo/resnet50__experiment-demo")
    print(run.config.model.name, run.metrics["test"]["auroc_macro"])
    print(run.cases)  # a row per validation and test image
    print(run.predict("image.png").probabilities)  # of a new image
    net = run.network()  # a torch module with the kept weights

    for folder in find_runs("runs/demo/*"):
        print(folder.path, folder.is_complete)

`bus_lightning.runs.load` is the same as `open_run`. torch is imported only to build the network.
"""

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from bus_lightning.config.build import build_net
from bus_lightning.config.kinds import one_of
from bus_lightning.config.schema import TRAIN, check_kinds, fill_plain
from bus_lightning.config.stored import create_config, read_values
from bus_lightning.config.trusted import Origin
from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.files import is_there
from bus_lightning.data.audit import DEFAULT_CACHE
from bus_lightning.data.prepare import files_hash
from bus_lightning.data.preprocess import Overlay, Preprocessing
from bus_lightning.data.splits import Split, load_split
from bus_lightning.runs.cases import cases_of
from bus_lightning.runs.ensembles import Ensemble, read_ensemble
from bus_lightning.runs.folder import RunDir

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from bus_lightning.runs.prediction import Prediction, Predictor

_STORED = TRAIN | {"data.channels": one_of(1, 3, 4)}  # `settle` counts the channel of overlay.style=channel


@dataclass(frozen=True)
class FinishedRun:
    """A run as its folder describes it. Reading a damaged part raises a DamagedError that names the file.

    Attributes:
        folder: The paths of its files.
        config: Its resolved config.
        trusted: The user's own packages that its config may name.
    """

    folder: RunDir
    config: DictConfig
    trusted: tuple[str, ...] = ()

    @cached_property
    def split(self) -> Split:
        """The ids of each part."""
        return load_split(self.folder.split)

    @cached_property
    def status(self) -> dict[str, Any]:
        """The content of status.json: state, hashes, hardware, time."""
        return self.folder.status

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json: part -> metric -> value."""
        return self.folder.metrics

    @cached_property
    def cases(self) -> pd.DataFrame:
        """A row per validation and test image: `id`, `split`, `label`, `group`, probabilities or counts of pixels."""
        return cases_of(self.folder, self.config, self.split)

    @cached_property
    def ensemble(self) -> Ensemble | None:
        """The runs whose predictions these are the mean of; None for a run, which has a network."""
        return read_ensemble(self.folder)

    @cached_property
    def history(self) -> pd.DataFrame | None:
        """A row per epoch; None without `history.csv`, as of an ensemble."""
        return self.folder.read_history()

    @cached_property
    def predictor(self) -> "Predictor":
        """The network with its preprocessing, on the CPU; `predictor.to("cuda")` moves it."""
        from bus_lightning.runs.prediction import Predictor

        return Predictor(self)

    @property
    def task(self) -> str:
        """The task: classification, segmentation or joint."""
        return str(self.config.task.name)

    @property
    def classes(self) -> list[str]:
        """The classes in the order of the labels."""
        return list(self.config.data.classes)

    @property
    def origin(self) -> Origin:
        """Where the config was read from, which decides what may be built from it."""
        return Origin(self.folder.config, self.trusted)

    @property
    def files_hash(self) -> str:
        """Hash of the data folder's files, whichever of them the run used; empty if the run has not begun."""
        return files_hash(self.status.get("data"))

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing of its images."""
        options: Any = OmegaConf.to_container(self.config, resolve=True)
        try:
            return Preprocessing.of_config(options["data"], options["preprocess"])
        except (TypeError, KeyError, UserError) as error:
            raise DamagedError(self.folder.config, f"data or preprocess: {error}") from error

    @property
    def overlay(self) -> Overlay | None:
        """The overlay of its test images; None without one."""
        options: Any = OmegaConf.to_container(self.config.overlay, resolve=True)
        try:
            overlay = Overlay(**options | {"segmenters": None})  # a path of this machine
        except (TypeError, UserError) as error:
            raise DamagedError(self.folder.config, f"overlay: {error}") from error
        return overlay if overlay.applies_to("test") else None

    @property
    def least_score(self) -> float:
        """The least lesion score of its no-lesion rule; masks with a lower score are emptied."""
        rule = self.status.get("lesion_rule")
        if not rule or rule.get("least_score") is None:
            raise DamagedError(
                self.folder.status_file, "it lacks lesion_rule, which predict.no_lesion of the run needs"
            )
        return float(rule["least_score"])

    def require_complete(self) -> None:
        """Raise a UserError if the run is not complete."""
        if not self.folder.is_complete:
            state = self.status.get("state")
            if state == "complete":
                raise DamagedError(self.folder.metrics_file, "it is missing, although the run was complete")
            raise UserError(
                f"{self.folder.path} is not complete ({state or 'not started'}): finish its training first."
            )

    def network(self) -> "nn.Module":
        """Build the network with the kept weights, on the CPU, in evaluation mode.

        Raises:
            UserError: If this is an ensemble, the run has no checkpoint, the checkpoint does not fit, or the network is
                of a package that is neither a known library nor trusted.
        """
        from bus_lightning.models.weights import load_kept_weights

        if self.ensemble:
            first = self.ensemble.members[0].folder(self.folder).path
            raise UserError(
                f"{self.folder.path} is an ensemble of {len(self.ensemble.members)} networks and has none itself: open "
                f"the runs that `ensemble.members` names, such as {first}."
            )
        if not is_there(self.folder.best):
            raise UserError(
                f"{self.folder.path} has no checkpoints/best.ckpt: train it again, or copy its checkpoint back."
            )
        net: nn.Module = build_net(self.config.model, self.config.debug_size, self.origin)
        load_kept_weights(net, self.folder.best)
        return net.eval()

    def predict(self, image: "np.ndarray | Path | str", mask: "np.ndarray | None" = None) -> "Prediction":
        """Predict an image with the kept weights, as the evaluation of the run predicts a test image.

        The first call builds the network.

        Args:
            image: Path of a picture file, or (H, W) or (H, W, 3) uint8, grey or RGB.
            mask: The lesion, (H, W) bool, for a classifier whose input shows it; None for all other networks.

        Raises:
            UserError: If the run has no network (see `network`), the image or the mask cannot be used, or the true
                class is drawn into the images of the run.
        """
        return self.predictor.predict(image, mask)


def open_run(path: Path | str, complete: bool = True, trusted: Iterable[str] = ()) -> FinishedRun:
    """Open the folder of a run.

    Args:
        path: The folder, `runs/<group>/<name>`.
        complete: Whether to refuse a run that is not complete.
        trusted: Your own packages that its config may name, besides the known libraries; their code is run.

    Raises:
        UserError: If the folder is not a run's, or the run is not complete.
        DamagedError: If its config cannot be read.
    """
    folder = RunDir(Path(path))
    if not folder.is_run:
        why = "it has no config.yaml" if folder.path.is_dir() else "there is no such folder"
        inside = sorted(config.parent for config in folder.path.glob("[!.]*/config.yaml"))
        cure = f" Give one of the runs in it, such as {inside[0]}." if inside else ""
        raise UserError(f"{path} is not a run folder: {why}.{cure}")
    values = read_values(folder.config)
    is_fitting = fill_plain(values, _STORED)
    config = create_config(values, folder.config)
    try:
        if not is_fitting:
            config = check_kinds(config, _STORED, may_lack=True)
    except UserError as error:
        raise DamagedError(folder.config, f"it is not the config of a run ({error})") from error
    _make_no_folders_elsewhere(config)
    run = FinishedRun(folder, config, tuple(trusted))
    if complete:
        run.require_complete()
    return run


def _make_no_folders_elsewhere(config: DictConfig) -> None:
    """Let a run from elsewhere name no new folder outside of the working folder; in place.

    Its phantom images are not drawn there, and its cache is the usual one. Folders that exist are used.
    """

    def is_elsewhere(folder: str | None) -> bool:
        if folder is None:
            return False
        try:
            return not Path(folder).is_dir() and not Path(folder).resolve().is_relative_to(Path.cwd())
        except OSError:  # in a folder of another user, or with a name that no folder can have
            return True

    if is_elsewhere(config.data.root):
        config.data.phantom = None
    if is_elsewhere(config.data.cache):
        config.data.cache = str(DEFAULT_CACHE)


def find_runs(*patterns: str) -> list[RunDir]:
    """List the folders that match any of the patterns, sorted, each once, without those that were set aside.

    Args:
        patterns: As in a shell, such as `runs/demo/*`.
    """
    found = [path for pattern in patterns for path in glob.glob(pattern)]
    paths = sorted({Path(path).resolve(): path for path in reversed(found)}.values())  # by the first spelling
    return [folder for folder in map(RunDir, map(Path, paths)) if not folder.is_set_aside]
