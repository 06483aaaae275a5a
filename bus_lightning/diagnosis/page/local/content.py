"""What the browser gets of a bundle as JSON: checked here, with the sentences of an answer in the words of the page."""

from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bus_lightning.core.class_names import LOW_CONFIDENCE, MALIGNANT
from bus_lightning.core.commands import name_command
from bus_lightning.core.errors import UserError
from bus_lightning.data.drawing import OUTLINE, STRENGTH
from bus_lightning.data.file_kinds import FORMATS, OTHERS, PHOTO_BRANDS, VIDEO_BOXES, read_head, recognise
from bus_lightning.data.preprocess import NEW_IMAGES, Overlay, Preprocessing
from bus_lightning.diagnosis import doubt, frames
from bus_lightning.diagnosis.bundle import Bundle
from bus_lightning.diagnosis.frames import LEAST_SIDE, LONGEST_SIDE, Limits
from bus_lightning.diagnosis.lacking import NO_CLASS, NO_OUTLINE
from bus_lightning.diagnosis.page.sentences import SENTENCES
from bus_lightning.diagnosis.page.wording import calibration_of, malignant_of
from bus_lightning.diagnosis.stage import Stage
from bus_lightning.diagnosis.trained_on import is_synthetic

PRECISIONS = ("fp32", "bf16", "int8")  # the first that a bundle has; bf16 is computed in fp32 there
_CONTOUR_SIDE = 200  # from this side on, a drawn contour has more than one pixel
_READ = "PNG, JPEG and BMP"
_OWN = {
    "what_is_read": (
        f"{_READ}, up to {{megabytes:g}} MB and {{pixels:g}} million pixels. The image stays in your browser: it is "
        "sent to nobody, not even to this page's server."
    ),
    "not_computed": (
        "Not computed in the browser: sizes in millimetres, and whether a JPEG is complete beyond its end marker."
    ),
    "as_fp32": "The numbers are those of a server in fp32; a server in bf16 or int8 rounds, and differs slightly.",
    "as_int8": "In int8 a browser rounds differently from a server: probabilities differed by up to 0.06.",
    "loading": "The networks are being loaded…",
    "working": "The image is being diagnosed…",
    "print": "Print, or save as PDF",
    "sample_missing": "The synthetic image cannot be fetched: start the page's server again, or give an image.",
    "server_only": (
        f"The page in the browser reads {_READ}, not {{kind}}: save the image as PNG, or use the page of "
        "{command} without --local."
    ),
    "rare": (
        "The {kind} has levels of more than 8 bits, several images or a rare kind of colours, which browsers convert "
        "in their own ways: save it as a PNG of 8 bits, or use the page of {command} without --local."
    ),
    "transparent": "The image has transparent pixels, whose colours a browser loses: save it without transparency.",
    "unreadable": "The file cannot be read: copy it to another disk.",
    "incomplete": "The page is incomplete: load it again; if that does not help, start its server again.",
    "cannot_open": "The page cannot open its networks in this browser ({reason}): update the browser, or use another.",
    "cannot_diagnose": "The image could not be diagnosed in this browser ({reason}): make it smaller.",
}  # fmt: skip


def check_bundle(bundle: Bundle, precision: str | None) -> str:
    """Choose the precision for the browser, and check that the page can do there what the bundle asks for.

    Raises:
        UserError: When it cannot.
    """
    kinds = [kind for kind in PRECISIONS if kind in bundle.precisions]
    chosen = precision or kinds[0]
    if chosen not in kinds:
        raise UserError(f"The bundle has no {chosen}: choose one of {', '.join(kinds)}.")
    for name, stage in bundle.networks.items():
        cleaning, overlay = stage.preprocessing, stage.overlay
        lacking = ""
        if (cleaning.denoise, cleaning.contrast) != ("none", "none") and NEW_IMAGES in cleaning.parts:
            lacking = "cleans its images"
        elif overlay and _applies(overlay) and overlay.style == "contour" and cleaning.size >= _CONTOUR_SIDE:
            lacking = "draws a thick outline into its images"
        if lacking:
            command = name_command("app")
            raise UserError(f"{name} {lacking}, which --local cannot do in the browser: use {command} without --local.")
    return chosen


