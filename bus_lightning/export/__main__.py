"""`python -m bus_lightning.export --segmenter RUN --classifier RUN --out bundle/`: two runs, one bundle."""

import argparse
import logging
import sys
from pathlib import Path

from bus_lightning.core.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Export a bundle and say where it lies.

    Returns:
        Exit code: 0, 1 when the runs make no bundle, 130 when interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bus_lightning.export",
        description="Make a bundle, which diagnoses without PyTorch, of a segmenter and a classifier.",
    )
    parser.add_argument("--segmenter", type=Path, required=True, metavar="RUN", help="folder of a complete run")
    parser.add_argument("--classifier", type=Path, required=True, metavar="RUN", help="folder of a complete run")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder; an older bundle is replaced")
    parser.add_argument(
        "--out-of-fold", metavar="'RUNS'", help="classifiers that predicted the training images: calibrates on them"
    )
    parser.add_argument("--sensitivity", type=float, default=0.95, help="for malignant, of the threshold; default 0.95")
    parser.add_argument(
        "--data-name", metavar="NAME", help="name of the data set, shown with every answer; not a path or a person"
    )
    parser.add_argument("--samples", type=int, default=0, metavar="N", help="put N drawn phantoms in, to try")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        from bus_lightning.diagnosis.trained_on import sentence
        from bus_lightning.export.making import make_bundle  # after --help

        bundle = make_bundle(**vars(options), say=lambda line: print(line, file=sys.stderr, flush=True))
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped: nothing was written.", file=sys.stderr)
        return 130
    print(f"The bundle is {options.out} ({bundle.id}, {bundle.default_precision}). {sentence(bundle.trained_on)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
