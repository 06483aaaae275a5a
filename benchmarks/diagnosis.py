"""A bundle's speed: each network, the whole diagnosis, a folder, a video, the first answer, memory, the page."""

import math
import shutil
from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from statistics import median
from typing import Any

from benchmarks.pairs import FOLDER, PAIRS, Net, Pair, make_bundles
from benchmarks.processes import MeasurementError, probe, run, say
from benchmarks.report import spread, table

PRECISIONS = ("fp32", "bf16", "int8")
THREADS = (1, 2)
WHOLE_GOAL, HEAT_GOAL, FIRST_GOAL, USERS_GOAL = 100, 150, 1.0, 2.0  # ms, ms, s, s
RATE_GOAL, MEMORY_GOAL = 8, 600  # pictures a second, MB
USERS = 4
CONTESTANTS = {
    "PyTorch fp32": ("pytorch", "fp32"),
    "ONNX Runtime fp32": ("onnxruntime", "fp32"),
    **{f"OpenVINO {precision}": ("openvino", precision) for precision in PRECISIONS},
}
_VIEWS = FOLDER / "views"
_ONE = _VIEWS / "one.png"
_SEVERAL = {"folder": _VIEWS / "folder", "video": _VIEWS / "video.mp4"}
_STEPS = ("begun", "imported", "loaded", "compiled", "answered")
Lists = dict[str, list[float]]


def measure(quick: bool) -> dict[str, Any]:
    """Make the bundles, then measure everything in rounds in which the contestants take turns."""
    pairs = PAIRS[-1:] if quick else PAIRS
    rounds, repeats, number = (1, 10, 10) if quick else (2, 30, 60)
    make_bundles(pairs)
    probe("views", FOLDER / "phantom", _VIEWS, f"--number={number}")
    results: dict[str, Any] = {"pictures": number}
    results["networks"] = _networks(pairs, rounds, repeats)
    results["diagnoses"] = _diagnoses(pairs, rounds, min(12, repeats))
    results["predict"] = _predict(pairs, 1, number, ("int8",) if quick else ("bf16", "int8"))
    results["first"] = _first(pairs, 1 if quick else 3)
    results["page"] = _page(pairs[-1:] if quick else pairs, 3 if quick else 12)
    return results


def _networks(pairs: Sequence[Pair], rounds: int, repeats: int) -> list[dict[str, Any]]:
    """Time each network alone: milliseconds by contestant."""
    nets: dict[Net, tuple[Pair, str]] = {}
    for pair in pairs:
        nets.setdefault(pair.segmenter, (pair, "segmenter"))
        nets.setdefault(pair.classifier, (pair, "classifier"))
    measured = []
    for (net, (pair, stage)), threads in product(nets.items(), THREADS):
        taken: Lists = defaultdict(list)
        for _, (name, (engine, precision)) in product(range(rounds), CONTESTANTS.items()):
            reply, _ = probe("engines", engine, stage, f"--bundle={pair.bundle}", f"--run={net.run}",
                             f"--size={net.size}", f"--precision={precision}", f"--threads={threads}",
                             f"--repeats={repeats}", threads=threads)  # fmt: skip
            taken[name] += reply["ms"]
        say(f"{net.name}, {threads} threads: " + ", ".join(f"{name} {median(ms):.1f}" for name, ms in taken.items()))
        measured.append({"net": net.name, "threads": threads, "ms": taken})
    return measured


def _diagnoses(pairs: Sequence[Pair], rounds: int, repeats: int) -> list[dict[str, Any]]:
    """Time the whole diagnosis of one picture, and its parts: milliseconds by precision and part."""
    measured = []
    for pair, threads in product(pairs, THREADS):
        taken: dict[str, Lists] = {precision: defaultdict(list) for precision in PRECISIONS}
        for _, precision in product(range(rounds), PRECISIONS):
            reply, _ = probe("diagnoses", pair.bundle, _ONE, _VIEWS / "lesion.png", f"--precision={precision}",
                             f"--threads={threads}", f"--repeats={repeats}", threads=threads)  # fmt: skip
            for part, ms in reply.items():
                taken[precision][part] += ms
        say(f"diagnosis, {pair.name}, {threads} threads: "
            + ", ".join(f"{name} {median(parts['answer']):.1f} ms" for name, parts in taken.items()))  # fmt: skip
        measured.append({"pair": pair.name, "threads": threads, "ms": taken})
    return measured


