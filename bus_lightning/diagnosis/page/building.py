"""Build the page and its behaviour; everything about a visitor is kept in that visitor's session."""

import base64
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from bus_lightning.core.errors import UserError
from bus_lightning.data.drawing import STRENGTH
from bus_lightning.diagnosis.decoding import Decoders
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.page.printout import write_pdf, write_png
from bus_lightning.diagnosis.page.rendering import render, render_picture, thumbnail
from bus_lightning.diagnosis.page.view import View, make_view
from bus_lightning.diagnosis.page.wording import NOTICE, TITLE, describe
from bus_lightning.diagnosis.trained_on import is_synthetic, sentence

FOLDER = Path(__file__).parent
_FONT = ["system-ui", "-apple-system", "Segoe UI", "sans-serif"]  # fonts of the visitor's system
_AT_ONCE = 2  # images; networks compute one at a time, and a large image takes much memory
_WAITING = 64
_KEPT_S = 3600  # for a result whose page is still open
_SWEEP_S = (60, 300)  # uploads that were never used: interval of the search, and age from which they are deleted
_SET_STRENGTH = "(strength) => document.documentElement.style.setProperty('--strength', strength)"
_SHOW_ANSWER = """() => {
  const [part, block] = innerWidth <= 700 ? ["#answer .doubts", "start"] : ["#picture *", "nearest"];
  document.querySelector(`#message *, ${part}`)?.scrollIntoView({block});
}"""
_SAVE = """(file) => {
  if (!file) return;
  const bytes = Uint8Array.from(atob(file.data), (character) => character.charCodeAt(0));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], {type: file.type}));
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}"""


def make_theme() -> Any:
    """Make the theme: light or dark like the visitor's system, with the system's fonts."""
    return gr.themes.Base(primary_hue="blue", neutral_hue="slate", font=_FONT, font_mono=["ui-monospace", "monospace"])


