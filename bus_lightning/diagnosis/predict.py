"""Diagnose images, DICOM files and videos, and write the results into a folder.

The model in the package answers, or the bundle that --bundle names or that stands before the images.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bus_lightning.core.arguments import path_of, positive
from bus_lightning.core.commands import name_command
from bus_lightning.core.errors import UserError, disk_trouble
from bus_lightning.core.files import is_folder, is_there
from bus_lightning.core.interruption import Interrupted, at_first_signal
from bus_lightning.core.output import leave_closed_output, prepare_output
from bus_lightning.core.printable import printable, printable_lines
from bus_lightning.diagnosis.options import BUNDLE_HELP, bundle_parser

if TYPE_CHECKING:
    from bus_lightning.diagnosis.bundle import Bundle
    from bus_lightning.diagnosis.decoding import Decoders
    from bus_lightning.diagnosis.results import Results

_EPILOG = """\
examples, after the name of the command:
  image.png folder/ --out results/             the model in the package answers
  --bundle bundle/ folder/ --out results/      the networks in bundle/ answer
  bundle/ folder/ --out results/               the same

reads:
  PNG, JPEG, BMP, TIFF, DICOM, MP4, MOV and AVI, recognised by content; in folders, all files below them

writes:
  results.csv        a row per image or frame: class, probabilities, lesion, doubts, what the networks were trained on
  NAME_mask.png      the lesion, at the image's own resolution, if the bundle outlines
  NAME_overlay.png   the image with the outline of the lesion and the heat map, which shows the places that support the
                     answer, not where the disease is
  NAME.json          the values of the row, and the doubts in words

A file name can be a patient's name. NAME is therefore the position in the list and the first digits of the file's
SHA-256, such as 0007-3fa9c1d2e4b5, followed by -f0012 for a frame. Text that is burned into an image stays in its
overlay: check it for names before you pass it on.

To continue after an interruption, give the same command again. The exit code is 0 if every file was diagnosed, 1 if one
was not, and 2 if nothing could be started.

For research: this is not a medical device.
"""


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    options = bundle_parser(name_command("diagnose"), __doc__, _EPILOG)
    options.add_argument("paths", type=path_of, nargs="*", metavar="IMAGE_OR_FOLDER",
                         help="files to diagnose, or folders of them")  # fmt: skip
    options.add_argument("--out", type=path_of, help="folder of the results (required): new, or of the same command")
    options.add_argument("--bundle", type=path_of, metavar="BUNDLE", help=BUNDLE_HELP)
    options.add_argument("--card", action="store_true", help="print the model card, and diagnose nothing")
    options.add_argument("--batch", type=positive, default=1, metavar="N", help="images at once (default: %(default)s)")
    options.add_argument("--no-heat-map", action="store_true", help="draw only the outline")
    options.add_argument("--keep-names", action="store_true",
                         help="write the file names into the results: only if no name is a person's")  # fmt: skip
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; after a signal, 128 plus its number."""
    prepare_output()
    options = parser().parse_intermixed_args(arguments)  # the bundle may stand before the options
    try:
        with at_first_signal(_interrupt):
            return _predict(options)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # of the results, or of the output: a file that cannot be read raises UserError
        if not leave_closed_output(error):
            cannot = f"{options.out} cannot be written ({error}): make it writable, and give the same command again."
            print(printable(f"Error: {disk_trouble(error, {'--out': options.out}) or cannot}"), file=sys.stderr)
        return 1
    except Interrupted as interruption:
        print("Stopped: the same command continues from here.", file=sys.stderr)
        return 128 + interruption.signal


def _predict(options: argparse.Namespace) -> int:
    """Check the bundle and the folder of results, start to decode, and diagnose all files; or print the card."""
    # These are not needed for --help.
    from bus_lightning.diagnosis.bundle import SHIPPED, find_bundle_around, is_bundle, load_bundle
    from bus_lightning.diagnosis.decoding import Decoders
    from bus_lightning.diagnosis.results import Results
    from bus_lightning.diagnosis.trained_on import sentence

    if not options.bundle and options.paths and is_bundle(options.paths[0]):
        options.bundle = options.paths.pop(0)
    _check(options)
    bundle = load_bundle(options.bundle or SHIPPED)
    if options.card:
        print(printable_lines(bundle.card), end="")
        return 0
    if find_bundle_around(options.out):  # also in another one, such as that of the package
        raise UserError(f"--out {options.out} lies in a bundle, which it would damage: choose another folder.")
    precision = options.precision or bundle.default_precision
    if precision not in bundle.precisions:  # before the folder of the results is marked with it
        raise UserError(f"The bundle has no {precision}: choose one of {', '.join(bundle.precisions)}.")
    paths, left_out = _find_files(options)
    with Decoders(1, options.decode_mb, options.decode_seconds) as decoders:  # starts while OpenVINO is imported
        from bus_lightning.diagnosis.networks import computed_precision, precision_note

        if note := precision_note(precision):
            print(note, file=sys.stderr)
        results = Results(
            options.out,
            {"bundle": bundle.id, "precision": computed_precision(precision), "heat map": not options.no_heat_map,
             "file names": options.keep_names},
            sentence(bundle.trained_on), bundle.answers,
        )  # fmt: skip
        _report_left_out(left_out, options.keep_names)
        return _diagnose(options, paths, bundle, precision, results, decoders)


