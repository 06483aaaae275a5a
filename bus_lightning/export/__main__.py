"""Make a bundle, which diagnoses without PyTorch, from a segmenter and a classifier."""

import argparse
import sys
from pathlib import Path

from bus_lightning.core.errors import UserError, disk_trouble
from bus_lightning.core.printable import log_to_terminal, printable


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 if the runs make no bundle, 130 if it was interrupted."""
    parser = argparse.ArgumentParser(prog="python -m bus_lightning.export", description=__doc__)
    parser.add_argument("--segmenter", type=Path, required=True, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--classifier", type=Path, required=True, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder; an older bundle is replaced")
    parser.add_argument(
        "--out-of-fold", metavar="'RUNS'", help="classifiers that predicted the training images, for the calibration"
    )
    parser.add_argument("--sensitivity", type=float, default=0.95,
                        help="sensitivity of the threshold for malignant (default: %(default)s)")  # fmt: skip
    parser.add_argument(
        "--data-name", metavar="NAME", help="name of the data set, shown with every answer; not a path or a person"
    )
    parser.add_argument("--samples", type=int, default=0, metavar="N", help="add N synthetic images to try")
    parser.add_argument("--trust", action="append", default=[], dest="trusted", metavar="PACKAGE",
                        help="package of your own that a network may come from; its code is run")  # fmt: skip
    options = parser.parse_args(arguments)
    log_to_terminal()
    try:
        from bus_lightning.diagnosis.trained_on import sentence
        from bus_lightning.export.making import make_bundle  # slow, and not needed for --help

        bundle = make_bundle(**vars(options), report=lambda line: print(printable(line), file=sys.stderr, flush=True))
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        from bus_lightning.runs.folder import RunDir

        folders = [RunDir(run).config_folders() for run in (options.segmenter, options.classifier)]
        if trouble := disk_trouble(error, {"--out": options.out} | folders[0] | folders[1]):
            print(f"Error: {trouble}", file=sys.stderr)
            return 1
        raise
    except KeyboardInterrupt:
        print("Stopped: nothing was written.", file=sys.stderr)
        return 130
    made = f"The bundle is {options.out} ({bundle.id}, {bundle.default_precision}). {sentence(bundle.trained_on)}"
    print(printable(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