def build_page(diagnoser: Diagnoser, decoders: Decoders, uploads: Path, limits: Limits) -> Any:
    """Build the page as Gradio's Blocks; of the visitors' files only those in the folder `uploads` are read."""
    bundle = diagnoser.bundle
    samples, thumbnails = _load_samples(bundle.samples, decoders, limits)

    def on_upload(event: gr.EventData) -> list[Any]:
        try:
            path = _check_upload(event._data, uploads, limits)
            try:
                return show(make_view(diagnoser, decoders, path, limits))
            finally:
                path.unlink(missing_ok=True)
        except UserError as error:
            return show_failure(str(error))

    def on_sample(event: gr.EventData) -> list[Any]:
        number = event._data.get("sample") if isinstance(event._data, dict) else None
        if not isinstance(number, int) or not 0 <= number < len(samples):
            return show_failure("There is no such sample: choose another.")
        try:
            return show(make_view(diagnoser, decoders, samples[number], limits))
        except UserError as error:
            return show_failure(str(error))

    def show(view: View) -> list[Any]:
        words = describe(view, bundle)
        has_heat = view.diagnosis.heat_map is not None
        picture = gr.update(value=render_picture(view, words), visible=True)
        button = gr.update(interactive=True)
        return [view, gr.update(value="", visible=False), picture, gr.update(visible=has_heat),
                render("answer", words), render("details", words), button, button]  # fmt: skip

    def show_failure(line: str) -> list[Any]:
        message, button = gr.update(value=render("failure", line), visible=True), gr.update(interactive=False)
        return [None, message, gr.update(value="", visible=False), gr.update(visible=False),
                render("nothing_yet"), "", button, button]  # fmt: skip

    def write_file(kind: str, view: View | None, strength: float) -> dict[str, str] | None:
        if view is None:
            gr.Warning("The result is no longer stored: give the image again.")
            return None
        write, mime = (write_pdf, "application/pdf") if kind == "pdf" else (write_png, "image/png")
        content = write(view, describe(view, bundle), min(max(float(strength), 0.0), 1.0))
        return {"name": f"{view.name}.{kind}", "type": mime, "data": base64.b64encode(content).decode()}

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=_SWEEP_S) as page:
        result = gr.State(None, time_to_live=_KEPT_S)
        file = gr.JSON(visible=False)
        gr.HTML(f"<h1>{TITLE}</h1>", elem_id="title")
        gr.HTML(render("notice", NOTICE), elem_id="notice")
        gr.HTML(render("trained_on", sentence(bundle.trained_on), is_synthetic(bundle.trained_on)))
        with gr.Row(elem_id="columns"):  # page.css puts both columns into one on a phone
            with gr.Column(scale=6, min_width=320):
                script = (FOLDER / "intake.js").read_text(encoding="utf-8")
                intake = gr.HTML(render("intake", limits, thumbnails), elem_id="intake", js_on_load=script)
                message = gr.HTML("", elem_id="message", js_on_load=None, visible=False)
                picture = gr.HTML("", elem_id="picture", js_on_load=None, visible=False)
                strength = gr.Slider(0, 1, STRENGTH, step=0.05, visible=False, interactive=True, buttons=[],
                                     label="Strength of the heat map", elem_id="strength")  # fmt: skip
            with gr.Column(scale=5, min_width=320):
                announce = "element.setAttribute('aria-live', 'polite')"
                answer = gr.HTML(render("nothing_yet"), elem_id="answer", js_on_load=announce)
                details = gr.HTML("", elem_id="details", js_on_load=None)
                with gr.Row(elem_id="files"):
                    as_pdf = gr.Button("Report as PDF", interactive=False, elem_id="pdf", min_width=120)
                    as_png = gr.Button("Report as PNG", interactive=False, elem_id="png", min_width=120)
        with gr.Accordion("Model card: training data and test results of the networks", open=False):
            gr.Markdown(bundle.card, elem_id="card")

        outputs = [result, message, picture, strength, answer, details, as_pdf, as_png]
        shared: dict[str, Any] = {
            "api_visibility": "private", "show_progress": "minimal", "concurrency_limit": _AT_ONCE
        }  # fmt: skip
        for listen, handler in ((intake.upload, on_upload), (intake.select, on_sample)):
            listen(
                handler, None, outputs, concurrency_id="images", trigger_mode="multiple", show_progress_on=[answer],
                **shared,
            ).then(None, js=_SHOW_ANSWER)  # fmt: skip
        strength.change(None, strength, js=_SET_STRENGTH, api_visibility="private")
        for button, kind in ((as_pdf, "pdf"), (as_png, "png")):
            write = partial(write_file, kind)
            button.click(write, [result, strength], file, concurrency_id="files", **shared).then(None, file, js=_SAVE)
    page.queue(max_size=_WAITING, api_open=False)
    return page


def _check_upload(data: Any, uploads: Path, limits: Limits) -> Path:
    """Check what the browser says about an upload, and return its path; any other path is not touched.

    Raises:
        UserError: When it is not an upload, or too large.
    """
    data = data if isinstance(data, dict) else {}
    if isinstance(data.get("bytes"), int):  # the browser did not send it
        limits.check_bytes(data["bytes"])
    with suppress(OSError, ValueError, TypeError):
        path = Path(data["path"]).resolve() if isinstance(data.get("path"), str) else uploads
        # Gradio keeps each upload in its own folder, named by the content.
        if path.parent.parent == uploads.resolve() and path.is_file():
            return path
    raise UserError("The file did not arrive, or it is a folder: give one file.")


def _load_samples(paths: tuple[Path, ...], decoders: Decoders, limits: Limits) -> tuple[list[Path], list[str]]:
    """Find the samples that can be read, and make their thumbnails."""
    samples, thumbnails = [], []
    for path in paths:
        with suppress(UserError, StopIteration), closing(decoders.read(path, limits)[1]) as frames:
            thumbnails.append(thumbnail(next(frames).image))
            samples.append(path)
    return samples, thumbnails
