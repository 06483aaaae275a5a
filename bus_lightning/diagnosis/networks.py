"""Run a bundle's networks on the CPU, with OpenVINO."""

import threading

import numpy as np

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.bundle import Stage
from bus_lightning.diagnosis.compiling import compile_onnx


class Network:
    """One stage, compiled; several threads may call it at once.

    Args:
        stage: What the bundle says of it.
        precision: fp32, bf16 or int8.
        threads: Of the CPU that one call takes; None leaves it to OpenVINO.

    Raises:
        UserError: When the bundle has no such precision, or its file cannot be run.
    """

    def __init__(self, stage: Stage, precision: str = "int8", threads: int | None = None) -> None:
        if precision not in stage.files:
            raise UserError(f"The bundle has no {precision} of {stage.name}: choose one of {', '.join(stage.files)}.")
        self.stage, self.precision = stage, precision
        compiled = compile_onnx(stage.files[precision], precision, threads)
        self._outputs = len(compiled.outputs)
        # The engine computes one request at a time, on all its threads: a second one would only take memory.
        self._request, self._lock = compiled.create_infer_request(), threading.Lock()

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """Answer a batch.

        Args:
            images: (B, C, S, S) float32, normalised.

        Returns:
            The segmenter's logits, (B, 1, S, S); the classifier's logits, (B, K), and, where the bundle has a head, its
            last feature map, (B, F, h, w). All float32, the caller's own.
        """
        images = np.ascontiguousarray(images, dtype=np.float32)
        with self._lock:
            self._request.infer([images], share_inputs=True)
            return tuple(np.array(self._request.get_output_tensor(k).data) for k in range(self._outputs))
