"""Predict single images with the kept weights of a run, as its evaluation predicts its test images."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from bus_lightning.core.errors import UserError
from bus_lightning.data.drawing import draw_overlay
from bus_lightning.data.given_arrays import check_image, check_mask, path_of
from bus_lightning.data.index import read_image
from bus_lightning.data.levels import Scale
from bus_lightning.data.normalisation import Normalisation
from bus_lightning.data.preprocess import prepare_new
from bus_lightning.models.averaging import average_over_flips
from bus_lightning.models.maps import lesion_scores, predicted_mask

if TYPE_CHECKING:
    from bus_lightning.runs.finished import FinishedRun

_TYPES = {"bf16": torch.bfloat16, "16": torch.float16, "64": torch.float64}  # by the beginning of Lightning's name


@dataclass(frozen=True)
class Prediction:
    """What the network of a run predicts for an image.

    Attributes:
        probabilities: Class -> probability; empty if the network does not classify.
        answer: The most likely class; None if the network does not classify.
        mask: (H, W) bool, the lesion, at the image's own resolution; None if the network has no outline.
        image: (H, W, 3) uint8 RGB, the image.
    """

    probabilities: dict[str, float]
    answer: str | None
    mask: np.ndarray | None = field(repr=False)
    image: np.ndarray = field(repr=False)

    def overlay(self) -> np.ndarray:
        """Return a copy of the image with the outline of the lesion, (H, W, 3) uint8 RGB."""
        return draw_overlay(self.image, self.mask)


class Predictor(nn.Module):
    """The network of a run with everything around it: preprocessing, precision, flips, the no-lesion rule.

    It is on the CPU; `to("cuda")` moves it. `FinishedRun.predict` uses it.

    Args:
        run: The run.

    Raises:
        UserError: If the run has no network that can be built, or the true class is drawn into its input.
    """

    def __init__(self, run: "FinishedRun") -> None:
        super().__init__()
        self.run, self.preprocessing, self.overlay = run, run.preprocessing, run.overlay
        if self.overlay and (self.overlay.style == "class_mark" or self.overlay.color_by_class):
            raise UserError(f"{run.folder.path}: the true class is drawn into its images: it predicts no new ones.")
        name, _, kind = str(run.status.get("precision")).partition("-")
        computed = _TYPES.get(name, torch.float32)
        is_mixed = computed in (torch.bfloat16, torch.float16) and kind != "true"
        self.autocast: torch.dtype | None = computed if is_mixed else None
        self.weights = torch.float32 if is_mixed else computed
        self.layout = torch.channels_last if run.status.get("channels_last") else torch.contiguous_format
        self.net = run.network().to(self.weights).to(memory_format=self.layout)
        data: Any = run.config.data
        self.normalise = Normalisation(list(data.mean), list(data.std), data.channels)
        self.scale = Scale(**run.status.get("scale") or {})
        self.flips = bool(run.config.predict.flips)
        self.least_score = 0.0 if run.config.predict.no_lesion is False else run.least_score
        self.eval()

    def train(self, mode: bool = True) -> "Predictor":
        """Stay in evaluation mode, also where `mode` asks for training: a predictor is not trained."""
        return super().train(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the logits of normalised images, without gradients.

        Args:
            images: (B, C, size, size) float32 on any device.

        Returns:
            `mask` (B, 1, size, size), `class` (B, K), or both: float32, on the CPU.
        """
        device = next(self.net.parameters()).device
        images = images.to(device, self.weights, memory_format=self.layout)
        precision: Any = torch.autocast(device.type, self.autocast) if self.autocast else nullcontext()
        with torch.inference_mode(), precision:
            logits = average_over_flips(self.net, images) if self.flips else self.net(images)
        heads = logits if isinstance(logits, tuple) else (logits,)
        names = {"segmentation": ("mask",), "classification": ("class",)}.get(self.run.task, ("mask", "class"))
        return {name: values.float().cpu() for name, values in zip(names, heads, strict=True)}

    def predict(self, image: np.ndarray | Path | str, mask: np.ndarray | None = None) -> Prediction:
        """Predict an image; see `FinishedRun.predict`."""
        pixels = self._read(image)
        checked_mask = self._check_mask(mask, pixels)
        square, _ = prepare_new(pixels, self.preprocessing, self.overlay, checked_mask)
        logits = self(self.normalise(torch.from_numpy(square).permute(2, 0, 1)[None]))
        classes, probabilities, predicted = self.run.classes, {}, None
        if "class" in logits:
            shares = logits["class"].softmax(dim=1)[0].tolist()
            probabilities = dict(zip(classes, shares, strict=True))
        if "mask" in logits:
            box = self.preprocessing.box(pixels.shape[:2])
            predicted = predicted_mask(logits["mask"].sigmoid()[0], box, pixels.shape[:2]).numpy()
            if float(lesion_scores(logits, classes)[0]) < self.least_score:
                predicted = np.zeros_like(predicted)
        answer = max(probabilities, key=probabilities.__getitem__) if probabilities else None
        return Prediction(probabilities, answer, predicted, pixels)

    def _read(self, image: np.ndarray | Path | str) -> np.ndarray:
        """Return (H, W, 3) uint8 RGB, read on the scale of the training images."""
        if (path := path_of(image)) is None:
            return check_image(image)
        return read_image(path, self.scale, otherwise="give another one")

    def _check_mask(self, mask: np.ndarray | None, image: np.ndarray) -> np.ndarray | None:
        """Return the mask that is drawn into the input, (H, W) bool; None if the network takes none."""
        path, takes_mask = self.run.folder.path, self.overlay is not None
        if takes_mask and mask is None:
            raise UserError(
                f"{path}: its input shows the mask of the lesion: give it, predict(image, mask=MASK), for example from "
                "a segmenter's predict(image).mask."
            )
        if mask is not None and not takes_mask:
            raise UserError(f"{path}: its input shows no mask: leave mask out.")
        return None if mask is None else check_mask(mask, image.shape[:2])
