"""Put a diagnosis into words, for the page and its printout: plain text, the doubts first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bus_lightning.core.class_names import MALIGNANT
from bus_lightning.core.commands import name_command
from bus_lightning.diagnosis.bundle import Bundle
from bus_lightning.diagnosis.diagnoser import Diagnosis
from bus_lightning.diagnosis.lacking import NO_CLASS, NO_OUTLINE
from bus_lightning.diagnosis.measurements import Measurements
from bus_lightning.diagnosis.page.sentences import SENTENCES
from bus_lightning.diagnosis.page.view import View
from bus_lightning.diagnosis.trained_on import is_synthetic, sentence

_TITLES = {"outline and class": "outline, class and doubts", "class only": "class and doubts",
           "outline only": "outline and doubts"}  # fmt: skip
NOTICE = ("NOT A MEDICAL DEVICE.", "For research and teaching; do not use any answer for the care of a patient.")
NO_DOUBT = SENTENCES["no_doubt"]


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
        say("image_note", name=view.name, width=width, height=height, made_with=view.made_with),
        SENTENCES["burned_in_note"],
    ]
    if view.frames is not None and view.frames != 1:
        all_of_them = f"This is the first. The command {name_command('diagnose')} diagnoses all."
        notes.insert(0, f"The file has {view.frames or 'several'} images. {all_of_them}")
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


def say(sentence: str, **values: Any) -> str:
    """Fill a sentence."""
    return SENTENCES[sentence].format(**values)


def percent(probability: float) -> str:
    """Write a probability; never as 0% or 100%, because no answer is certain."""
    if probability >= 0.995:
        return SENTENCES["almost_certain"]
    return SENTENCES["hardly_possible"] if probability <= 0.005 else say("share", share=probability)


def percent_in_tenths(probability: float) -> str:
    """Write a probability with a decimal; never as 0.0% or 100.0%."""
    if probability >= 0.9995:
        return SENTENCES["almost_certain_in_tenths"]
    if probability <= 0.0005:
        return SENTENCES["hardly_possible_in_tenths"]
    return say("share_in_tenths", share=probability)


def calibration_of(bundle: Bundle) -> str:
    """Say how the probabilities of a bundle are calibrated, with {share}, in percent, and {answer} left open."""
    if bundle.temperature is None:
        return SENTENCES["not_calibrated"]
    counts = (bundle.thresholds or {}).get(MALIGNANT, {})
    number = f"{counts['positives'] + counts['negatives']:,} " if {"positives", "negatives"} <= counts.keys() else ""
    kind = " (synthetic images)" if is_synthetic(bundle.trained_on) else ""
    return (
        f"The probabilities are calibrated on {number}{bundle.calibrated_on}{kind}: of 100 images like the training "
        "images with this probability, about {share} should be {answer}."
    )


def malignant_of(bundle: Bundle, is_flagged: bool | None) -> str:
    """Say on which side of its threshold malignant is, with {share}, from `percent_in_tenths`, left open.

    `is_flagged` is None if no threshold was compared.
    """
    threshold: Mapping[str, Any] | None = (bundle.thresholds or {}).get(MALIGNANT)
    if threshold is None or is_flagged is None:
        return "Malignant: this bundle has no threshold for it, so nothing is flagged and nothing is ruled out."
    side = "at or above" if is_flagged else "below"
    text = f"Malignant: {{share}}, {side} the threshold of {threshold['threshold']:.1%}"
    if "asked" in threshold:
        text += f", chosen for a sensitivity of at least {100 * threshold['asked']:g}%"
    text += "."
    if {"positives", "negatives", "sensitivity", "specificity"} <= threshold.keys():
        hits = round(threshold["sensitivity"] * threshold["positives"])
        alarms = threshold["negatives"] - round(threshold["specificity"] * threshold["negatives"])
        text += (
            f" On {bundle.calibrated_on} it found {hits} of {threshold['positives']} malignant images and flagged "
            f"{alarms} of {threshold['negatives']} others."
        )
    return text if is_flagged else f"{text} Malignant is not ruled out."


def _answer(diagnosis: Diagnosis) -> str:
    if diagnosis.answer is not None:
        share = percent(diagnosis.probabilities[diagnosis.answer])
        return say("most_likely", answer=diagnosis.answer, share=share)
    assert diagnosis.measurements is not None
    lesions = diagnosis.measurements.lesions
    kind = "none_outlined" if not lesions else "one_outlined" if lesions == 1 else "many_outlined"
    return say(kind, lesions=lesions)


def _calibration(diagnosis: Diagnosis, bundle: Bundle) -> str:
    share = min(99, round(100 * max(diagnosis.probabilities.values())))  # never "about 100 of 100"
    text = calibration_of(bundle) if diagnosis.calibrated else SENTENCES["not_calibrated"]
    return text.format(share=share, answer=diagnosis.answer)


def _malignant(diagnosis: Diagnosis, bundle: Bundle) -> str:
    text = malignant_of(bundle, diagnosis.malignant_flag)
    return text.format(share=percent_in_tenths(diagnosis.probabilities.get(MALIGNANT, 0)))


def _measurements(lesion: Measurements | None, spacing_mm: tuple[float, float] | None) -> list[tuple[str, str]]:
    if lesion is None:
        return [(SENTENCES["lesion"], NO_OUTLINE)]
    if not lesion.lesions or lesion.box is None:
        return [(SENTENCES["lesion"], SENTENCES["no_lesion"])]
    top, left, height, width = lesion.box

    def size(millimetres: float | None, pixels: float | None, unit: str) -> str:
        text = say("pixels", pixels=pixels or 0)
        return text if millimetres is None else f"{millimetres:,.1f} {unit} ({text})"

    pixel = SENTENCES["pixel_unknown"]
    if spacing_mm is not None:
        pixel = f"{spacing_mm[1]:.3g} x {spacing_mm[0]:.3g} mm, from the file"
    values = {
        "lesions": "1" if lesion.lesions == 1 else say("several_lesions_measured", lesions=lesion.lesions),
        "area": size(lesion.area_mm2, lesion.area_px, "mm²"),
        "long_axis": size(lesion.long_axis_mm, lesion.long_axis_px, "mm"),
        "short_axis": size(lesion.short_axis_mm, lesion.short_axis_px, "mm"),
        "direction": say("degrees", degrees=lesion.orientation_deg or 0),
        "box": say("box_place", width=width, height=height, left=left, top=top),
        "at_border": SENTENCES["yes" if lesion.touches_border else "no"],
        "pixel": pixel,
    }
    return [(SENTENCES[label], value) for label, value in values.items()]


def _picture(diagnosis: Diagnosis) -> str:
    outline = "picture_outline" if _has_lesion(diagnosis) else "picture_speck"
    layers = {outline: diagnosis.mask, "picture_heat": diagnosis.heat_map}
    shown = [SENTENCES[name] for name, layer in layers.items() if layer is not None and layer.any()]
    return say("picture_with", layers=SENTENCES["and"].join(shown)) if shown else SENTENCES["picture"]


def _has_lesion(diagnosis: Diagnosis) -> bool:
    """Say whether something outlined is large enough to be a lesion; specks are drawn, too."""
    return diagnosis.measurements is not None and diagnosis.measurements.lesions > 0


def _caption(diagnosis: Diagnosis) -> str:
    if diagnosis.mask is None:
        line = SENTENCES["no_outline_caption"]
    elif not diagnosis.mask.any():
        line = SENTENCES["empty_outline_caption"]
    else:
        line = SENTENCES["outline_caption" if _has_lesion(diagnosis) else "speck_caption"]
    return line if diagnosis.answer is None else f"{line} {_heat_map(diagnosis)}"


def _heat_map(diagnosis: Diagnosis) -> str:
    if diagnosis.heat_map is None:
        return SENTENCES["no_heat_caption"]
    return say("heat_caption" if diagnosis.heat_map.any() else "empty_heat_caption", answer=diagnosis.answer)
