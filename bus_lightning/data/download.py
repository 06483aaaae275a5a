"""Download BUSI from its official address, or unpack a zip that was downloaded by hand.

`python -m bus_lightning.data.download [--zip FILE]`, or `make data [ZIP=FILE]`.
"""

import argparse
import logging
import lzma
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections import Counter
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path, PurePosixPath

import pooch  # type: ignore[import-untyped]
from tqdm import tqdm

from bus_lightning.core.arguments import add_version, path_of
from bus_lightning.core.class_names import BENIGN, COUNTS_IN_BUSI
from bus_lightning.core.errors import UserError, disk_trouble
from bus_lightning.core.output import prepare_output
from bus_lightning.core.printable import printable
from bus_lightning.core.reading import open_regular
from bus_lightning.data.file_kinds import is_system_file
from bus_lightning.data.index import DEFAULT_ROOT, read_index

ADDRESS = "https://scholar.cu.edu.eg/Dataset_BUSI.zip"
SHA256 = "b2ce09f6063a31a73f628b6a6ee1245187cbaec225e93e563735691d68654de7"
MASKS = 798
_MOST_MEMBERS = 100_000  # BUSI has less than two thousand
_MOST_BYTES = 4 * 1024**3  # BUSI takes a quarter of a gigabyte; a zip bomb takes more than this


def download(folder: Path) -> Path:
    """Download the official zip into a folder, with progress, three tries and its checksum; a complete zip is kept.

    Raises:
        UserError: If the download fails or its checksum is wrong; no file is left then.
    """
    pooch.get_logger().setLevel(logging.WARNING)
    fetcher = pooch.create(folder, base_url="", registry={"Dataset_BUSI.zip": f"sha256:{SHA256}"},
                           urls={"Dataset_BUSI.zip": ADDRESS}, retry_if_failed=2)  # fmt: skip
    http = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=30)
    try:
        return Path(fetcher.fetch("Dataset_BUSI.zip", downloader=http))
    except ValueError as error:  # pooch's error for a wrong checksum
        raise UserError(
            f"{ADDRESS} sent another file (wrong SHA-256): download it by hand, then give --zip FILE."
        ) from error
    except OSError as error:
        if trouble := disk_trouble(error):
            raise UserError(trouble) from error
        # The innermost of urllib3's nested messages has the reason: "Failed to resolve ...".
        reason = str(error).splitlines()[0].rpartition("): ")[2].removesuffix('"))')[:150]
        raise UserError(
            f"{ADDRESS} cannot be reached ({reason}). "
            "Download the zip by hand, then run: python -m bus_lightning.data.download --zip path/to/Dataset_BUSI.zip"
        ) from error


def unpack(archive: Path, out: Path) -> list[str]:
    """Unpack a zip of BUSI and compare it with the known counts.

    Args:
        archive: The zip; the three class folders may be at any depth.
        out: New data folder; it appears complete or not at all.

    Returns:
        The differences from the published set, a line each; empty for the complete set.

    Raises:
        UserError: If the zip is missing, damaged, has members outside its folder, or is not BUSI.
    """
    if out.exists():
        raise UserError(f"{out} already exists: remove it to unpack {archive} again.")
    try:
        stream = open_regular(archive)
    except UserError as error:
        raise UserError(f"No zip at {archive}: check ZIP=... ({error})") from error
    with stream, ExitStack() as stack:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = stack.enter_context(tempfile.TemporaryDirectory(dir=out.parent, prefix=".unpacking-"))
        folder = Path(scratch) / "zip"  # the scratch folder itself is closed to other users
        _extract(archive, stream, folder)
        parents = sorted(path.parent for path in folder.rglob(BENIGN) if path.is_dir())
        if not parents:
            raise UserError(f"{archive} has no folder '{BENIGN}': use a zip of BUSI.")
        roots = [path for path in parents if all((path / name).is_dir() for name in COUNTS_IN_BUSI)] or parents
        if len(roots) > 1:
            names = ", ".join(str(path.relative_to(folder)) for path in roots)
            raise UserError(f"{archive} holds several data sets ({names}): unpack one of them by hand to {out}.")
        differences = compare_with_known(roots[0])
        shutil.move(roots[0], out)
    return differences