def _predict(pairs: Sequence[Pair], rounds: int, number: int, precisions: Sequence[str]) -> list[dict[str, Any]]:
    """Run `predict` on a folder and on a video: pictures a second from command to prompt, and peak memory."""
    measured = []
    for pair, threads in product(pairs, THREADS):
        rates: dict[str, Lists] = {precision: defaultdict(list) for precision in precisions}
        memory: Lists = defaultdict(list)
        for _, precision, (kind, path) in product(range(rounds), precisions, _SEVERAL.items()):
            out = FOLDER / "out"
            shutil.rmtree(out, ignore_errors=True)
            finished = run(["python", "-m", "bus_lightning.diagnosis.predict", pair.bundle, path, "--out", out,
                            f"--precision={precision}", f"--threads={threads}"], threads)  # fmt: skip
            rates[precision][kind].append(number / finished.seconds)
            memory[precision].append(finished.peak_mb)
        say(f"predict, {pair.name}, {threads} threads: "
            + ", ".join(f"{name} {median(kinds['folder']):.1f} images/s" for name, kinds in rates.items()))  # fmt: skip
        measured.append({"pair": pair.name, "threads": threads, "rates": rates, "peak_mb": memory})
    return measured


def _first(pairs: Sequence[Pair], rounds: int) -> list[dict[str, Any]]:
    """Time `predict` on one picture, with networks to compile and with those of an earlier start, and its steps."""
    measured = []
    for pair, precision in product(pairs, PRECISIONS):
        times: dict[str, Any] = {"first": [], "later": [], "peak_mb": [], "steps": defaultdict(list)}
        for _ in range(rounds):
            temporary, out = FOLDER / "temporary", FOLDER / "out"
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            for start in ("first", "later"):
                shutil.rmtree(out, ignore_errors=True)
                finished = run(["python", "-m", "bus_lightning.diagnosis.predict", pair.bundle, _ONE, "--out", out,
                                f"--precision={precision}"], TMPDIR=str(temporary))  # fmt: skip
                times[start].append(finished.seconds)
                times["peak_mb"].append(finished.peak_mb)
            shutil.rmtree(out)
            moments, finished = probe("first_answer", pair.bundle, _ONE, out, f"--precision={precision}",
                                      TMPDIR=str(temporary))  # fmt: skip
            before = finished.started
            for step in _STEPS:
                times["steps"][step].append(moments[step] - before)
                before = moments[step]
        first, later = median(times["first"]), median(times["later"])
        say(f"first answer, {pair.name}, {precision}: {first:.2f} s, later {later:.2f} s")
        measured.append({"pair": pair.name, "precision": precision, **times})
    return measured


