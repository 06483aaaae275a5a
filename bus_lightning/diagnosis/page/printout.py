"""Write a diagnosis as a PDF or a PNG: the image and the words, without the file's name."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from fpdf import FPDF
from fpdf.enums import Align, XPos, YPos
from PIL import Image, ImageDraw, ImageFont

from bus_lightning.data.drawing import draw_overlay
from bus_lightning.diagnosis.page.view import View
from bus_lightning.diagnosis.page.wording import NOTICE, Words

_DARK, _RED, _GREY = (25, 28, 35), (163, 20, 20), (90, 95, 105)
_PICTURE_MM = (174, 112)  # largest size on an A4 page of 210 x 297
_WIDTH, _MARGIN, _PICTURE_HEIGHT = 1000, 40, 900  # of the PNG, in pixels
# Points and font style of the PDF, pixels of the PNG, colour of both.
_STYLES = {"title": (15, "B", 34, _DARK), "head": (11, "B", 26, _DARK), "doubt": (10, "B", 22, _RED),
           "text": (10, "", 22, _DARK), "small": (8, "", 18, _GREY)}  # fmt: skip
Line = tuple[str, str]  # style and text


def write_pdf(view: View, words: Words, strength: float) -> bytes:
    """Write A4 pages; `strength` is the opacity of the strongest heat, in [0, 1]."""
    pdf = FPDF(format="A4")
    pdf.set_title(f"Report {view.name}")
    pdf.set_margin(18)
    pdf.set_auto_page_break(True, 16)
    pdf.add_page()
    _add_lines(pdf, _heading(words))
    picture = _picture(view, strength)
    scale = min(side / pixels for side, pixels in zip(_PICTURE_MM, picture.size, strict=True))
    pdf.image(picture, x=Align.C, w=picture.width * scale, h=picture.height * scale)
    pdf.ln(2)
    _add_lines(pdf, list_lines(words))
    return bytes(pdf.output())


def write_png(view: View, words: Words, strength: float) -> bytes:
    """Write a single image; arguments as in `write_pdf`."""
    width = _WIDTH - 2 * _MARGIN
    picture = _picture(view, strength)
    scale = min(width / picture.width, _PICTURE_HEIGHT / picture.height)  # a small picture is enlarged
    picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    above, below = _rows(_heading(words), width), _rows(list_lines(words), width)
    sheet = Image.new("RGB", (_WIDTH, sum(2 * _STYLES[style][2] for style, _ in above + below) + 1200), "white")
    bottom = _draw_rows(sheet, above, _MARGIN)
    sheet.paste(picture, ((_WIDTH - picture.width) // 2, bottom + _MARGIN // 2))
    bottom = _draw_rows(sheet, below, bottom + picture.height + _MARGIN)
    stream = BytesIO()
    sheet.crop((0, 0, _WIDTH, bottom + _MARGIN)).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def list_lines(words: Words) -> list[Line]:
    """List the style (head, doubt, text or small) and the text of each line below the picture."""
    lines: list[Line] = [("doubt" if words.is_synthetic else "text", words.trained_on), ("head", "Doubts")]
    lines += [("doubt" if words.is_doubted else "text", f"- {doubt}") for doubt in words.doubts]
    lines.append(("head", words.answer))
    if words.probabilities:
        lines.append(("text", "; ".join(f"{name} {share}" for name, share, _ in words.probabilities) + "."))
    lines.append(("doubt" if words.is_flagged else "text", words.malignant))
    lines += [("text", words.calibration)] if words.calibration else []
    lines.append(("head", "Measurements"))
    lines += [("text", f"{label}: {value}") for label, value in words.measurements]
    return lines + [("small", note) for note in [*words.notes, words.caption]]


def _heading(words: Words) -> list[Line]:
    return [("doubt", " ".join(NOTICE)), ("title", words.title)]


def _picture(view: View, strength: float) -> Image.Image:
    return Image.fromarray(draw_overlay(view.image, view.diagnosis.mask, view.diagnosis.heat_map, strength))


def _add_lines(pdf: FPDF, lines: list[Line]) -> None:
    for style, text in lines:
        points, font, _, color = _STYLES[style]
        pdf.ln(2 if style == "head" else 0)
        pdf.set_font("Helvetica", font, points)
        pdf.set_text_color(*color)
        printable = text.encode("latin-1", "replace").decode("latin-1")  # the characters of the PDF's built-in fonts
        pdf.multi_cell(0, points * 0.5, printable, new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _draw_rows(sheet: Image.Image, rows: list[Line], top: int) -> int:
    """Draw rows of text, and return where they end."""
    pen = ImageDraw.Draw(sheet)
    for style, text in rows:
        _, _, size, color = _STYLES[style]
        height = round(size * 1.4)
        top += height // 2 if style == "head" else 0
        pen.text((_MARGIN, top), text, color, ImageFont.load_default(size))
        top += height
    return top


def _rows(lines: list[Line], width: int) -> list[Line]:
    """Break lines into rows that fit into a width in pixels."""
    rows: list[Line] = []
    for style, text in lines:
        font = ImageFont.load_default(_STYLES[style][2])
        row = ""
        for piece in (piece for word in text.split() for piece in _pieces(word, font, width)):
            longer = f"{row} {piece}".strip()
            if row and font.getlength(longer) > width:
                rows.append((style, row))
                longer = piece
            row = longer
        rows.append((style, row))
    return rows


def _pieces(word: str, font: Any, width: int) -> Iterator[str]:
    """Break a word that is wider than a row, such as the name of a data set."""
    start = 0
    for end in range(2, len(word) + 1):
        if font.getlength(word[start:end]) > width:
            yield word[start : end - 1]
            start = end - 1
    yield word[start:]
