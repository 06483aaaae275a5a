"""Lay out the page and say what happens on it; all that is one visitor's is in that visitor's own session."""

import base64
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import gradio as gr

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.diagnosing import Diagnoser
from bus_lightning.diagnosis.drawing import STRENGTH
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.page import rendering, sheets
from bus_lightning.diagnosis.page.layers import thumbnail
from bus_lightning.diagnosis.page.looking import Shown, look
from bus_lightning.diagnosis.page.sheets import TITLE
from bus_lightning.diagnosis.page.wording import say
from bus_lightning.diagnosis.reading import read_frames

HERE = Path(__file__).parent
_FONT = ["system-ui", "-apple-system", "Segoe UI", "sans-serif"]  # what the visitor's machine has
_AT_ONCE = 2  # pictures; networks compute one at a time, and a large picture takes much memory
_WAITING = 64
_KEPT_S = 3600  # a result whose page is still open
_SWEEP_S = (60, 300)  # uploads that nobody asked about: how often they are looked for, from which age they go
_SET_STRENGTH = "(strength) => document.documentElement.style.setProperty('--strength', strength)"
_TO_PICTURE = "() => document.querySelector('#message *, #picture *')?.scrollIntoView({block: 'nearest'})"
_SAVE = """(parcel) => {
  if (!parcel) return;
  const bytes = Uint8Array.from(atob(parcel.data), (one) => one.charCodeAt(0));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], {type: parcel.type}));
  link.download = parcel.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}"""


def theme() -> Any:
    """Make the theme, light or dark as the visitor's system is, with the system's fonts."""
    return gr.themes.Base(primary_hue="blue", neutral_hue="slate", font=_FONT, font_mono=["ui-monospace", "monospace"])