def _check(options: argparse.Namespace) -> None:
    """Refuse a command that lacks images or a folder for the results, that has images for a card, or two bundles."""
    from bus_lightning.diagnosis.bundle import has_manifest

    if options.card:
        if options.paths:
            raise UserError("--card prints a model card and diagnoses nothing: leave the images out.")
        return
    command = f"{name_command('diagnose')} IMAGE... --out results/"
    if not options.paths:
        only = f", only the bundle {options.bundle}" if options.bundle else ""
        raise UserError(f"No image is given{only}: {command}")
    if any(map(has_manifest, options.paths)):  # another one would answer, and its samples would be the images
        raise UserError("A bundle stands among the images: give one bundle, before all images or with --bundle.")
    if options.out is None:
        raise UserError(f"--out is missing, the folder of the results: {command}")
    if not options.bundle and not is_there(options.paths[0]):  # it may be a bundle, and then no other one answers
        raise UserError("The first path does not exist: give images, folders of images, or a bundle before them.")


def _find_files(options: argparse.Namespace) -> tuple[list[Path], dict[Path, str]]:
    """List the files to diagnose, without results, and those in folders that are not read with their kinds.

    Raises:
        UserError: If there is nothing to diagnose.
    """
    from bus_lightning.diagnosis.reading import find_files

    left_out: dict[Path, str] = {}
    everything = find_files(options.paths, left_out)
    paths = [path for path in everything if not _lies_in(options.out, path)]
    # Without `everything`, images that lie in --out would count as none; `Results` refuses such a folder.
    if all(not is_there(path) or is_folder(path) for path in paths or everything):
        raise UserError("No image, DICOM file or video is in the paths that were given.")
    return paths, {path: kind for path, kind in left_out.items() if not _lies_in(options.out, path)}


def _diagnose(
    options: argparse.Namespace, paths: Sequence[Path], bundle: "Bundle", precision: str, results: "Results",
    decoders: "Decoders",
) -> int:  # fmt: skip
    """Diagnose all files and report the failures."""
    from tqdm import tqdm

    from bus_lightning.diagnosis.answer_lines import answer_lines
    from bus_lightning.diagnosis.diagnoser import Diagnoser
    from bus_lightning.diagnosis.lacking import what_lacks
    from bus_lightning.diagnosis.pipeline import diagnose_files, name_files, printable_name
    from bus_lightning.diagnosis.results import TABLE

    files = name_files(paths)
    results.adopt([file.name for file in files])
    if options.keep_names:
        results.rename_sources({file.name: printable_name(file.path) for file in files})
    waiting = [file for file in files if file.failure is None and not results.is_complete(file.name)]
    try:
        if waiting:
            diagnoser = Diagnoser(bundle, precision, options.threads)
            # A bar of files with the number of their images, unless standard error is not a terminal.
            with tqdm(total=len(files), initial=len(files) - len(waiting), unit="file", disable=None) as bar:
                diagnose_files(
                    waiting, diagnoser, results, decoders, options.batch, not options.no_heat_map, options.keep_names,
                    on_frame=lambda number: bar.set_postfix_str(f"{number} images"), on_file=bar.update,
                )  # fmt: skip
    finally:
        records = results.write_table([file.name for file in files], bundle.classes, bundle.outlines)
    for line in answer_lines(records):
        print(printable(line))
    print(f"{len(records)} row{'' if len(records) == 1 else 's'} in {options.out / TABLE}")
    if others := results.count_others(file.name for file in files):
        whose = "1 other file" if others == 1 else f"{others} other files"
        print(f"{options.out} also holds the results of {whose} of an earlier command; the table leaves them out.")
    if not options.bundle:
        print(f"Answered by the model in the package ({bundle.id}); its card: {name_command('diagnose')} --card")
    if lacking := what_lacks(bundle):
        print(lacking)
    print(f"{printable(results.trained_on)} For research: this is not a medical device.")
    failed = [file for file in files if file.failure is not None]
    if failed:
        print(f"{len(failed)} of {len(files)} files could not be diagnosed:", file=sys.stderr)
    for file in failed:
        path = f" '{printable(file.path)}'" if options.keep_names else ""
        print(f"  {file.name}{path}: {printable(file.failure)}", file=sys.stderr)
    return 1 if failed else 0


def _report_left_out(left_out: dict[Path, str], keep_names: bool) -> None:
    """Report on standard error which files of the folders are not read; show names only if they may be shown."""
    if left_out:
        files, they = ("1 file", "is") if len(left_out) == 1 else (f"{len(left_out)} files", "are")
        print(f"{files} in the folders {they} skipped: no image, DICOM or video:", file=sys.stderr)
    for kind, number in Counter(left_out.values()).most_common():
        names = [f"'{printable(path)}'" for path in sorted(left_out) if left_out[path] == kind]
        print(f"  {kind}: {number}{' (' + ', '.join(names) + ')' if keep_names else ''}", file=sys.stderr)


def _interrupt(number: int) -> None:
    raise Interrupted(number)


def _lies_in(folder: Path, path: Path) -> bool:
    with suppress(OSError, RuntimeError):  # a link that leads to itself
        return folder.resolve() in path.resolve().parents
    return False


if __name__ == "__main__":
    sys.exit(main())
