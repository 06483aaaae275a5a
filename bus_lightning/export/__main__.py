"""Make a bundle, which diagnoses without PyTorch, from one network, a segmenter and a classifier, or ensembles."""

import argparse
import sys

from bus_lightning.core.arguments import add_version, not_negative, path_of
from bus_lightning.core.errors import UserError, disk_trouble
from bus_lightning.core.output import prepare_output
from bus_lightning.core.printable import log_to_terminal, printable

_EPILOG = """\
--run takes
  a joint run                      outline and class in one forward pass
  a classification run             class only
  a segmentation run               outline only
  a segmentation and a classification run
  several runs of one task         the mean of their probabilities: other seeds, folds or networks of the same classes

For research: this is not a medical device.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 if the runs make no bundle, 130 if it was interrupted."""
    prepare_output()
    parser = argparse.ArgumentParser(
        prog="python -m bus_lightning.export", description=__doc__, epilog=_EPILOG, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_version(parser)
    parser.add_argument("--run", type=path_of, nargs="+", action="extend", default=[], dest="runs", metavar="RUN",
                        help="folders of finished runs")  # fmt: skip
    for earlier in ("--segmenter", "--classifier"):
        parser.add_argument(earlier, type=path_of, action="append", dest="earlier", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=path_of, required=True, metavar="BUNDLE",
                        help="folder of the bundle; an older one is replaced")  # fmt: skip
    parser.add_argument(
        "--out-of-fold", metavar="'RUNS'",
        help="runs that predicted the training images, for the calibration (default: the validation images calibrate)",
    )  # fmt: skip
    parser.add_argument("--sensitivity", type=float,
                        help="sensitivity of the threshold for malignant (default: 0.95)")  # fmt: skip
    parser.add_argument(
        "--data-name", metavar="NAME", help="name of the data set, shown with every answer; not a path or a person"
    )
    parser.add_argument("--only-default", action="store_true",
                        help="keep only the default precision; fp32 and bf16 share a file, of half size")  # fmt: skip
    parser.add_argument("--precision", choices=("fp32", "bf16", "int8"),
                        help="the default, if it answers like fp32 (without this: the fastest that does)")  # fmt: skip
    parser.add_argument("--cases", action="store_true", dest="with_cases",
                        help="add cases.csv, the predictions for held-out images with their ids, and the results in "
                             "the model card that rest on them: only if no id is a person's name")  # fmt: skip
    parser.add_argument("--note", default="", metavar="TEXT",
                        help="sentence for the model card, such as how the run was chosen")  # fmt: skip
    parser.add_argument("--samples", type=not_negative, default=0, metavar="N", help="add N synthetic images to try")
    parser.add_argument("--trust", action="append", default=[], dest="trusted", metavar="PACKAGE",
                        help="package of your own that a network may come from; its code is run")  # fmt: skip
    options = parser.parse_args(arguments)
    log_to_terminal()
    if earlier := vars(options).pop("earlier"):
        options.runs += earlier
        print(printable(f"--segmenter and --classifier are now --run: --run {' '.join(map(str, earlier))}"),
              file=sys.stderr)  # fmt: skip
    if not options.runs:
        print("Error: --run has no value: give the folders of finished runs, --run RUN...", file=sys.stderr)
        return 1
    try:
        from bus_lightning.diagnosis.lacking import what_lacks
        from bus_lightning.diagnosis.trained_on import sentence
        from bus_lightning.export.making import make_bundle  # slow, and not needed for --help

        bundle = make_bundle(**vars(options), report=lambda line: print(printable(line), file=sys.stderr, flush=True))
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        from bus_lightning.runs.folder import RunDir

        folders = {name: folder for run in options.runs for name, folder in RunDir(run).config_folders().items()}
        if trouble := disk_trouble(error, {"--out": options.out} | folders):
            print(f"Error: {trouble}", file=sys.stderr)
            return 1
        raise
    except KeyboardInterrupt:
        print("Stopped: nothing was written.", file=sys.stderr)
        return 130
    made = f"The bundle is {options.out} ({bundle.id}, {bundle.default_precision}). {sentence(bundle.trained_on)}"
    if lacking := what_lacks(bundle):
        made += f" {lacking}"
    print(printable(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
