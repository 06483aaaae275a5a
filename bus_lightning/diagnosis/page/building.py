"""Build the page and its behaviour; what concerns a visitor is kept under the name of the visit."""

import base64
import math
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from bus_lightning.core.errors import UserError
from bus_lightning.data.drawing import STRENGTH
from bus_lightning.diagnosis.decoding import Decoders
from bus_lightning.diagnosis.diagnoser import Diagnoser
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.lacking import what_lacks
from bus_lightning.diagnosis.page.kept import Kept
from bus_lightning.diagnosis.page.printout import write_pdf, write_png
from bus_lightning.diagnosis.page.rendering import render, render_picture, thumbnail
from bus_lightning.diagnosis.page.sentences import SENTENCES
from bus_lightning.diagnosis.page.turns import Turns
from bus_lightning.diagnosis.page.uploads import REFUSALS, Uploads
from bus_lightning.diagnosis.page.view import View, make_view
from bus_lightning.diagnosis.page.wording import NOTICE, describe, title_of
from bus_lightning.diagnosis.trained_on import is_synthetic, sentence

T = TypeVar("T")
FOLDER = Path(__file__).parent
_SCRIPTS = ("drop.js", "intake.js")  # of the intake, one behind the other
_WHAT_IS_READ = (
    "PNG, JPEG, BMP, TIFF, DICOM, MP4, MOV or AVI, up to {megabytes:g} MB and {pixels:g} million pixels. The file's "
    "name stays in your browser, and the file is deleted as soon as it has been read."
)
_FONT = ["system-ui", "-apple-system", "Segoe UI", "sans-serif"]  # fonts of the visitor's system
_EVENTS = 256  # that Gradio handles at once; the turns refuse most before
_SESSIONS = 32  # whose page Gradio remembers, a picture each
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


def build_page(
    diagnoser: Diagnoser, decoders: Decoders, limits: Limits, uploads: Uploads, turns: Turns, kept: Kept
) -> Any:
    """Build the page as Gradio's Blocks; of the visitors' files only those in `uploads` are read."""
    bundle, title = diagnoser.bundle, title_of(diagnoser.bundle)
    nothing_yet = render("nothing_yet", "class" if bundle.classifies else "outline")
    samples, thumbnails = _load_samples(bundle.samples, decoders, limits)

    async def on_upload(event: gr.EventData, request: gr.Request) -> list[Any]:
        asked = _asked(event)
        try:
            with uploads.use(_given(event._data, limits)) as path:
                return await diagnose(path, request, asked)
        except UserError as error:
            return show_failure(str(error), request, asked)

    async def on_sample(event: gr.EventData, request: gr.Request) -> list[Any]:
        number = event._data.get("sample") if isinstance(event._data, dict) else None
        asked = _asked(event)
        if not isinstance(number, int) or not 0 <= number < len(samples):
            return show_failure("There is no such sample: choose another.", request, asked)
        try:
            return await diagnose(samples[number], request, asked)
        except UserError as error:
            return show_failure(str(error), request, asked)

    async def diagnose(path: Path, request: gr.Request, asked: float) -> list[Any]:
        def work(stop: threading.Event) -> tuple[View, list[Any]]:
            view = make_view(diagnoser, decoders, path, limits, stop)
            return view, show(view)

        view, shown = await take_turn(request, work)
        return keep(view, shown, request, asked)

    def keep(view: View | None, shown: list[Any], request: gr.Request, asked: float) -> list[Any]:
        """Keep what is shown; an answer that a later request has overtaken changes nothing."""
        return shown if kept.put(_visitor(request), view, asked) else [gr.skip()] * len(shown)

    async def take_turn(request: gr.Request, work: Callable[[threading.Event], T]) -> T:
        return await turns.run(_visitor(request), request.client.host if request.client else "", work)

    def show(view: View) -> list[Any]:
        words = describe(view, bundle)
        has_heat = view.diagnosis.heat_map is not None
        picture = gr.update(value=render_picture(view, words), visible=True)
        button = gr.update(interactive=True)
        return [gr.update(value="", visible=False), picture, gr.update(visible=has_heat),
                render("answer", words), render("details", words), button, button]  # fmt: skip

    def show_failure(line: str, request: gr.Request, asked: float) -> list[Any]:
        message, button = gr.update(value=render("failure", line), visible=True), gr.update(interactive=False)
        shown = [message, gr.update(value="", visible=False), gr.update(visible=False),
                 nothing_yet, "", button, button]  # fmt: skip
        return keep(None, shown, request, asked)

    def make_writer(kind: str) -> Callable[..., Any]:
        write, mime = (write_pdf, "application/pdf") if kind == "pdf" else (write_png, "image/png")

        async def write_file(strength: float, request: gr.Request) -> dict[str, str] | None:
            view = kept.get(_visitor(request))
            if view is None:
                gr.Warning("The result is no longer stored: give the image again.")
                return None
            try:
                content = await take_turn(request, lambda _: write(view, describe(view, bundle), _share(strength)))
            except UserError as error:
                gr.Warning(str(error))
                return None
            return {"name": f"{view.name}.{kind}", "type": mime, "data": base64.b64encode(content).decode()}

        return write_file

    with gr.Blocks(title=title, analytics_enabled=False) as page:
        file = gr.JSON(visible=False)
        gr.HTML(f"<h1>{title}</h1>", elem_id="title")
        gr.HTML(render("notice", NOTICE), elem_id="notice")
        gr.HTML(render("trained_on", sentence(bundle.trained_on), is_synthetic(bundle.trained_on)))
        if lacking := what_lacks(bundle):
            gr.HTML(render("lacks", lacking))
        with gr.Row(elem_id="columns"):  # page.css puts both columns into one on a phone
            with gr.Column(scale=6, min_width=320):
                script = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS)
                content = render("intake", limits, _WHAT_IS_READ, thumbnails)
                intake = gr.HTML(content, elem_id="intake", js_on_load=script)
                message = gr.HTML("", elem_id="message", js_on_load=None, visible=False)
                picture = gr.HTML("", elem_id="picture", js_on_load=None, visible=False)
                strength = gr.Slider(0, 1, STRENGTH, step=0.05, visible=False, interactive=True, buttons=[],
                                     label=SENTENCES["strength"], elem_id="strength")  # fmt: skip
            with gr.Column(scale=5, min_width=320):
                announce = "element.setAttribute('aria-live', 'polite')"
                answer = gr.HTML(nothing_yet, elem_id="answer", js_on_load=announce)
                details = gr.HTML("", elem_id="details", js_on_load=None)
                with gr.Row(elem_id="files"):
                    as_pdf = gr.Button("Report as PDF", interactive=False, elem_id="pdf", min_width=120)
                    as_png = gr.Button("Report as PNG", interactive=False, elem_id="png", min_width=120)
        with gr.Accordion(SENTENCES["card"], open=False):
            gr.Markdown(bundle.card, elem_id="card")

        outputs = [message, picture, strength, answer, details, as_pdf, as_png]
        # The turns bound how much is done at once.
        shared: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal", "concurrency_limit": None}
        for listen, handler in ((intake.upload, on_upload), (intake.select, on_sample)):
            listen(
                handler, None, outputs, trigger_mode="multiple", show_progress_on=[answer],
                **shared,
            ).then(None, js=_SHOW_ANSWER)  # fmt: skip
        strength.change(None, strength, js=_SET_STRENGTH, api_visibility="private")
        for button, kind in ((as_pdf, "pdf"), (as_png, "png")):
            button.click(make_writer(kind), strength, file, **shared).then(None, file, js=_SAVE)
        gr.State()  # makes the browser keep a connection open, which shows that the visitor is here
    page.max_threads = _EVENTS
    page.state_session_capacity = _SESSIONS
    page.queue(max_size=_EVENTS, api_open=False)
    return page


