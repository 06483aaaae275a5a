"""Get BUSI: from its official address, or from a zip fetched by hand.

`python -m bus_lightning.data.download [--zip FILE]`, or `make data [ZIP=FILE]`.
"""

import argparse
import logging
import shutil
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import pooch  # type: ignore[import-untyped]
from tqdm import tqdm

from bus_lightning.core.errors import UserError, disk_trouble
from bus_lightning.data.index import COUNTS_IN_BUSI, DEFAULT_ROOT, read_index

ADDRESS = "https://scholar.cu.edu.eg/Dataset_BUSI.zip"
SHA256 = "b2ce09f6063a31a73f628b6a6ee1245187cbaec225e93e563735691d68654de7"
MASKS = 798
_SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")
_MOST_BYTES = 4 * 1024**3  # BUSI takes a quarter of a gigabyte; a zip bomb takes more than this


def download(folder: Path) -> Path:
    """Fetch the official zip, with progress, three tries and its checksum.

    Args:
        folder: Where the zip goes; a complete one that is there is taken.

    Raises:
        UserError: When it cannot be had or its checksum is wrong; nothing is left then.
    """
    pooch.get_logger().setLevel(logging.WARNING)
    fetcher = pooch.create(folder, base_url="", registry={"Dataset_BUSI.zip": f"sha256:{SHA256}"},
                           urls={"Dataset_BUSI.zip": ADDRESS}, retry_if_failed=2)  # fmt: skip
    http = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=30)
    try:
        return Path(fetcher.fetch("Dataset_BUSI.zip", downloader=http))
    except ValueError as error:  # pooch's word for a wrong checksum
        raise UserError(
            f"{ADDRESS} did not give the known file (wrong SHA-256): fetch it by hand, then make data ZIP=FILE."
        ) from error
    except OSError as error:
        if trouble := disk_trouble(error):
            raise UserError(trouble) from error
        # Of urllib3's nested words, the innermost say it: "Failed to resolve ...".
        reason = str(error).splitlines()[0].rpartition("): ")[2].removesuffix('"))')[:150]
        raise UserError(
            f"{ADDRESS} cannot be reached ({reason}). "
            "Fetch the zip by hand, then run: make data ZIP=path/to/Dataset_BUSI.zip"
        ) from error


def unpack(archive: Path, out: Path) -> list[str]:
    """Unpack a zip of BUSI and compare it with the known counts.

    Args:
        archive: The zip; the three class folders may lie at any depth.
        out: Data folder to make; it appears whole or not at all.

    Returns:
        What is missing or too many, a line each; empty for the complete set.

    Raises:
        UserError: When the zip is missing, cut off, holds members that climb out of the folder, or is no BUSI.
    """
    if out.exists():
        raise UserError(f"{out} is there already: remove it to unpack {archive} anew.")
    if not archive.is_file():
        raise UserError(f"No zip at {archive}: check ZIP=...")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".unpacking-") as scratch:
        folder = Path(scratch) / "zip"  # the scratch folder itself is closed to other users
        _extract(archive, folder)
        found = sorted((path.parent for path in folder.rglob("benign") if path.is_dir()), key=_depth)
        if not found:
            raise UserError(f"{archive} holds no folder 'benign': it is no zip of BUSI.")
        whole = [path for path in found if all((path / name).is_dir() for name in COUNTS_IN_BUSI)] or found
        if len(whole) > 1:
            names = ", ".join(str(path.relative_to(folder)) for path in whole)
            raise UserError(f"{archive} holds several data sets ({names}): unpack one of them by hand to {out}.")
        complaints = compare_with_known(whole[0])
        shutil.move(whole[0], out)
    return complaints


def _depth(path: Path) -> tuple[int, Path]:
    return len(path.parts), path


def _extract(archive: Path, folder: Path) -> None:
    """Check every member's name and checksum while writing it."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = zipped.infolist()
            for member in members:
                path = PurePosixPath(member.filename.replace("\\", "/"))
                is_link = (member.external_attr >> 16) & 0o170000 == 0o120000
                if path.is_absolute() or ".." in path.parts or ":" in str(path) or is_link:
                    raise UserError(f"{archive} is refused: its member '{member.filename}' climbs out of the folder.")
            if sum(member.file_size for member in members) > _MOST_BYTES:
                raise UserError(f"{archive} is refused: it would unpack to more than {_MOST_BYTES // 1024**3} GiB.")
            wanted = [member for member in members if not _is_of_the_system(member.filename)]
            for member in tqdm(wanted, desc="unpacking", unit="file", disable=None):
                member.filename = member.filename.replace("\\", "/")  # Windows
                zipped.extract(member, folder)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError, zlib.error) as error:
        if trouble := disk_trouble(error):
            raise UserError(trouble) from error
        raise UserError(f"{archive} is no whole zip ({error}): fetch it again.") from error


def _is_of_the_system(name: str) -> bool:
    """Recognise files that macOS and Windows add: `__MACOSX/`, `._x.png`, `.DS_Store`, `Thumbs.db`."""
    *folders, last = PurePosixPath(name.replace("\\", "/")).parts or ("",)
    return "__MACOSX" in (*folders, last) or last.startswith("._") or last in _SYSTEM_FILES


def compare_with_known(root: Path) -> list[str]:
    """Say how a folder differs from the published 437, 210 and 133 images with 798 masks."""
    frame = read_index(root)
    here = {str(name): int(number) for name, number in frame["class"].value_counts().items()}
    masks = int(frame["masks"].map(len).sum())
    complaints = [
        f"{name}: {here.get(name, 0)} images instead of {known}"
        for name, known in COUNTS_IN_BUSI.items()
        if here.get(name, 0) != known
    ]
    if masks != MASKS:
        complaints.append(f"{masks} masks instead of {MASKS}")
    for name, known in COUNTS_IN_BUSI.items():
        present = set(frame.loc[frame["class"] == name, "id"])
        missing = [id_ for number in range(1, known + 1) if (id_ := f"{name}/{name} ({number})") not in present]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            complaints.append(f"missing: {', '.join(missing[:5])}{more}")
    return complaints


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0 when the complete set is there, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bus_lightning.data.download", description=__doc__)
    parser.add_argument("--zip", type=Path, help=f"a zip fetched by hand; without it, {ADDRESS} is tried")
    parser.add_argument("--out", type=Path, default=DEFAULT_ROOT, help=f"data folder to make (default: {DEFAULT_ROOT})")
    options = parser.parse_args(arguments)
    try:
        if options.out.exists():
            complaints = compare_with_known(options.out)
        else:
            complaints = unpack(options.zip or download(options.out.parent), options.out)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    verdict = "differs from the published set" if complaints else "complete: 780 images, 798 masks"
    print(f"{options.out}: {verdict}.")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
