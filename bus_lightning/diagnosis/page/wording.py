"""Put a diagnosis into words, for the page and its printout: plain text, the doubts first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bus_lightning.core.class_names import MALIGNANT
from bus_lightning.diagnosis.bundle import Bundle
from bus_lightning.diagnosis.diagnoser import Diagnosis
from bus_lightning.diagnosis.measurements import Measurements
from bus_lightning.diagnosis.page.view import View
from bus_lightning.diagnosis.trained_on import is_synthetic, sentence

TITLE = "Breast ultrasound: outline, class and doubts"
NOTICE = ("NOT A MEDICAL DEVICE.", "For research and teaching; do not use any answer for the care of a patient.")
NO_DOUBT = "No check raised a doubt. The checks miss some errors, so the answer can still be wrong."


@dataclass(frozen=True)
class Words:
    """A diagnosis in words; each text is one or more sentences."""

    trained_on: str
    is_synthetic: bool
    doubts: list[str]  # `NO_DOUBT` if there is none
    is_doubted: bool
    answer: str
    probabilities: list[tuple[str, str, float]]  # class, share in words, share; the most likely first
    calibration: str
    malignant: str
    is_flagged: bool  # malignant is at or above its threshold
    measurements: list[tuple[str, str]]  # label, value
    heat_map: str
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
        trained_on=sentence(bundle.trained_on),
        is_synthetic=is_synthetic(bundle.trained_on),
        doubts=[doubt.text for doubt in diagnosis.doubts] or [NO_DOUBT],
        is_doubted=bool(diagnosis.doubts),
        answer=f"Most likely {diagnosis.answer}: {percent(diagnosis.probabilities[diagnosis.answer])}",
        probabilities=[(name, percent(share), share) for name, share in shares],
        calibration=_calibration(diagnosis, bundle),
        malignant=_malignant(diagnosis, (bundle.thresholds or {}).get(MALIGNANT)),
        is_flagged=bool(diagnosis.malignant_flag),
        measurements=_measurements(diagnosis.measurements, view.spacing_mm),
        heat_map=_heat_map(diagnosis),
        notes=notes,
    )


def percent(probability: float) -> str:
    """Write a probability; never as 0% or 100%, because no answer is certain."""
    if probability >= 0.995:
        return "more than 99%"
    return "less than 1%" if probability < 0.005 else f"{probability:.0%}"


def _calibration(diagnosis: Diagnosis, bundle: Bundle) -> str:
    if not diagnosis.calibrated:
        return "The probabilities are not calibrated: they rank the classes, but 70% does not mean 70 of 100 images."
    counts = (bundle.thresholds or {}).get(MALIGNANT, {})
    number = f"{counts['positives'] + counts['negatives']:,} " if {"positives", "negatives"} <= counts.keys() else ""
    share = round(100 * diagnosis.probabilities[diagnosis.answer])
    kind = " of synthetic images" if is_synthetic(bundle.trained_on) else ""
    return (
        f"The probabilities are calibrated on {number}out-of-fold predictions{kind}: of 100 images like the training "
        f"images with this probability, about {share} should be {diagnosis.answer}."
    )


def _malignant(diagnosis: Diagnosis, threshold: Mapping[str, Any] | None) -> str:
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
            f" On out-of-fold predictions it found {hits} of {threshold['positives']} malignant images and flagged "
            f"{alarms} of {threshold['negatives']} others."
        )
    return text if diagnosis.malignant_flag else f"{text} Malignant is not ruled out."


def _measurements(lesion: Measurements, spacing_mm: tuple[float, float] | None) -> list[tuple[str, str]]:
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


def _heat_map(diagnosis: Diagnosis) -> str:
    if diagnosis.heat_map is None:
        return "No heat map: this classifier has none."
    if not diagnosis.heat_map.any():
        return f"The heat map is empty: no single place supports the answer {diagnosis.answer}."
    return f"The heat map shows the places that support the answer {diagnosis.answer}, not where the disease is."
