"""Put a diagnosis into words, for the page and its printout: plain text, the doubts first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bus_lightning.core.class_names import MALIGNANT
from bus_lightning.diagnosis.bundle import Bundle
from bus_lightning.diagnosis.diagnoser import Diagnosis
from bus_lightning.diagnosis.lacking import NO_CLASS, NO_OUTLINE
from bus_lightning.diagnosis.measurements import Measurements
from bus_lightning.diagnosis.page.view import View
from bus_lightning.diagnosis.trained_on import is_synthetic, sentence

_TITLES = {"outline and class": "outline, class and doubts", "class only": "class and doubts",
           "outline only": "outline and doubts"}  # fmt: skip
NOTICE = ("NOT A MEDICAL DEVICE.", "For research and teaching; do not use any answer for the care of a patient.")
NO_DOUBT = "No check raised a doubt. The checks miss some errors, so the answer can still be wrong."


@dataclass(frozen=True)
class Words:
    """A diagnosis in words; each text is one or more sentences."""

    title: str
    trained_on: str
    is_synthetic: bool
    doubts: list[str]  # `NO_DOUBT` if there is none
    is_doubted: bool
    answer: str
    probabilities: list[tuple[str, str, float]]  # class, share in words, share; the most likely first
    calibration: str  # empty without classes, like `malignant`
    malignant: str
    is_flagged: bool  # malignant is at or above its threshold
    measurements: list[tuple[str, str]]  # label, value
    picture: str  # what the picture shows, for those who do not see it
    caption: str
    notes: list[str]


def describe(view: View, bundle: Bundle) -> Words:
    """Put a diagnosis into words."""
    diagnosis = view.diagnosis
    shares = sorted(diagnosis.probabilities.items(), key=lambda item: -item[1])
    height, width = view.shape
    notes = [
        f"Image {view.name}, {width} x {height} pixels; {view.made_with}.",
        "Text that is burned into the image stays in it: check it for names before you pass it on.",
    ]
    if view.frames is not None:
        notes.insert(0, f"The file has {view.frames} images: this is the first. The command predict diagnoses all.")
    return Words(
        title=title_of(bundle),
        trained_on=sentence(bundle.trained_on),
        is_synthetic=is_synthetic(bundle.trained_on),
        doubts=[doubt.text for doubt in diagnosis.doubts] or [NO_DOUBT],
        is_doubted=bool(diagnosis.doubts),
        answer=_answer(diagnosis),
        probabilities=[(name, percent(share), share) for name, share in shares],
        calibration=_calibration(diagnosis, bundle) if bundle.classifies else "",
        malignant=_malignant(diagnosis, bundle) if bundle.classifies else NO_CLASS,
        is_flagged=bool(diagnosis.malignant_flag),
        measurements=_measurements(diagnosis.measurements, view.spacing_mm),
        picture=_picture(diagnosis),
        caption=_caption(diagnosis),
        notes=notes,
    )


def title_of(bundle: Bundle) -> str:
    """Return the title of the page and of its reports."""
    return f"Breast ultrasound: {_TITLES[bundle.answers]}"


def percent(probability: float) -> str:
    """Write a probability; never as 0% or 100%, because no answer is certain."""
    if probability >= 0.995:
        return "more than 99%"
    return "less than 1%" if probability < 0.005 else f"{probability:.0%}"


def _answer(diagnosis: Diagnosis) -> str:
    if diagnosis.answer is not None:
        return f"Most likely {diagnosis.answer}: {percent(diagnosis.probabilities[diagnosis.answer])}"
    assert diagnosis.measurements is not None
    lesions = diagnosis.measurements.lesions
    return "No lesion outlined" if not lesions else f"{lesions} lesion{'s' if lesions > 1 else ''} outlined"


def _calibration(diagnosis: Diagnosis, bundle: Bundle) -> str:
    if not diagnosis.calibrated:
        return "The probabilities are not calibrated: they rank the classes, but 70% does not mean 70 of 100 images."
    counts = (bundle.thresholds or {}).get(MALIGNANT, {})
    number = f"{counts['positives'] + counts['negatives']:,} " if {"positives", "negatives"} <= counts.keys() else ""
    share = round(100 * max(diagnosis.probabilities.values()))
    kind = " (synthetic images)" if is_synthetic(bundle.trained_on) else ""
    return (
        f"The probabilities are calibrated on {number}{bundle.calibrated_on}{kind}: of 100 images like the training "
        f"images with this probability, about {share} should be {diagnosis.answer}."
    )


def _malignant(diagnosis: Diagnosis, bundle: Bundle) -> str:
    threshold: Mapping[str, Any] | None = (bundle.thresholds or {}).get(MALIGNANT)
    if threshold is None or diagnosis.malignant_flag is None:
        return "Malignant: this bundle has no threshold for it, so nothing is flagged and nothing is ruled out."
    side = "at or above" if diagnosis.malignant_flag else "below"
    text = f"Malignant: {diagnosis.probabilities[MALIGNANT]:.1%}, {side} the threshold of {threshold['threshold']:.1%}"
    if "asked" in threshold:
        text += f", chosen for a sensitivity of at least {threshold['asked']:.0%}"
    text += "."
    if {"positives", "negatives", "sensitivity", "specificity"} <= threshold.keys():
        hits = round(threshold["sensitivity"] * threshold["positives"])
        alarms = threshold["negatives"] - round(threshold["specificity"] * threshold["negatives"])
        text += (
            f" On {bundle.calibrated_on} it found {hits} of {threshold['positives']} malignant images and flagged "
            f"{alarms} of {threshold['negatives']} others."
        )
    return text if diagnosis.malignant_flag else f"{text} Malignant is not ruled out."


def _measurements(lesion: Measurements | None, spacing_mm: tuple[float, float] | None) -> list[tuple[str, str]]:
    if lesion is None:
        return [("Lesion", NO_OUTLINE)]
    if not lesion.lesions or lesion.box is None:
        return [("Lesion", "none outlined")]
    top, left, height, width = lesion.box

    def size(millimetres: float | None, pixels: float | None, unit: str) -> str:
        text = f"{pixels or 0:,.0f} px"
        return text if millimetres is None else f"{millimetres:,.1f} {unit} ({text})"

    pixel = "not known, so sizes are in pixels"
    if spacing_mm is not None:
        pixel = f"{spacing_mm[1]:.3g} x {spacing_mm[0]:.3g} mm, from the file"
    return [
        ("Lesions", "1" if lesion.lesions == 1 else f"{lesion.lesions}, the largest is measured"),
        ("Area", size(lesion.area_mm2, lesion.area_px, "mm²")),
        ("Long axis", size(lesion.long_axis_mm, lesion.long_axis_px, "mm")),
        ("Short axis", size(lesion.short_axis_mm, lesion.short_axis_px, "mm")),
        ("Direction of the long axis", f"{lesion.orientation_deg or 0:.0f}° (0° is level)"),
        ("Box", f"{width} x {height} px, {left} px from the left and {top} px from the top"),
        ("At the image's border", "yes" if lesion.touches_border else "no"),
        ("Size of a pixel", pixel),
    ]


def _picture(diagnosis: Diagnosis) -> str:
    layers = {"the outline of the lesion": diagnosis.mask, "the heat map": diagnosis.heat_map}
    shown = [name for name, layer in layers.items() if layer is not None]
    return f"The image, with {' and '.join(shown)}" if shown else "The image"


def _caption(diagnosis: Diagnosis) -> str:
    line = "Blue line: outline of the lesion." if diagnosis.mask is not None else "No outline: this bundle has none."
    return line if diagnosis.answer is None else f"{line} {_heat_map(diagnosis)}"


def _heat_map(diagnosis: Diagnosis) -> str:
    if diagnosis.heat_map is None:
        return "No heat map: this classifier has none."
    if not diagnosis.heat_map.any():
        return f"The heat map is empty: no single place supports the answer {diagnosis.answer}."
    return f"The heat map shows the places that support the answer {diagnosis.answer}, not where the disease is."
