"""Diagnose images, DICOM files and videos with a bundle, and write what is found into a folder."""

import argparse
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from bus_lightning.core.errors import UserError
from bus_lightning.core.interruption import at_first_signal
from bus_lightning.diagnosis.options import bundle_parser, positive

_EPILOG = """\
reads:
  PNG, JPEG, BMP, TIFF, DICOM, MP4, MOV and AVI, by their content; folders with all that is below them

writes:
  results.csv        a row per image or frame: class, probabilities, lesion, doubts, what the networks were trained on
  NAME_mask.png      the lesion, at the image's own resolution
  NAME_overlay.png   its outline and the heat map, drawn into the image
  NAME.json          what the row says, and the doubts in words

A file's own name may be a patient's. So NAME is the position in the list and the beginning of the file's SHA-256, as
0007-3fa9c1d2e4b5, and -f0012 for a frame. Text that is burned into a picture stays in its overlay: look for a name
before you pass it on.

An interrupted command goes on when it is given again. The exit code is 0 when every file was answered, 1 when one was
not, and 2 when nothing could be begun.

For research: this is not a medical device.
"""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    found = bundle_parser("python -m bus_lightning.diagnosis.predict", __doc__, _EPILOG)
    found.add_argument("paths", type=Path, nargs="+", metavar="IMAGE_OR_FOLDER", help="what to look at")
    found.add_argument("--out", type=Path, required=True, help="folder for the results, new or of the same command")
    found.add_argument("--batch", type=positive, default=1, metavar="N", help="images at once (default: %(default)s)")
    found.add_argument("--no-heat-map", action="store_true", help="draw the outline alone")
    found.add_argument("--keep-names", action="store_true",
                       help="write the files' own names into the results: only when they name nobody")  # fmt: skip
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        Exit code: 0; 1 when a file could not be answered or results not be written; 2 when nothing could be begun; 128
        and the signal's number when interrupted.
    """
    options = parser().parse_args(arguments)
    with _interruptible() as caught:
        try:
            return _predict(options)
        except UserError as error:
            print(f"Error: {error}", file=sys.stderr)
            return 2
        except OSError as error:  # files that cannot be read are no errors here
            print(f"Error: {options.out} cannot be written ({error.strerror}): mend that, and give the same command "
                  "again.", file=sys.stderr)  # fmt: skip
            return 1
        except KeyboardInterrupt:
            print("Stopped: the same command goes on from here.", file=sys.stderr)
            return 128 + (caught[0] if caught else signal.SIGINT)


def _predict(options: argparse.Namespace) -> int:
    """Answer all files and tell how it went."""
    from bus_lightning.diagnosis.bundle import load_bundle  # none of these for --help
    from bus_lightning.diagnosis.results import TABLE, Results
    from bus_lightning.diagnosis.trained_on import sentence

    bundle = load_bundle(options.bundle)
    precision = options.precision or bundle.default_precision
    results = Results(
        options.out,
        {"bundle": bundle.id, "precision": precision, "heat map": not options.no_heat_map,
         "file names": options.keep_names},
        sentence(bundle.trained_on),
    )  # fmt: skip

    from bus_lightning.diagnosis.answering import answer_files, name_files, plain_name
    from bus_lightning.diagnosis.diagnosing import Diagnoser
    from bus_lightning.diagnosis.reading import find_files

    left_out: dict[Path, str] = {}
    found = find_files(options.paths, left_out)
    files = name_files([path for path in found if not _lies_in(options.out, path)])
    _tell_left_out({path: what for path, what in left_out.items() if not _lies_in(options.out, path)},
                   options.keep_names)  # fmt: skip
    results.adopt([file.name for file in files])
    waiting = [file for file in files if file.failure is None and not results.is_complete(file.name)]
    try:
        if waiting:
            diagnoser = Diagnoser(bundle, precision, options.threads)
            with _progress(len(files), len(files) - len(waiting)) as tick:
                answer_files(waiting, diagnoser, results, options.batch, not options.no_heat_map, options.keep_names,
                             tick)  # fmt: skip
    finally:
        rows = results.write_table([file.name for file in files], bundle.classes)
    print(f"{rows} rows in {options.out / TABLE}")
    print(results.trained_on)
    failed = [file for file in files if file.failure is not None]
    if failed:
        print(f"{len(failed)} of {len(files)} files could not be answered:", file=sys.stderr)
    for file in failed:
        own = f" {plain_name(file.path)!r}" if options.keep_names else ""
        print(f"  {file.name}{own}: {file.failure}", file=sys.stderr)
    return 1 if failed else 0


def _tell_left_out(left_out: dict[Path, str], keep_names: bool) -> None:
    """Report on the standard error which files of the folders are not read; show names only if they may be shown."""
    from bus_lightning.diagnosis.answering import plain_name

    if left_out:
        print(f"{len(left_out)} files in the folders are skipped because they are not pictures, DICOM or video:",
              file=sys.stderr)  # fmt: skip
    for what, number in Counter(left_out.values()).most_common():
        names = [repr(plain_name(path)) for path in sorted(left_out) if left_out[path] == what]
        print(f"  {number} {what}{': ' + ', '.join(names) if keep_names else ''}", file=sys.stderr)


def _lies_in(folder: Path, path: Path) -> bool:
    """Tell whether a file is one of earlier results, where their folder lies in one that is searched."""
    with suppress(OSError, RuntimeError):  # a link that leads to itself
        return folder.resolve() in path.resolve().parents
    return False


@contextmanager
def _progress(files: int, done: int) -> Iterator[Callable[[bool], None]]:
    """Show a bar of files, and count their pictures beside it; where nobody watches there is none."""
    from tqdm import tqdm

    pictures = count(1)
    with tqdm(total=files, initial=done, unit="file", disable=None) as bar:

        def tick(ended: bool) -> None:
            if ended:
                bar.update()
            else:
                bar.set_postfix_str(f"{next(pictures)} pictures")

        yield tick


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Let Ctrl-C and SIGTERM stop the command in order, and a second one at once; the list holds the first."""
    caught: list[int] = []

    def stop(number: int) -> None:
        caught.append(number)
        raise KeyboardInterrupt

    with at_first_signal(stop):
        yield caught


if __name__ == "__main__":
    sys.exit(main())
