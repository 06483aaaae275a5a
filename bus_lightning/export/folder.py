"""Write a bundle's folder so that it is whole or not there."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bus_lightning.core.files import checksum, folder_aside, refuse_foreign
from bus_lightning.diagnosis.bundle import CHECKSUMS, FORMAT, MANIFEST, files_of, load_bundle


@contextmanager
def new_bundle(out: Path) -> Iterator[Path]:
    """Give an empty folder beside `out`, and put it in the place of `out` when the block ends well.

    The folder is checked as its users will check it. An older bundle stays until then.

    Raises:
        UserError: When `out` is something else than a bundle.
    """
    refuse_other(out)
    with folder_aside(out) as fresh:
        yield fresh
        lines = (f"{checksum(fresh / name)}  {name}\n" for name in files_of(fresh))
        (fresh / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
        load_bundle(fresh)


def refuse_other(out: Path) -> None:
    """Refuse to replace anything but a bundle, which may be damaged, or an empty folder.

    Raises:
        UserError: When it is something else.
    """
    refuse_foreign(out, _is_bundle, f"--out {out} exists and is no bundle: choose another folder.")


def _is_bundle(out: Path) -> bool:
    with suppress(OSError, ValueError, AttributeError):
        return bool(json.loads((out / MANIFEST).read_text(encoding="utf-8")).get("format") == FORMAT)
    return False
