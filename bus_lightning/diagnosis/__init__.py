"""From an ultrasound image to lesion, class, heat map and doubts: the command line and the page.

May import core and the parts of data that need no PyTorch.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bus_lightning.diagnosis.answering import Answerer


def load(
    bundle: Path | str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    decode_mb: int | None = None,
    decode_seconds: float | None = None,
) -> "Answerer":
    """Load a bundle, which answers images without torch.

    For example::

        import bus_lightning

        answer = bus_lightning.diagnosis.load().answer("image.png")
        print(answer.answer, answer.probabilities)

    Args:
        bundle: Folder written by `python -m bus_lightning.export`; None for the model in the package.
        precision: fp32, bf16 or int8; None for the default of the bundle.
        threads: CPU threads; None for all.
        decode_mb: Memory of the process that decodes files, in MB, at least 1; None for 400. A file that needs more is
            refused.
        decode_seconds: Time in which a file's header, and each of its images, has to be decoded, above 0;
            None for 10.

    Raises:
        UserError: If the folder is no bundle, damaged, or without this precision, or a number is too small.
    """
    from bus_lightning.diagnosis.answering import Answerer  # OpenVINO and more, which others need not wait for
    from bus_lightning.diagnosis.bundle import SHIPPED

    path = SHIPPED if bundle is None else Path(bundle)
    return Answerer(path, precision, threads, decode_mb, decode_seconds)
