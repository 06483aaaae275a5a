"""Put an answer into words, for the page and the report alike: plain text, the doubts first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bus_lightning.diagnosis.bundle import Bundle
from bus_lightning.diagnosis.diagnosing import MALIGNANT, Diagnosis
from bus_lightning.diagnosis.measuring import Measurements
from bus_lightning.diagnosis.page.looking import Shown
from bus_lightning.diagnosis.trained_on import is_synthetic, sentence

NOTICE = "NOT A MEDICAL DEVICE. For research and teaching; no answer may be used for the care of a patient."
NO_DOUBT = "No check raised a doubt. The checks miss some, so this is no reassurance."


@dataclass(frozen=True)
class Words:
    """An answer in words.

    Attributes:
        trained_on: What the networks were trained on.
        is_synthetic: Whether any of them was trained on synthetic images.
        doubts: What speaks against it; never empty.
        is_doubted: Whether a check raised any of them.
        answer: The likeliest class and its probability.
        probabilities: Of each class, the likeliest first.
        calibration: What the probabilities mean.
        malignant: What the threshold says.
        is_flagged: Whether malignant is at or above its threshold.
        measurements: Label and value.
        heat_map: What the heat map shows, or that there is none.
        notes: What else is to be known.
    """

    trained_on: str
    is_synthetic: bool
    doubts: list[str]
    is_doubted: bool
    answer: str
    probabilities: list[tuple[str, float]]
    calibration: str
    malignant: str
    is_flagged: bool
    measurements: list[tuple[str, str]]
    heat_map: str
    notes: list[str]


def say(shown: Shown, bundle: Bundle) -> Words:
    """Put what is shown into words."""
    found = shown.diagnosis
    probability = found.probabilities[found.answer]
    height, width = shown.shape
    notes = [
        f"Image {shown.name}, {width} x {height} pixels; {shown.made_with}.",
        "Text that is burned into the picture stays in it: look for a name before passing it on.",
    ]
    if shown.frames is not None:
        notes.insert(0, f"The file has {shown.frames} pictures: this is the first. The command predict answers all.")
    return Words(
        trained_on=sentence(bundle.trained_on),
        is_synthetic=is_synthetic(bundle.trained_on),
        doubts=[doubt.text for doubt in found.doubts] or [NO_DOUBT],
        is_doubted=bool(found.doubts),
        answer=f"Most likely {found.answer}: {percent(probability)}",
        probabilities=sorted(found.probabilities.items(), key=lambda item: -item[1]),
        calibration=_calibration(found, bundle),
        malignant=_malignant(found, (bundle.thresholds or {}).get(MALIGNANT)),
        is_flagged=bool(found.malignant_flag),
        measurements=_measurements(found.measurements, shown.spacing_mm),
        heat_map=_heat_map(found),
        notes=notes,
    )


def percent(probability: float) -> str:
    """Write a probability, without saying that anything is certain."""
    if probability >= 0.995:
        return "more than 99%"
    return "less than 1%" if probability < 0.005 else f"{probability:.0%}"


def _calibration(found: Diagnosis, bundle: Bundle) -> str:
    if not found.calibrated:
        return "The probabilities are not calibrated: they rank the classes, and 70% does not mean 70 of 100 images."
    known = (bundle.thresholds or {}).get(MALIGNANT, {})
    number = f"{known['positives'] + known['negatives']:,} " if {"positives", "negatives"} <= known.keys() else ""
    share = round(100 * found.probabilities[found.answer])
    drawn = " of synthetic images" if is_synthetic(bundle.trained_on) else ""
    return (
        f"The probabilities are calibrated on {number}out-of-fold predictions{drawn}: of 100 images like the training "
        f"images that get this probability, about {share} should be {found.answer}."
    )


def _malignant(found: Diagnosis, threshold: Mapping[str, Any] | None) -> str:
    if threshold is None or found.malignant_flag is None:
        return "Malignant: this bundle has no threshold for it, so nothing is flagged and nothing is ruled out."
    side = "at or above" if found.malignant_flag else "below"
    share, limit = found.probabilities[MALIGNANT], threshold["threshold"]
    said = f"Malignant: {share:.1%}, {side} the threshold of {limit:.1%}"
    if "asked" in threshold:
        said += f", chosen for a sensitivity of at least {threshold['asked']:.0%}"
    said += ". "
    if {"positives", "negatives", "sensitivity", "specificity"} <= threshold.keys():
        found_ones = round(threshold["sensitivity"] * threshold["positives"])
        alarms = threshold["negatives"] - round(threshold["specificity"] * threshold["negatives"])
        said += (
            f"Out of fold it found {found_ones} of {threshold['positives']} malignant images and flagged {alarms} of "
            f"{threshold['negatives']} others. "
        )
    return said + ("" if found.malignant_flag else "Malignant is not ruled out.")


def _measurements(found: Measurements, spacing_mm: tuple[float, float] | None) -> list[tuple[str, str]]:
    if not found.lesions or found.box is None:
        return [("Lesion", "none outlined")]
    top, left, height, width = found.box

    def size(millimetres: float | None, pixels: float | None, unit: str) -> str:
        drawn = f"{pixels or 0:,.0f} px"
        return drawn if millimetres is None else f"{millimetres:,.1f} {unit} ({drawn})"

    pixel = "not known, so sizes are in pixels"
    if spacing_mm is not None:
        pixel = f"{spacing_mm[1]:.3g} x {spacing_mm[0]:.3g} mm, as the file says"
    return [
        ("Lesions", "1" if found.lesions == 1 else f"{found.lesions}, the largest is measured"),
        ("Area", size(found.area_mm2, found.area_px, "mm²")),
        ("Long axis", size(found.long_axis_mm, found.long_axis_px, "mm")),
        ("Short axis", size(found.short_axis_mm, found.short_axis_px, "mm")),
        ("Direction of the long axis", f"{found.orientation_deg or 0:.0f}° (0° is level)"),
        ("Box", f"{width} x {height} px, from {left} px left and {top} px top"),
        ("At the image's border", "yes" if found.touches_border else "no"),
        ("Size of a pixel", pixel),
    ]


def _heat_map(found: Diagnosis) -> str:
    if found.heat_map is None:
        return "No heat map: this classifier has none."
    if not found.heat_map.any():
        return f"The heat map is empty: no place speaks for {found.answer} by itself."
    return f"The heat map shows what weighed for {found.answer}, not where the disease is."
