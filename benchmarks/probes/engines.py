"""One network alone on one engine, an image at a time: milliseconds of each answer."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Answer = Callable[[np.ndarray], object]
_UNTIMED = 5  # the first answers allocate memory


def pytorch(options: argparse.Namespace) -> Answer:
    """Eager PyTorch, fp32, with the run's own weights."""
    import torch

    from bus_lightning.config.build import build_net
    from bus_lightning.config.stored import load_config
    from bus_lightning.config.trusted import Origin
    from bus_lightning.models.weights import load_kept_weights
    from bus_lightning.runs.folder import RunDir

    torch.set_num_threads(options.threads)
    folder = RunDir(options.run)
    config = load_config(folder.config)
    net = build_net(config.model, config.debug_size, Origin(folder.config))
    load_kept_weights(net, folder.best)
    net.eval()

    def answer(images: np.ndarray) -> object:
        with torch.inference_mode():
            return net(torch.from_numpy(images))

    return answer


def onnxruntime(options: argparse.Namespace) -> Answer:
    """ONNX Runtime, fp32."""
    import onnxruntime as engine

    settings = engine.SessionOptions()
    settings.intra_op_num_threads = options.threads
    file = options.bundle / f"{options.stage}.onnx"
    session = engine.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    return lambda images: session.run(None, {image.name: images})


def openvino(options: argparse.Namespace) -> Answer:
    """OpenVINO, as the diagnosis runs it."""
    from bus_lightning.diagnosis.bundle import load_bundle
    from bus_lightning.diagnosis.networks import Network

    bundle = load_bundle(options.bundle)
    stage = bundle.networks[options.stage]
    return Network(stage, options.precision, options.threads)


ENGINES = {engine.__name__: engine for engine in (pytorch, onnxruntime, openvino)}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("stage", choices=("segmenter", "classifier"))
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    options = parser.parse_args()
    answer = ENGINES[options.engine](options)
    images = np.random.default_rng(0).standard_normal((1, 3, options.size, options.size)).astype(np.float32)
    taken = []
    for _ in range(_UNTIMED + options.repeats):
        begin = time.perf_counter()
        answer(images)
        taken.append(1e3 * (time.perf_counter() - begin))
    print(json.dumps({"ms": taken[_UNTIMED:]}))


if __name__ == "__main__":
    main()