def build_page(diagnoser: Diagnoser, uploads: Path, limits: Limits) -> Any:
    """Build the page.

    Args:
        diagnoser: Answers.
        uploads: Folder in which Gradio keeps what visitors send; nothing outside of it is read for them.
        limits: What is read at most.

    Returns:
        Gradio's Blocks.
    """
    bundle = diagnoser.bundle
    samples, thumbnails = _samples(bundle.samples, limits)

    def on_upload(event: gr.EventData) -> list[Any]:
        try:
            path = _uploaded(event._data, uploads, limits)
            try:
                return present(look(diagnoser, path, limits))
            finally:
                path.unlink(missing_ok=True)
        except UserError as error:
            return refuse(str(error))

    def on_sample(event: gr.EventData) -> list[Any]:
        chosen = event._data.get("sample") if isinstance(event._data, dict) else None
        if not isinstance(chosen, int) or not 0 <= chosen < len(samples):
            return refuse("There is no such sample: choose another.")
        try:
            return present(look(diagnoser, samples[chosen], limits))
        except UserError as error:
            return refuse(str(error))

    def present(shown: Shown) -> list[Any]:
        words = say(shown, bundle)
        has_heat = shown.diagnosis.heat_map is not None
        ready = gr.update(interactive=True)
        drawn = gr.update(value=rendering.picture(shown, words), visible=True)
        return [shown, gr.update(value="", visible=False), drawn, gr.update(visible=has_heat),
                rendering.answer(words), ready, ready]  # fmt: skip

    def refuse(line: str) -> list[Any]:
        idle = gr.update(interactive=False)
        gone, said = gr.update(value="", visible=False), gr.update(value=rendering.failure(line), visible=True)
        return [None, said, gone, gr.update(visible=False), rendering.NOTHING_YET, idle, idle]

    def parcel(shown: Shown | None, strength: float, kind: str) -> dict[str, str] | None:
        if shown is None:
            gr.Warning("The result has been forgotten by now: give the image again.")
            return None
        write = sheets.as_pdf if kind == "pdf" else sheets.as_png
        content = write(shown, say(shown, bundle), min(max(float(strength), 0.0), 1.0))
        mime = "application/pdf" if kind == "pdf" else "image/png"
        return {"name": f"{shown.name}.{kind}", "type": mime, "data": base64.b64encode(content).decode()}

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=_SWEEP_S) as page:
        mine = gr.State(None, time_to_live=_KEPT_S)
        sent = gr.JSON(visible=False)
        gr.HTML(f"<h1>{TITLE}</h1>", elem_id="title")
        gr.HTML(rendering.notice(), elem_id="notice")
        gr.HTML(rendering.trained_on(bundle), elem_id="trained_on")
        with gr.Row():
            with gr.Column(scale=6, min_width=320):
                intake = gr.HTML(
                    rendering.intake(limits, thumbnails),
                    elem_id="intake",
                    js_on_load=(HERE / "intake.js").read_text(encoding="utf-8"),
                )
                message = gr.HTML("", elem_id="message", js_on_load=None, visible=False)
                picture = gr.HTML("", elem_id="picture", js_on_load=None, visible=False)
                strength = gr.Slider(0, 1, STRENGTH, step=0.05, visible=False, interactive=True, buttons=[],
                                     label="Strength of the heat map", elem_id="strength")  # fmt: skip
            with gr.Column(scale=5, min_width=320):
                answer = gr.HTML(
                    rendering.NOTHING_YET, elem_id="answer", js_on_load="element.setAttribute('aria-live', 'polite')"
                )
                with gr.Row():
                    as_pdf = gr.Button("Report as PDF", interactive=False, elem_id="pdf", min_width=120)
                    as_png = gr.Button("Report as PNG", interactive=False, elem_id="png", min_width=120)
        with gr.Accordion("Model card: what the networks were trained on, and how well they do", open=False):
            gr.Markdown(bundle.card, elem_id="card")

        outputs = [mine, message, picture, strength, answer, as_pdf, as_png]
        shared: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
        for listen, handler in ((intake.upload, on_upload), (intake.select, on_sample)):
            listen(
                handler, None, outputs, concurrency_id="looking", concurrency_limit=_AT_ONCE,
                trigger_mode="multiple", show_progress_on=[answer], **shared,
            ).then(None, js=_TO_PICTURE)  # fmt: skip
        strength.change(None, strength, js=_SET_STRENGTH, api_visibility="private")
        for button, kind in ((as_pdf, "pdf"), (as_png, "png")):
            button.click(
                lambda shown, value, kind=kind: parcel(shown, value, kind), [mine, strength], sent,
                concurrency_id="reports", concurrency_limit=_AT_ONCE, **shared,
            ).then(None, sent, js=_SAVE)  # fmt: skip
    page.queue(max_size=_WAITING, api_open=False)
    return page


def _uploaded(told: Any, uploads: Path, limits: Limits) -> Path:
    """Check what the browser says of an upload; a path that is no upload is not touched.

    Raises:
        UserError: When it is none, or too large to have been sent.
    """
    told = told if isinstance(told, dict) else {}
    if isinstance(told.get("bytes"), int):
        raise UserError(
            f"The file has {told['bytes'] / 1e6:.0f} MB, and at most {limits.file_bytes / 1e6:g} are read: "
            "make it smaller."
        )
    with suppress(OSError, ValueError, TypeError):
        path = Path(told["path"]).resolve() if isinstance(told.get("path"), str) else uploads
        # A folder of its own, named by the content, holds each upload.
        if path.parent.parent == uploads.resolve() and path.is_file():
            return path
    raise UserError("The file did not arrive, or it is a folder: give one file.")


def _samples(paths: tuple[Path, ...], limits: Limits) -> tuple[list[Path], list[str]]:
    """Find the samples that can be read, and draw small ones."""
    found, drawn = [], []
    for path in paths:
        with suppress(UserError, StopIteration), closing(read_frames(path, limits)) as frames:  # type: ignore[type-var]
            drawn.append(thumbnail(next(frames).image))
            found.append(path)
    return found, drawn