def describe_bundle(bundle: Bundle, precision: str, threads: int | None, limits: Limits) -> dict[str, Any]:
    """Describe a bundle for the browser, as plain values for JSON; `files_of_networks` has its files."""
    computed = "int8" if precision == "int8" else "fp32"
    return {
        "classes": bundle.classes,
        "temperature": bundle.temperature,
        "malignant": (bundle.thresholds or {}).get(MALIGNANT),
        "least_score": bundle.least_score,
        "low_confidence": LOW_CONFIDENCE,
        "synthetic": is_synthetic(bundle.trained_on),
        "reference": bundle.reference,
        "networks": [_describe(stage, k) for k, stage in enumerate(bundle.networks.values())],
        "threads": threads,
        "made_with": f"bundle {bundle.id}, {computed}, in the browser",
        "limits": {"file_bytes": limits.file_bytes, "pixels": limits.pixels, "least_side": LEAST_SIDE,
                   "longest_side": LONGEST_SIDE},
        "kinds": {
            "formats": [[start.decode("latin-1"), kind] for start, kind in FORMATS],
            "video_boxes": [box.decode() for box in VIDEO_BOXES],
            "photo_brands": [brand.decode() for brand in PHOTO_BRANDS],
            "others": [[start.decode("latin-1"), text] for start, text in OTHERS],
        },
        "sentences": _sentences(bundle) | {"precision_note": _OWN[f"as_{computed}"]},
        "colors": {"outline": OUTLINE, "heat": _heat_colors(), "strength": STRENGTH},
        "card": bundle.card,
    }  # fmt: skip


def files_of_networks(bundle: Bundle, precision: str) -> dict[str, Path]:
    """Map the addresses that `describe_bundle` gives to the files of the networks."""
    return {_address(k): stage.files[precision] for k, stage in enumerate(bundle.networks.values())}


def _address(number: int) -> str:
    return f"networks/{number}.onnx"


def _describe(stage: Stage, number: int) -> dict[str, Any]:
    return {
        "file": _address(number),
        "outputs": stage.outputs,
        "classes": stage.classes,
        "preprocessing": _preprocessing(stage.preprocessing),
        "mean": stage.mean,
        "std": stage.std,
        "channels": stage.channels,
        "overlay": _overlay(stage.overlay),
        "head": None if stage.head is None else stage.head.tolist(),
        "flips": stage.flips,
    }


def _preprocessing(chosen: Preprocessing) -> dict[str, Any]:
    return {"size": chosen.size, "resize": chosen.resize, "rules": chosen.rules}


def _overlay(overlay: Overlay | None) -> dict[str, Any] | None:
    if not overlay or not _applies(overlay):
        return None
    color = (overlay.color_by_class or [overlay.color])[0]
    return {"style": overlay.style, "color": [*color], "alpha": overlay.alpha, "margin": overlay.margin}


def _applies(overlay: Overlay) -> bool:
    return overlay.applies_to(NEW_IMAGES) and overlay.style != "class_mark"


def _sentences(bundle: Bundle) -> dict[str, str]:
    """List the sentences by name; those about the bundle are filled as far as they can be."""
    command = name_command("app")
    return {
        **SENTENCES,
        **doubt.SENTENCES,
        **frames.REFUSALS,
        **{name: text.replace("{command}", command) for name, text in _OWN.items()},
        "empty": _refusal(b""),
        "text_file": _refusal(b"a text"),
        "unknown_kind": _refusal(b"\0\1\2\3"),
        "webp": _refusal(b"RIFF....WEBP"),
        "photo": _refusal(b"....ftyp" + PHOTO_BRANDS[0]),
        "other_kind": _refusal(OTHERS[0][0]).replace(OTHERS[0][1], "{description}"),
        "damaged": str(frames.damaged("{kind}")),
        "calibration": calibration_of(bundle) if bundle.classifies else "",
        "flagged": malignant_of(bundle, True) if bundle.classifies else NO_CLASS,
        "not_flagged": malignant_of(bundle, False) if bundle.classifies else NO_CLASS,
        "no_threshold": malignant_of(bundle, None) if bundle.classifies else NO_CLASS,
        "no_outline": NO_OUTLINE,
    }


def _refusal(content: bytes) -> str:
    """Return the line with which a file of this content is refused."""
    try:
        recognise(read_head(BufferedReader(BytesIO(content))))
    except UserError as error:
        return str(error)
    raise AssertionError("it is read")


def _heat_colors() -> list[list[int]]:
    """Return the 256 colours of the heat map, RGB."""
    levels = np.arange(256, dtype=np.uint8)[None]
    colors: list[list[int]] = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[0, :, ::-1].tolist()
    return colors