def _page(pairs: Sequence[Pair], repeats: int) -> list[dict[str, Any]]:
    """Let users ask the page at once: seconds of each answer, or why there are none."""
    measured = []
    for pair in pairs:
        try:
            reply, _ = probe("users", pair.bundle, _ONE, f"--users={USERS}", f"--repeats={repeats}", "--precision=int8",
                             timeout=900)  # fmt: skip
        except MeasurementError as error:
            reply = {"reason": str(error).splitlines()[-1]}
        else:
            say(f"page, {pair.name}: {median(reply['together']):.2f} s")
        measured.append({"pair": pair.name, **reply})
    return measured


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the tables `networks`, `diagnoses`, `diagnosis_parts`, `predict`, `first_answer` and `page`."""
    return {
        "networks": _networks_table(results["networks"]),
        "diagnoses": _diagnoses_table(results["diagnoses"]),
        "diagnosis_parts": _parts_table(results["diagnoses"]),
        "predict": _predict_table(results["predict"]),
        "first_answer": _first_table(results["first"]),
        "page": _page_table(results["page"]),
    }


def _networks_table(measured: list[dict[str, Any]]) -> str:
    headings = ["ms of one image", "threads", *CONTESTANTS, "times as fast as PyTorch: ONNX Runtime", *PRECISIONS]
    rows = []
    for row in measured:
        reference = median(row["ms"]["PyTorch fp32"])
        rows.append([row["net"], row["threads"], *(tail(row["ms"][name]) for name in CONTESTANTS),
                     *(f"{reference / median(row['ms'][name]):.1f}" for name in list(CONTESTANTS)[1:])])  # fmt: skip
    return table(headings, rows)


def _diagnoses_table(measured: list[dict[str, Any]]) -> str:
    headings = ["ms of one picture", "threads", *PRECISIONS, "goal, under", "fp32 / int8",
                *(f"heat map, {precision}" for precision in PRECISIONS), "goal, under"]  # fmt: skip
    rows = []
    for row in measured:
        whole, heat = {}, {}
        for precision, ms in row["ms"].items():
            whole[precision] = [sum(parts) for parts in zip(ms["decode"], ms["answer"], strict=True)]
            more = zip(ms["answer and heat map"], ms["answer"], strict=True)
            heat[precision] = [with_heat - without for with_heat, without in more]
        rows.append([row["pair"], row["threads"], *(tail(whole[precision]) for precision in PRECISIONS), WHOLE_GOAL,
                     f"{median(whole['fp32']) / median(whole['int8']):.1f}",
                     *(tail(heat[precision]) for precision in PRECISIONS), HEAT_GOAL])  # fmt: skip
    return table(headings, rows)


def _parts_table(measured: list[dict[str, Any]]) -> str:
    parts = ("decode", "segmenter", "classifier", "measure", "doubt")
    rows = []
    for row in measured:
        ms = {part: median(taken) for part, taken in row["ms"]["int8"].items()}
        rest = ms["decode"] + ms["answer"] - sum(ms[part] for part in parts)
        rows.append([row["pair"], row["threads"], *(f"{ms[part]:.1f}" for part in parts), f"{rest:.1f}",
                     f"{ms['answer and heat map'] - ms['answer']:.1f}", f"{ms['save']:.1f}"])  # fmt: skip
    return table(["int8, ms", "threads", *parts, "rest", "heat map", "draw and write"], rows)


def _predict_table(measured: list[dict[str, Any]]) -> str:
    headings = ["predict", "threads", "precision", "folder, images/s", "goal, at least", "video, frames/s",
                "goal, at least", "peak resident MB", "goal, under"]  # fmt: skip
    return table(headings, [
        [row["pair"], row["threads"], precision, spread(rates["folder"], 1), RATE_GOAL, spread(rates["video"], 1),
         RATE_GOAL, f"{max(row['peak_mb'][precision]):.0f}", MEMORY_GOAL]
        for row in measured for precision, rates in row["rates"].items()
    ])  # fmt: skip


def _first_table(measured: list[dict[str, Any]]) -> str:
    headings = ["seconds, one picture", "precision", "the very first time", "later", "goal, later", "interpreter",
                "imports", "load, verify", "compile", "answer, write", "peak resident MB"]  # fmt: skip
    return table(headings, [
        [row["pair"], row["precision"], spread(row["first"]), spread(row["later"]), f"under {FIRST_GOAL:g}",
         *(f"{median(row['steps'][step]):.2f}" for step in _STEPS), f"{max(row['peak_mb']):.0f}"]
        for row in measured
    ])  # fmt: skip


def _page_table(measured: list[dict[str, Any]]) -> str:
    headings = ["seconds from upload to answer", "one user", f"{USERS} users at once", "goal, p99 under",
                "answers a second", "peak resident MB"]  # fmt: skip
    rows = []
    for row in measured:
        if "reason" in row:
            rows.append([row["pair"], f"not measured: {row['reason']}", "", "", "", ""])
            continue
        rows.append([row["pair"], tail(row["alone"], 2), tail(row["together"], 2), f"{USERS_GOAL:g}",
                     f"{len(row['together']) / row['seconds']:.1f}", f"{row['peak_mb']:.0f}"])  # fmt: skip
    return table(headings, rows)


def tail(values: Sequence[float], digits: int = 1) -> str:
    """Write a median and the 99th percentile: `11.2 (p99 13.0)`."""
    return f"{median(values):.{digits}f} (p99 {percentile(values, 0.99):.{digits}f})"


def percentile(values: Sequence[float], share: float) -> float:
    """Find the smallest of the values that at least this share of them does not exceed."""
    ranked = sorted(values)
    return ranked[math.ceil(share * len(ranked)) - 1]