def _extract(archive: Path, stream: BufferedReader, folder: Path) -> None:
    """Check every member's name and checksum while writing it."""
    try:
        with zipfile.ZipFile(stream) as zipped:
            members = zipped.infolist()
            for member in members:
                path = PurePosixPath(member.filename.replace("\\", "/"))
                is_link = (member.external_attr >> 16) & 0o170000 == 0o120000
                if path.is_absolute() or ".." in path.parts or ":" in str(path) or is_link:
                    raise UserError(
                        f"{archive} is refused: its member '{member.filename}' would be written outside the folder."
                    )
            if len(members) > _MOST_MEMBERS:
                raise UserError(f"{archive} is refused: it has {len(members):,} members, more than {_MOST_MEMBERS:,}.")
            if sum(member.file_size for member in members) > _MOST_BYTES:
                raise UserError(f"{archive} is refused: it would unpack to more than {_MOST_BYTES // 1024**3} GiB.")
            kept = [member for member in members if not _belongs_to_system(member.filename)]
            for member in tqdm(kept, desc="unpacking", unit="file", disable=None):
                member.filename = member.filename.replace("\\", "/")  # Windows
                zipped.extract(member, folder)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError, zlib.error, lzma.LZMAError) as error:
        if trouble := disk_trouble(error):
            raise UserError(trouble) from error
        raise UserError(f"{archive} is damaged or not a zip ({error}): download it again.") from error


def _belongs_to_system(name: str) -> bool:
    """Check whether macOS or Windows added a member: `__MACOSX/`, `._x.png`, `.DS_Store`, `Thumbs.db`."""
    path = PurePosixPath(name.replace("\\", "/"))
    return "__MACOSX" in path.parts or is_system_file(path.name)


def compare_with_known(root: Path) -> list[str]:
    """List how a folder differs from the published 437, 210 and 133 images with 798 masks, a line each."""
    frame = read_index(root)
    counts = Counter(frame["class"])
    masks = int(frame["masks"].map(len).sum())
    differences = [
        f"{name}: {counts[name]} images instead of {known}"
        for name, known in COUNTS_IN_BUSI.items()
        if counts[name] != known
    ]
    if masks != MASKS:
        differences.append(f"{masks} masks instead of {MASKS}")
    for name, known in COUNTS_IN_BUSI.items():
        present = set(frame.loc[frame["class"] == name, "id"])
        missing = [id_ for number in range(1, known + 1) if (id_ := f"{name}/{name} ({number})") not in present]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            differences.append(f"missing: {', '.join(missing[:5])}{more}")
    return differences


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0 if the set is complete, else 1, and 130 after Ctrl-C."""
    prepare_output()
    parser = argparse.ArgumentParser(prog="python -m bus_lightning.data.download", description=__doc__)
    add_version(parser)
    parser.add_argument("--zip", type=path_of, help=f"zip downloaded by hand; without it, {ADDRESS} is tried")
    parser.add_argument("--out", type=path_of, default=DEFAULT_ROOT, help=f"new data folder (default: {DEFAULT_ROOT})")
    options = parser.parse_args(arguments)
    try:
        if options.zip is None and options.out.exists():
            differences = compare_with_known(options.out)
        else:
            differences = unpack(options.zip or download(options.out.parent), options.out)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped: nothing was unpacked. The same command starts again.", file=sys.stderr)
        return 130
    except OSError as error:
        if trouble := disk_trouble(error, {"--out": options.out}):
            print(trouble, file=sys.stderr)
            return 1
        raise
    for difference in differences:
        print(difference, file=sys.stderr)
    verdict = "differs from the published set" if differences else "complete: 780 images, 798 masks"
    print(printable(f"{options.out}: {verdict}."))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
