"""The whole diagnosis of one picture, many times in one process: milliseconds of it and of its parts."""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.doubt import is_like
from bus_lightning.diagnosis.frames import Frame
from bus_lightning.diagnosis.measurements import measure
from bus_lightning.diagnosis.networks import Network
from bus_lightning.diagnosis.reading import read_frames
from bus_lightning.diagnosis.results import Results
from bus_lightning.diagnosis.stage import Stage

T = TypeVar("T")
_UNTIMED = 3


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("lesion", type=Path, help="mask to measure, because untrained networks outline nothing")
    parser.add_argument("--precision", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    options = parser.parse_args()
    bundle = load_bundle(options.bundle)
    diagnoser = Diagnoser(bundle, options.precision, options.threads)
    stages = (bundle.networks["segmenter"], bundle.networks["classifier"])
    segment, classify = (Network(stage, options.precision, options.threads) for stage in stages)
    to_segment, to_classify = map(_noise, stages)
    mask = np.asarray(cv2.imread(str(options.lesion), cv2.IMREAD_GRAYSCALE)) > 0
    times: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, work: Callable[..., T], *arguments: object) -> T:
        begin = time.perf_counter()
        made = work(*arguments)
        times[name].append(1e3 * (time.perf_counter() - begin))
        return made

    with tempfile.TemporaryDirectory() as folder:
        results = Results(Path(folder), {})
        for _ in range(_UNTIMED + options.repeats):
            (frame,) = timed("decode", decode, options.picture)
            timed("answer", diagnoser.diagnose, [frame], False)
            (answer,) = timed("answer and heat map", diagnoser.diagnose, [frame], True)
            timed("segmenter", segment, to_segment)
            timed("classifier", classify, to_classify)
            timed("measure", measure, mask, frame.spacing_mm)
            timed("doubt", is_like, frame.image, bundle.reference)
            timed("save", results.save, "1", frame, answer)
    print(json.dumps({name: taken[_UNTIMED:] for name, taken in times.items()}))


def decode(path: Path) -> list[Frame]:
    """Read the pictures of a file."""
    return list(read_frames(path))


def _noise(stage: Stage) -> np.ndarray:
    """Draw an image as a network takes it."""
    side = stage.preprocessing.size
    return np.random.default_rng(0).standard_normal((1, stage.channels, side, side)).astype(np.float32)


if __name__ == "__main__":
    main()
