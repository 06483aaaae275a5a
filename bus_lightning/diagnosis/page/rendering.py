"""The page's own HTML: where an image is given, the picture, the answer in words."""

from collections.abc import Iterable
from html import escape

from bus_lightning.diagnosis.bundle import Bundle
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.page.layers import heat_layer, image_layer, outline_layer
from bus_lightning.diagnosis.page.looking import Shown
from bus_lightning.diagnosis.page.wording import NOTICE, Words, percent
from bus_lightning.diagnosis.trained_on import is_synthetic, sentence

NOTHING_YET = '<p class="hint">The answer appears here, with its doubts, when an image is given.</p>'


def notice() -> str:
    """Say what the page is not."""
    return f'<p class="notice" role="note">{_bold_start(NOTICE)}</p>'


def trained_on(bundle: Bundle) -> str:
    """Say what the networks were trained on, in a banner."""
    kind = "synthetic" if is_synthetic(bundle.trained_on) else "real"
    return f'<p class="trained {kind}" role="note">{escape(sentence(bundle.trained_on))}</p>'


def intake(limits: Limits, thumbnails: Iterable[str]) -> str:
    """Ask for a file, or for one of the samples."""
    buttons = "".join(
        f'<button type="button" data-sample="{number}"><img alt="" src="{uri}">Sample {number + 1}</button>'
        for number, uri in enumerate(thumbnails)
    )
    samples = f'<div class="samples" role="group" aria-label="Samples">{buttons}</div>' if buttons else ""
    return f"""
<label class="drop">
  <input type="file" aria-describedby="what-is-read" data-most="{limits.file_bytes}">
  <span class="invite">Drop an image here, or <u>choose a file</u></span>
  <span class="small" id="what-is-read">PNG, JPEG, BMP, TIFF, DICOM, MP4, MOV or AVI; at most
  {limits.file_bytes / 1e6:g} MB and {limits.pixels / 1e6:g} million pixels. The file's name stays in your browser, and
  the file is deleted as soon as it has been read.</span>
</label>{samples}"""


def failure(line: str) -> str:
    """Say in one line why there is no answer."""
    return f'<p class="failure" role="alert">{escape(line)}</p>'


def picture(shown: Shown, words: Words) -> str:
    """Lay the picture, the heat and the outline over each other."""
    heat = heat_layer(shown)
    height, width = shown.image.shape[:2]
    layers = [
        f'<img src="{image_layer(shown)}" alt="The image, with the outline of the lesion and the heat map">',
        f'<img class="heat" src="{heat}" alt="">' if heat else "",
        f'<img src="{outline_layer(shown)}" alt="">',
    ]
    # A tall picture leaves room for the answer: its width follows from the screen's height.
    shape = f"aspect-ratio: {width} / {height}; max-width: calc(72vh * {width / height:.4f})"
    return f"""
<figure class="picture"><div class="layers" style="{shape}">{"".join(layers)}</div>
<figcaption>Blue line: the outline of the lesion. {escape(words.heat_map)}</figcaption></figure>"""


def answer(words: Words) -> str:
    """Write the answer, its doubts first."""
    doubts = "".join(f"<li>{escape(doubt)}</li>" for doubt in words.doubts)
    kind, title = ("raised", "Doubts") if words.is_doubted else ("none", "No doubt was raised")
    bars = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="bar"><span style="width: {100 * value:.1f}%"></span></td>'
        f"<td>{percent(value)}</td></tr>"
        for name, value in words.probabilities
    )
    sizes = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td>{escape(value)}</td></tr>' for label, value in words.measurements
    )
    notes = "".join(f'<p class="small">{escape(note)}</p>' for note in words.notes)
    return f"""
<section class="doubts {kind}"><h2>{title}</h2><ul>{doubts}</ul></section>
<section><h2 class="answer">{escape(words.answer)}</h2>
<table class="probabilities"><caption>Probability of each class</caption>{bars}</table>
<p class="{"flagged" if words.is_flagged else "unflagged"}">{escape(words.malignant)}</p>
<p>{escape(words.calibration)}</p></section>
<section><h2>Measurements</h2><table class="sizes">{sizes}</table></section>
<section>{notes}</section>"""


def _bold_start(text: str) -> str:
    first, rest = text.split(". ", 1)
    return f"<strong>{escape(first)}.</strong> {escape(rest)}"