async def forget(page: Any, app: Any, visitor: str) -> None:
    """Let Gradio forget a visitor who has left: answers that wait to be read, and what the page shows."""
    queue = page._queue
    await queue.clean_events(session_hash=visitor)
    queue.pending_messages_per_session.pop(visitor, None)
    queue.pending_event_ids_session.pop(visitor, None)
    app.state_holder.session_data.pop(visitor, None)
    app.state_holder.time_last_used.pop(visitor, None)


def _visitor(request: gr.Request) -> str:
    return request.session_hash or ""


def _share(strength: Any) -> float:
    """Return the strength of a heat map in [0, 1], whatever was sent."""
    return min(max(strength, 0.0), 1.0) if isinstance(strength, (int, float)) and math.isfinite(strength) else STRENGTH


def _asked(event: gr.EventData) -> float:
    """Return when the visitor asked, in milliseconds since the page was opened; 0 if the browser does not say."""
    asked = event._data.get("asked") if isinstance(event._data, dict) else None
    return float(asked) if isinstance(asked, int | float) and math.isfinite(asked) else 0.0


def _given(data: Any, limits: Limits) -> Any:
    """Return the path in what the browser says about an upload.

    Raises:
        UserError: When the browser did not send the file, or it was refused.
    """
    data = data if isinstance(data, dict) else {}
    if isinstance(data.get("bytes"), int):  # the browser did not send it
        limits.check_bytes(data["bytes"])
    if isinstance(data.get("files"), int):
        raise UserError(SENTENCES["several_files"].format(files=data["files"]))
    refused = data.get("refused")
    if isinstance(refused, int) and refused in REFUSALS:
        raise UserError(REFUSALS[refused])
    return data.get("path")


def _load_samples(paths: tuple[Path, ...], decoders: Decoders, limits: Limits) -> tuple[list[Path], list[str]]:
    """Find the samples that can be read, and make their thumbnails."""
    samples, thumbnails = [], []
    for path in paths:
        with suppress(UserError, StopIteration), closing(decoders.read(path, limits)[1]) as frames:
            thumbnails.append(thumbnail(next(frames).image))
            samples.append(path)
    return samples, thumbnails
