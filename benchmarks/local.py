"""The page that computes in the browser: how long its answers take, and how they differ from the server's."""

import base64
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.probes.users import running_page
from benchmarks.processes import PROJECT, MeasurementError, say
from benchmarks.report import spread, table
from benchmarks.shipped import PRECISIONS
from bus_lightning.core.errors import UserError
from bus_lightning.data.index import find_root, pick_evenly, read_index
from bus_lightning.diagnosis.answering import Answer, Answerer
from bus_lightning.diagnosis.bundle import SHIPPED
from bus_lightning.diagnosis.networks import computed_precision
from bus_lightning.diagnosis.page.local.runtime import VERSION, find_runtime

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

STARTS, LATER, PER_CLASS = 5, 4, 20  # starts of the browser, later answers in each, compared images of a class
GOAL = 3.0  # s, for the first answer
RUNTIME = PROJECT / "build" / "onnxruntime-web"
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_ANSWER_MS = 120_000
# Diagnoses in a worker like that of the page. A mask is a text of 0 and 1, row by row.
_ASK = """async (encoded) => {
    const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
    window.worker ??= new Worker("worker.js", {type: "module"});
    const {diagnosis, line, reason} = await new Promise((resolve) => {
        worker.onmessage = ({data}) => data.kind === "ready" || resolve(data);
        worker.postMessage({number: 1, file: new Blob([bytes])});
    });
    if (!diagnosis) throw new Error(line ?? reason);
    return {
        answer: diagnosis.answer, probabilities: Object.fromEntries(diagnosis.probabilities),
        mask: diagnosis.mask.data.map(Boolean).join(""),
        doubts: diagnosis.doubts.map(({code, answer}) => code === "no_lesion_but" ? `${code}_${answer}` : code),
    };
}"""


def measure(quick: bool) -> dict[str, Any]:
    """Start the page with the model in the package; time answers in fresh browsers, then compare answers."""
    try:
        find_runtime(RUNTIME)
    except UserError as error:
        engine = (RUNTIME / VERSION).relative_to(PROJECT)
        raise MeasurementError(
            f"the engine of the browser is missing or changed: remove {engine.parent}, and make {engine} brings it"
        ) from error
    _find_chromium()  # before the page starts
    images = choose_images(2 if quick else PER_CLASS)
    with running_page(SHIPPED, "--local", "--runtime", str(RUNTIME)) as (address, _):
        times = _time_answers(address, images, 2 if quick else STARTS)
        with _browser() as browser:
            page = browser.new_page()
            page.goto(address)
            return {**times, "compared": compare(page, images)}


def choose_images(number: int) -> list[Path]:
    """Choose images of BUSI, a number of each class, spread over its files; without BUSI, the synthetic samples."""
    if not os.environ.get("BUSI_ROOT"):
        return sorted((SHIPPED / "samples").glob("*.png"))
    root = find_root(None)
    groups = [list(group["image"]) for _, group in read_index(root).groupby("class")]
    return [root / group[place] for group in groups for place in pick_evenly(len(group), number)]


def _find_chromium() -> str:
    """Return the path of an installed Chromium."""
    chromium = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if chromium is None:
        raise MeasurementError(f"no browser: install Chromium, so that one of {', '.join(_CHROMIUM)} is on the PATH")
    return chromium


@contextmanager
def _browser() -> Iterator["Browser"]:
    """Start a headless Chromium, and end it."""
    from playwright.sync_api import sync_playwright  # the other sections of the benchmarks do not need it

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


def _time_answers(address: str, images: Sequence[Path], starts: int) -> dict[str, list[float]]:
    """Time the first answer of a browser that has not seen the page, from the opening of the page, and later answers.

    Returns:
        `first` and `later`: seconds of each answer.
    """
    times: dict[str, list[float]] = {"first": [], "later": []}
    for start in range(starts):
        with _browser() as browser:
            page = browser.new_page()
            page.goto("about:blank")
            for number in range(1 + LATER):
                image = images[(start * (1 + LATER) + number) * len(images) // (starts * (1 + LATER))]
                begin = time.perf_counter()
                if number == 0:
                    page.goto(address)
                page.evaluate("document.querySelector('#answer').replaceChildren()")
                page.set_input_files("input[type=file]", image)
                page.wait_for_selector(".answer, .failure", timeout=_ANSWER_MS)
                times["later" if number else "first"].append(time.perf_counter() - begin)
                if failure := page.query_selector(".failure"):
                    raise MeasurementError(f"the page did not answer: {failure.inner_text()}")
    for name, seconds in times.items():
        say(f"{name} answer: {median(seconds):.2f} s, at most {max(seconds):.2f} s")
    return times


def compare(page: "Page", images: Sequence[Path]) -> dict[str, dict[str, list[float]]]:
    """Let the browser and Python answer the same images, Python in each precision of this CPU.

    Returns:
        Precision -> see `differences`.
    """
    computed = [name for name in PRECISIONS if computed_precision(name) == name]
    compared: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in computed}
    answerers = {name: Answerer(SHIPPED, name, threads=1) for name in computed}
    for image in images:
        in_browser = page.evaluate(_ASK, base64.b64encode(image.read_bytes()).decode())
        for name, answerer in answerers.items():
            for key, value in differences(in_browser, answerer.answer(image, heat_map=False)).items():
                compared[name][key].append(value)
    for name, values in compared.items():
        say(f"{name}: probabilities of {len(images)} images differ by at most {max(values['probability']):.7f}")
    return compared


def differences(in_browser: dict[str, Any], expected: Answer) -> dict[str, float]:
    """Compare an answer of the browser with Python's.

    Args:
        in_browser: What `_ASK` returns.
        expected: Python's answer.

    Returns:
        `probability`: the largest difference of a class's probability; `dice`: Dice of the two masks, 1 if both are
        empty; `class` and `doubts`: 1 if they differ, otherwise 0.
    """
    assert expected.mask is not None  # the model in the package outlines
    mask = np.array(list(in_browser["mask"])).reshape(expected.mask.shape) == "1"
    pixels = mask.sum() + expected.mask.sum()
    return {
        "probability": max(
            abs(in_browser["probabilities"][name] - value) for name, value in expected.probabilities.items()
        ),
        "dice": float(2 * (mask & expected.mask).sum() / pixels) if pixels else 1.0,
        "class": float(in_browser["answer"] != expected.answer),
        "doubts": float(in_browser["doubts"] != [doubt.code for doubt in expected.doubts]),
    }


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the tables `local_times` and `local_differences`."""
    times = [["first, with the engine and the network", spread(results["first"]), len(results["first"]), GOAL],
             ["later", spread(results["later"]), len(results["later"]), ""]]  # fmt: skip
    rows = [
        [name, len(values["dice"]), f"{median(values['probability']):.7f}", f"{max(values['probability']):.7f}",
         f"{median(values['dice']):.5f}", f"{min(values['dice']):.5f}", f"{sum(values['class']):.0f}",
         f"{sum(values['doubts']):.0f}"]
        for name, values in results["compared"].items()
    ]  # fmt: skip
    headings = ["against the server in", "images", "difference of a probability, median", "largest",
                "Dice of the two masks, median", "smallest", "other class", "other doubts"]  # fmt: skip
    return {
        "local_times": table(["answer in the browser", "s", "answers", "goal, under"], times),
        "local_differences": table(headings, rows),
    }
