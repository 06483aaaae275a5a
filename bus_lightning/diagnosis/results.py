"""A folder of results: for each image a mask, an overlay and, written last, a JSON; and one CSV of all images."""

import csv
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL.PngImagePlugin import putchunk

from bus_lightning.core.csv_cells import escape_cell
from bus_lightning.core.errors import UserError, disk_trouble
from bus_lightning.core.files import aside, write_aside
from bus_lightning.core.reading import MB, read_json
from bus_lightning.data.drawing import draw_overlay
from bus_lightning.diagnosis.diagnoser import Diagnosis
from bus_lightning.diagnosis.frames import Frame
from bus_lightning.diagnosis.trained_on import NOT_RECORDED

VERSION = 3
TABLE = "results.csv"
_MADE_WITH = ".made_with.json"
_COMPRESSION = [cv2.IMWRITE_PNG_COMPRESSION, 2]  # speckle hardly compresses
_LESION = ("lesions", "area_px", "area_mm2", "long_axis_px", "short_axis_px", "long_axis_mm", "short_axis_mm",
           "orientation_deg", "touches_border")  # fmt: skip
_IN_EACH_JSON = ("bundle", "precision")  # keys of `made_with`
_NAME = re.compile(r"(\d+-[0-9a-f]{12})(-f\d+)?\.json")
_JSON_BYTES = MB  # at most; a JSON takes a few kilobytes
_AFTER_HEADER = 33  # bytes of a PNG: its signature and the chunk IHDR
_BOX = ("top", "left", "height", "width")


class Results:
    """The folder that `predict` writes, and continues after an interruption.

    Results are named `0007-3fa9c1d2e4b5`: position in the list, and first digits of the file's SHA-256. Frames of a
    file with several are named `0007-3fa9c1d2e4b5-f0012`; their number, in `0007-3fa9c1d2e4b5.json`, is written last.

    Args:
        folder: Created if it is missing.
        made_with: What the results depend on, such as the bundle's id.
        trained_on: What the networks were trained on; it is written to every result file.
        answers: What the bundle answers, such as `class only`; it is written to the JSON and the row of every image.

    Raises:
        UserError: When the folder holds the results of another bundle or of other options, or other files.
    """

    def __init__(
        self, folder: Path, made_with: dict[str, Any], trained_on: str = NOT_RECORDED,
        answers: str = "outline and class",
    ) -> None:  # fmt: skip
        self.folder, self.made_with, self.trained_on = folder, {"version": VERSION, **made_with}, trained_on
        self.answers = answers
        marker = folder / _MADE_WITH
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not marker.exists() and all(file.name.startswith(".") for file in folder.iterdir()):
                write_aside(marker, json.dumps(self.made_with))
            earlier = read_json(marker, object) if marker.exists() else None
        except (OSError, UserError) as error:
            cannot = f"{folder} cannot hold results ({type(error).__name__}): choose another --out."
            raise UserError(disk_trouble(error, {"--out": folder}) or cannot) from None
        if not isinstance(earlier, dict):
            raise UserError(f"{folder} holds other files than results: choose another --out.")
        for key, value in self.made_with.items():
            if earlier.get(key) != value:
                raise UserError(
                    f"{folder} holds results of another {key} ({earlier.get(key)}, not {value}): choose another --out."
                )

    def is_complete(self, name: str) -> bool:
        """Return whether all results of an image, or of a file with several, exist."""
        record = self._read(name)
        if record is None:
            return False
        if "frames" in record:
            return all(self.is_complete(frame_name(name, number)) for number in range(record["frames"]))
        pictures = ["overlay"] if record["lesion"] is None else ["mask", "overlay"]
        return all(self._picture(name, kind).is_file() for kind in pictures)

    def adopt(self, names: Iterable[str]) -> None:
        """Rename results of an earlier list whose files now have other positions; `names` are of files, not frames.

        The next command goes on with a renaming that was interrupted.
        """
        wanted, saved = set(names), self._saved()
        unused: dict[str, list[str]] = {}
        for name in sorted(saved.keys() - wanted):
            unused.setdefault(name.partition("-")[2], []).append(name)
        for name in sorted(wanted):
            if (earlier := unused.get(name.partition("-")[2])) and not self.is_complete(name):
                self._rename(earlier.pop(), name)

    def rename_sources(self, sources: Mapping[str, str]) -> None:
        """Correct the files' own names in results of an earlier command, whose files may have been moved since.

        Args:
            sources: Name of a file, not of a frame -> its own name now.
        """
        saved = self._saved()
        for name, source in sources.items():
            for stem in saved.get(name, []):
                record = self._read(stem)
                if record is not None and record.get("file", source) != source:
                    self._write(stem, {**record, "file": source})

    def save(self, name: str, frame: Frame, diagnosis: Diagnosis, source: str | None = None) -> None:
        """Save the results of a frame, the JSON last; `source` is the file's own name, if it may be kept."""
        if diagnosis.mask is not None:
            self._save_picture(name, "mask", diagnosis.mask.view(np.uint8) * np.uint8(255))
        overlay = draw_overlay(frame.image, diagnosis.mask, diagnosis.heat_map)
        self._save_picture(name, "overlay", cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR, overlay))
        made_with = {key: self.made_with[key] for key in _IN_EACH_JSON if key in self.made_with}
        of_bundle = {"answers": self.answers, "trained_on": self.trained_on}
        self._write(name, _record(name, frame, diagnosis, source) | of_bundle | made_with)

    def finish_file(self, name: str, frames: int) -> None:
        """Record that all frames of a file with several are saved."""
        self._write(name, {"name": name, "frames": frames, "trained_on": self.trained_on})

    def write_table(self, names: Iterable[str], classes: list[str], outlines: bool = True) -> list[dict[str, Any]]:
        """Write `results.csv` from the JSONs of these files, and return these JSONs, one for each row.

        Without classes, or without outlines, it lacks their columns.
        """
        saved = self._saved()
        read = [self._read(stem) for name in names for stem in saved.get(name, [])]
        records = [record for record in read if record is not None and "frames" not in record]
        rows = [_row(record) for record in records]
        source = ["file"] if any("file" in row for row in rows) else []
        of_classes = ["class", *(f"prob_{name}" for name in classes), "calibrated", "malignant_flag"]
        of_lesion = [*_LESION, *(f"box_{side}" for side in _BOX)]
        columns = ["name", *source, *(of_classes if classes else []), *(of_lesion if outlines else []), "height",
                   "width", "doubts", "answers", "trained_on"]  # fmt: skip
        stream = StringIO()
        writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
        writer.writerow({name: escape_cell(name) for name in columns})
        writer.writerows({key: escape_cell(value) for key, value in row.items()} for row in rows)
        write_aside(self.folder / TABLE, stream.getvalue())
        return records

    def count_others(self, names: Iterable[str]) -> int:
        """Count the files outside this list whose results the folder holds, from an earlier list."""
        return len(self._saved().keys() - set(names))

    def _saved(self) -> dict[str, list[str]]:
        """List the JSONs of the folder: name of the file -> its own and its frames' names, sorted."""
        saved: dict[str, list[str]] = {}
        for path in sorted(self.folder.glob("*.json")):
            if match := _NAME.fullmatch(path.name):
                saved.setdefault(match[1], []).append(path.stem)
        return saved

    def _picture(self, name: str, kind: str) -> Path:
        return self.folder / f"{name}_{kind}.png"

    def _save_picture(self, name: str, kind: str, picture: np.ndarray) -> None:
        png = cv2.imencode(".png", picture, _COMPRESSION)[1].data
        with aside(self._picture(name, kind)) as temporary, temporary.open("wb") as stream:
            stream.write(png[:_AFTER_HEADER])
            stream.write(_description(self.trained_on))
            stream.write(png[_AFTER_HEADER:])

    def _read(self, name: str) -> dict[str, Any] | None:
        """Read a JSON of the folder; None if it is missing, or not one of an image or a file with several."""
        with suppress(OSError, UserError):
            record: dict[str, Any] = read_json(self.folder / f"{name}.json", most=_JSON_BYTES)
            frames = record.get("frames")
            if "frames" in record:
                return record if type(frames) is int and frames > 0 else None
            with suppress(AttributeError, KeyError, TypeError, ValueError):  # of a value of another kind
                _row(record)
                return record
        return None

    def _write(self, name: str, record: dict[str, Any]) -> None:
        write_aside(self.folder / f"{name}.json", json.dumps(record, indent=1) + "\n")

    def _rename(self, old: str, new: str) -> None:
        """Rename the results of a file, the JSONs last and its own after those of its frames, as they are written."""
        for file in sorted(self.folder.glob(f"{old}[_-]*.png")):
            file.replace(file.with_name(new + file.name[len(old) :]))
        for file in sorted(self.folder.glob(f"{old}*.json")):  # frames first: `-` comes before `.`
            renamed = new + file.stem[len(old) :]
            if (record := self._read(file.stem)) is not None:
                self._write(renamed, {**record, "name": renamed})
            file.unlink()


