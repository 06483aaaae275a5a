"""The report of one answer, as a PDF or a PNG: the picture and the words, under the name of its content."""

from io import BytesIO

import numpy as np
from fpdf import FPDF
from fpdf.enums import Align, XPos, YPos
from PIL import Image, ImageDraw, ImageFont

from bus_lightning.diagnosis.drawing import draw_overlay
from bus_lightning.diagnosis.page.looking import Shown
from bus_lightning.diagnosis.page.wording import NOTICE, Words, percent

TITLE = "Breast ultrasound: outline, class and doubts"
_DARK, _RED, _GREY = (25, 28, 35), (163, 20, 20), (90, 95, 105)
_PICTURE_MM = (174, 112)  # at most, of an A4 page of 210 x 297
_SHEET, _MARGIN = 1000, 40  # width of the PNG, in pixels
Line = tuple[str, str]  # style and text


def lines(shown: Shown, words: Words) -> list[Line]:
    """List what a report says below the picture: (style, text), the style being doubt, head, text or small."""
    said: list[Line] = [("doubt" if words.is_synthetic else "text", words.trained_on), ("head", "Doubts")]
    said += [("doubt" if words.is_doubted else "text", f"- {doubt}") for doubt in words.doubts]
    said.append(("head", words.answer))
    said.append(("text", "; ".join(f"{name} {percent(value)}" for name, value in words.probabilities) + "."))
    said.append(("doubt" if words.is_flagged else "text", words.malignant.strip()))
    said += [("text", words.calibration), ("head", "Measurements")]
    said += [("text", f"{label}: {value}") for label, value in words.measurements]
    said += [("small", note) for note in [*words.notes, f"Blue line: the lesion's outline. {words.heat_map}"]]
    return said


def as_pdf(shown: Shown, words: Words, strength: float) -> bytes:
    """Write the report as a PDF of A4 pages.

    Args:
        shown: The picture and its answer.
        words: The answer in words.
        strength: Of the heat map, in [0, 1].
    """
    pdf = FPDF(format="A4")
    pdf.set_title(f"Report {shown.name}")
    pdf.set_margin(18)
    pdf.set_auto_page_break(True, 16)
    pdf.add_page()
    _write(pdf, NOTICE, 10, "B", _RED)
    _write(pdf, TITLE, 15, "B", _DARK)
    drawn = Image.fromarray(_drawn(shown, strength))
    scale = min(side / pixels for side, pixels in zip(_PICTURE_MM, drawn.size, strict=True))
    pdf.image(drawn, x=Align.C, w=drawn.width * scale, h=drawn.height * scale)
    pdf.ln(2)
    styles = {"head": (11, "B", _DARK), "doubt": (10, "B", _RED), "text": (10, "", _DARK), "small": (8, "", _GREY)}
    for style, text in lines(shown, words):
        pdf.ln(2 if style == "head" else 0)
        _write(pdf, text, *styles[style])
    return bytes(pdf.output())


def as_png(shown: Shown, words: Words, strength: float) -> bytes:
    """Write the report as one PNG; see `as_pdf`."""
    width = _SHEET - 2 * _MARGIN
    drawn = Image.fromarray(_drawn(shown, strength))
    # A small picture is enlarged, a tall one made narrower.
    scale = min(width / drawn.width, 900 / drawn.height)
    drawn = drawn.resize((max(1, round(drawn.width * scale)), max(1, round(drawn.height * scale))))
    sizes = {"title": (34, _DARK), "head": (26, _DARK), "doubt": (22, _RED), "text": (22, _DARK), "small": (18, _GREY)}
    fonts = {style: ImageFont.load_default(size) for style, (size, _) in sizes.items()}

    def wrapped(said: list[Line]) -> list[Line]:
        return [(style, row) for style, text in said for row in _wrap(text, fonts[style], width)]

    above, below = wrapped([("doubt", NOTICE), ("title", TITLE)]), wrapped(lines(shown, words))
    heights = {style: round(size * 1.4) for style, (size, _) in sizes.items()}
    height = sum(heights[style] for style, _ in above + below) + drawn.height + 8 * _MARGIN
    sheet = Image.new("RGB", (_SHEET, height), "white")
    pen, top = ImageDraw.Draw(sheet), _MARGIN
    for style, row in above:
        pen.text((_MARGIN, top), row, sizes[style][1], fonts[style])
        top += heights[style]
    sheet.paste(drawn, ((_SHEET - drawn.width) // 2, top + _MARGIN // 2))
    top += drawn.height + _MARGIN
    for style, row in below:
        top += heights[style] // 2 if style == "head" else 0
        pen.text((_MARGIN, top), row, sizes[style][1], fonts[style])
        top += heights[style]
    stream = BytesIO()
    sheet.crop((0, 0, _SHEET, top + _MARGIN)).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _drawn(shown: Shown, strength: float) -> np.ndarray:
    return draw_overlay(shown.image, shown.diagnosis.mask, shown.diagnosis.heat_map, strength)


def _write(pdf: FPDF, text: str, size: int, style: str, color: tuple[int, int, int]) -> None:
    pdf.set_font("Helvetica", style, size)
    pdf.set_text_color(*color)
    printable = text.encode("latin-1", "replace").decode("latin-1")  # what the PDF's own fonts know
    pdf.multi_cell(0, size * 0.5, printable, new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _wrap(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a text into rows that fit."""
    rows = [""]
    for word in text.split():
        longer = f"{rows[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            rows[-1] = longer
        else:
            rows.append(word)
    return rows
