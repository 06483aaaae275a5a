"""A folder of results: per picture a mask, an overlay and a JSON, which is written last; and one CSV of them all."""

import csv
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL.PngImagePlugin import putchunk

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import aside, write_aside
from bus_lightning.diagnosis.diagnosing import Diagnosis
from bus_lightning.diagnosis.drawing import draw_overlay
from bus_lightning.diagnosis.frames import Frame
from bus_lightning.diagnosis.trained_on import NOT_RECORDED

VERSION = 2
TABLE = "results.csv"
_MADE_WITH = ".made_with.json"
_PICTURES = ("mask", "overlay")
_COMPRESSION = [cv2.IMWRITE_PNG_COMPRESSION, 2]  # speckle hardly compresses
_LESION = ("lesions", "area_px", "area_mm2", "long_axis_px", "short_axis_px", "long_axis_mm", "short_axis_mm",
           "orientation_deg", "touches_border")  # fmt: skip
_SAID = ("bundle", "precision")  # of what results were made with, in each JSON
_NAME = re.compile(r"(\d+-[0-9a-f]{12})(-f\d+)?\.json")
_AFTER_HEADER = 33  # bytes of a PNG: its signature and the chunk IHDR
_BOX = ("top", "left", "height", "width")


class Results:
    """The folder that `predict` writes, and goes on with after an interruption.

    A file's results are named `0007-3fa9c1d2e4b5`: its position in the list, and the first digits of its SHA-256. Of a
    file with several frames each is named `0007-3fa9c1d2e4b5-f0012`, and `0007-3fa9c1d2e4b5.json`, written after the
    last one, says how many there are.

    Args:
        folder: The folder; made if need be.
        made_with: What results depend on, as the bundle's id: with anything else the folder is another's.
        trained_on: What the networks were trained on; it is written to every result file.

    Raises:
        UserError: When the folder holds the results of another bundle or of other options, or something else.
    """

    def __init__(self, folder: Path, made_with: dict[str, Any], trained_on: str = NOT_RECORDED) -> None:
        self.folder, self.made_with, self.trained_on = folder, {"version": VERSION, **made_with}, trained_on
        marker = folder / _MADE_WITH
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not marker.exists() and all(file.name.startswith(".") for file in folder.iterdir()):
                write_aside(marker, json.dumps(self.made_with))
            known = json.loads(marker.read_text(encoding="utf-8")) if marker.exists() else None
        except (OSError, ValueError) as error:
            raise UserError(f"{folder} cannot hold results ({type(error).__name__}): name another --out.") from None
        if not isinstance(known, dict):
            raise UserError(f"{folder} holds something else than results: name another --out.")
        if other := [key for key, value in self.made_with.items() if known.get(key) != value]:
            key = other[0]
            raise UserError(
                f"{folder} holds results of another {key} ({known.get(key)}, not {self.made_with[key]}): "
                "name another --out."
            )

    def is_complete(self, name: str) -> bool:
        """Tell whether all results of a picture, or of a file with several, are there and whole."""
        record = self._read(name)
        if record is None:
            return False
        if "frames" in record:
            return all(self.is_complete(frame_name(name, number)) for number in range(record["frames"]))
        return all(self._picture(name, kind).is_file() for kind in _PICTURES)

    def adopt(self, names: Iterable[str]) -> None:
        """Bring results of an earlier list to their new positions, where the same files are listed in another order.

        Args:
            names: Of the files that are listed now, without frames.
        """
        wanted, saved = set(names), self._saved()
        left: dict[str, list[str]] = {}
        for name in sorted(saved.keys() - wanted):
            left.setdefault(name.partition("-")[2], []).append(name)
        for name in sorted(wanted - saved.keys()):
            if earlier := left.get(name.partition("-")[2]):
                self._rename(earlier.pop(), name)

    def save(self, name: str, frame: Frame, found: Diagnosis, source: str | None = None) -> None:
        """Save a picture's results, the JSON last.

        Args:
            name: Its own, with the frame's number.
            frame: What was looked at.
            found: The answer.
            source: The file's name, to be kept.
        """
        self._save_picture(name, "mask", found.mask.astype(np.uint8) * 255)
        overlay = draw_overlay(frame.image, found.mask, found.heat_map)
        self._save_picture(name, "overlay", cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR))
        made_with = {key: self.made_with[key] for key in _SAID if key in self.made_with}
        self._write(name, describe(name, frame, found, source) | {"trained_on": self.trained_on} | made_with)

    def finish_file(self, name: str, frames: int) -> None:
        """Note that all frames of a file with several are saved."""
        self._write(name, {"name": name, "frames": frames, "trained_on": self.trained_on})

    def write_table(self, names: Iterable[str], classes: list[str]) -> int:
        """Write `results.csv` anew from the JSONs.

        Args:
            names: Of the files that are listed, without frames.
            classes: Of the bundle.

        Returns:
            Number of rows.
        """
        saved = self._saved()
        records = [self._read(one) for name in names for one in saved.get(name, [])]
        rows = [_row(record) for record in records if record is not None and "frames" not in record]
        own = ["file"] if any("file" in row for row in rows) else []
        columns = ["name", *own, "class", *(f"prob_{name}" for name in classes), "calibrated", "malignant_flag",
                   *_LESION, *(f"box_{side}" for side in _BOX), "height", "width", "doubts", "trained_on"]  # fmt: skip
        stream = StringIO()
        writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_aside(self.folder / TABLE, stream.getvalue())
        return len(rows)

    def _saved(self) -> dict[str, list[str]]:
        """List the JSONs that are there: name of the file -> its own and its frames' names, sorted."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.folder.glob("*.json")):
            if match := _NAME.fullmatch(path.name):
                found.setdefault(match[1], []).append(path.stem)
        return found

    def _picture(self, name: str, kind: str) -> Path:
        return self.folder / f"{name}_{kind}.png"

    def _save_picture(self, name: str, kind: str, picture: np.ndarray) -> None:
        with aside(self._picture(name, kind)) as temporary:
            temporary.write_bytes(_with_text(cv2.imencode(".png", picture, _COMPRESSION)[1].tobytes(), self.trained_on))

    def _read(self, name: str) -> dict[str, Any] | None:
        with suppress(OSError, ValueError):
            record = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
            return record if isinstance(record, dict) else None
        return None

    def _write(self, name: str, record: dict[str, Any]) -> None:
        write_aside(self.folder / f"{name}.json", json.dumps(record, indent=1) + "\n")

    def _rename(self, old: str, new: str) -> None:
        """Rename the results of a file, its JSONs last: what is cut short is answered again."""
        for file in sorted(self.folder.glob(f"{old}[_-]*.png")):
            file.replace(file.with_name(new + file.name[len(old) :]))
        for file in sorted(self.folder.glob(f"{old}*.json"), reverse=True):  # frames first
            name = file.name[: -len(".json")]
            if (record := self._read(name)) is not None:
                renamed = new + name[len(old) :]
                self._write(renamed, {**record, "name": renamed})
            file.unlink()


def frame_name(name: str, number: int | None) -> str:
    """Name a frame of a file; None for a file that is one picture."""
    return name if number is None else f"{name}-f{number:04d}"


def describe(name: str, frame: Frame, found: Diagnosis, source: str | None = None) -> dict[str, Any]:
    """Put an answer into plain lists and numbers, for JSON."""
    height, width = frame.image.shape[:2]
    return {
        "name": name,
        **({} if source is None else {"file": source}),
        "class": found.answer,
        "probabilities": found.probabilities,
        "calibrated": found.calibrated,
        "malignant_flag": found.malignant_flag,
        "lesion": asdict(found.measurements),
        "height": height,
        "width": width,
        "spacing_mm": frame.spacing_mm,
        "doubts": [asdict(doubt) for doubt in found.doubts],
    }


def _with_text(png: bytes, text: str) -> bytes:
    """Add a description to a PNG, as an iTXt chunk after its header (PNG specification, 11.3.3)."""
    stream = BytesIO()
    stream.write(png[:_AFTER_HEADER])
    putchunk(stream, b"iTXt", b"Description\0\0\0\0\0", text.encode())
    stream.write(png[_AFTER_HEADER:])
    return stream.getvalue()


def _row(record: dict[str, Any]) -> dict[str, Any]:
    """Flatten a picture's JSON into columns."""
    lesion: dict[str, Any] = {
        key: round(value, 3) if isinstance(value, float) else value for key, value in record["lesion"].items()
    }
    box = dict(zip(_BOX, lesion["box"] or [None] * 4, strict=True))
    return {
        **record,
        **lesion,
        **{f"box_{side}": value for side, value in box.items()},
        **{f"prob_{name}": f"{value:.6f}" for name, value in record["probabilities"].items()},
        "doubts": ";".join(doubt["code"] for doubt in record["doubts"]),
    }