def frame_name(name: str, number: int | None) -> str:
    """Name a frame of a file; `number` is None if the file is a single image."""
    return name if number is None else f"{name}-f{number:04d}"


def _record(name: str, frame: Frame, diagnosis: Diagnosis, source: str | None) -> dict[str, Any]:
    """Convert a diagnosis to plain lists and numbers, for JSON."""
    height, width = frame.image.shape[:2]
    return {
        "name": name,
        **({} if source is None else {"file": source}),
        "class": diagnosis.answer,
        "probabilities": diagnosis.probabilities,
        "calibrated": diagnosis.calibrated,
        "malignant_flag": diagnosis.malignant_flag,
        "lesion": None if diagnosis.measurements is None else asdict(diagnosis.measurements),
        "height": height,
        "width": width,
        "spacing_mm": frame.spacing_mm,
        "doubts": [asdict(doubt) for doubt in diagnosis.doubts],
    }


def _description(text: str) -> bytes:
    """Make the iTXt chunk of a description, which a PNG may have after its header (PNG specification, 11.3.3)."""
    stream = BytesIO()
    putchunk(stream, b"iTXt", b"Description\0\0\0\0\0", text.encode())
    return stream.getvalue()


def _row(record: dict[str, Any]) -> dict[str, Any]:
    """Flatten the JSON of an image into columns."""
    lesion: dict[str, Any] = record["lesion"] or {}
    lesion = {key: round(value, 3) if isinstance(value, float) else value for key, value in lesion.items()}
    return {
        **record,
        **lesion,
        **{f"box_{side}": value for side, value in zip(_BOX, lesion.get("box") or [None] * 4, strict=True)},
        **{f"prob_{name}": f"{value:.6f}" for name, value in record["probabilities"].items()},
        "doubts": ";".join(doubt["code"] for doubt in record["doubts"]),
    }
