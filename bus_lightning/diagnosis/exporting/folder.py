"""Write a bundle's folder so that it is whole or not there."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bus_lightning.diagnosis.bundle import CHECKSUMS, FORMAT, MANIFEST, checksum, files_of, load_bundle
from bus_lightning.errors import UserError


@contextmanager
def new_bundle(out: Path) -> Iterator[Path]:
    """Give an empty folder beside `out`, and put it in the place of `out` when the block ends well.

    The folder is checked as its users will check it. An older bundle stays until then.

    Raises:
        UserError: When `out` is something else than a bundle.
    """
    out = out.resolve()
    refuse_foreign(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(f".{out.name}.{os.getpid()}")
    aside.mkdir()
    try:
        yield aside
        lines = (f"{checksum(aside / name)}  {name}\n" for name in files_of(aside))
        (aside / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
        load_bundle(aside)
        _put_in_place(aside, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def refuse_foreign(out: Path) -> None:
    """Refuse to replace anything but a bundle, which may be damaged, or an empty folder.

    Raises:
        UserError: When it is something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    with suppress(OSError, ValueError, AttributeError):
        if json.loads((out / MANIFEST).read_text(encoding="utf-8")).get("format") == FORMAT:
            return
    raise UserError(f"--out {out} exists and is no bundle: choose another folder.")


def _put_in_place(aside: Path, out: Path) -> None:
    """Rename; where an older bundle is, it goes after the new one has come."""
    if not out.exists():
        aside.rename(out)
        return
    old = aside.with_name(f"{aside.name}.old")
    out.rename(old)
    try:
        aside.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old)
