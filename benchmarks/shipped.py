"""The model in the package: the first answer of `predict` in a fresh process, and its doubts about pictures."""

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.doubt import change_images, find_other_images, flagged_by
from benchmarks.processes import SCRATCH, run, say
from benchmarks.report import spread, table
from bus_lightning.core.csv_files import read_table
from bus_lightning.data.index import find_root, read_image, read_index
from bus_lightning.diagnosis.answering import Answerer
from bus_lightning.diagnosis.bundle import CASES, SHIPPED, load_bundle

PRECISIONS = ("fp32", "bf16")
GOAL = 1.0  # s
_LIBRARIES = "import numpy, cv2, openvino; openvino.Core()"
_PICTURE = SHIPPED / "samples" / "phantom-malignant-1.png"
_FOLDER = SCRATCH / "shipped"


def measure(quick: bool) -> dict[str, Any]:
    """Measure the first answer in turns with the import of the libraries alone, and count doubts."""
    tested = _test_images()
    return {"first": _first(3 if quick else 15), "flagged": _doubts(tested), "raised": _raised(tested)}


def _first(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Time `predict` on one picture, start included: wall time, and the time that processors worked for it."""
    taken: dict[str, dict[str, list[float]]] = defaultdict(lambda: {"seconds": [], "busy": []})
    for _, name in product(range(rounds), ("libraries", *PRECISIONS)):
        shutil.rmtree(_FOLDER, ignore_errors=True)
        _FOLDER.mkdir(parents=True)  # for temporary files, so that nothing is kept from an earlier start
        command = ["python", "-m", "bus_lightning.diagnosis.predict", _PICTURE, "--out", _FOLDER / "out",
                   f"--precision={name}"]  # fmt: skip
        finished = run(["python", "-c", _LIBRARIES] if name == "libraries" else command, TMPDIR=str(_FOLDER))
        taken[name]["seconds"].append(finished.seconds)
        taken[name]["busy"].append(finished.busy)
    shutil.rmtree(_FOLDER)
    for name, times in taken.items():
        say(f"{name:10s} {median(times['seconds']):.2f} s, processors {median(times['busy']):.2f} s")
    return dict(taken)


def _test_images() -> dict[Path, str]:
    """List the images of BUSI that the model was tested on, file -> class; none without BUSI_ROOT."""
    if not os.environ.get("BUSI_ROOT"):
        return {}
    root, cases = find_root(None), read_table(SHIPPED / CASES, ["id", "part"], ["id", "part"])
    index = read_index(root)
    own = index[index["id"].isin(cases["id"][cases["part"] == "test"])]
    return {root / image: name for image, name in zip(own["image"], own["class"], strict=True)}


def _raised(tested: Mapping[Path, str]) -> dict[str, dict[str, int]]:
    """Answer the test images, and count for each doubt the images that raise it and the right answers among them."""
    model, counts = Answerer(SHIPPED), defaultdict[str, Counter[str]](Counter)
    for file, label in tested.items():
        answer = model.answer(file, heat_map=False)
        codes = {doubt.code for doubt in answer.doubts}
        for kind in ("all", "any" if codes else "none", *codes):
            counts[kind].update(images=1, right=int(answer.answer == label))  # `+=` would drop a count of 0
    return {kind: dict(counted) for kind, counted in counts.items()}


def _doubts(tested: Iterable[Path]) -> dict[str, Any]:
    """Count the pictures that are taken for something else than breast ultrasound; of BUSI the test images."""
    images, kinds = [read_image(file) for file in tested], find_other_images()
    if images:
        kinds = {"test images of BUSI": images} | kinds | change_images(images)
    reference = load_bundle(SHIPPED).reference
    flagged = {name: flagged_by(reference, images) for name, images in kinds.items()}
    for name, counted in flagged.items():
        say(f"{name}: {counted['share']:.1%} of {counted['images']} are taken for something else")
    return flagged


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Make the tables `shipped_first`, `shipped_doubts` and `shipped_raised`."""
    base = results["first"]["libraries"]
    rows = [
        [name, spread(times["seconds"]), GOAL if name in PRECISIONS else "", spread(times["busy"]),
         f"{median(times['busy']) / median(base['busy']):.1f}"]
        for name, times in results["first"].items()
    ]  # fmt: skip
    headings = ["first answer", "s", "goal, under", "s of processors", "ratio to the libraries alone"]
    doubts = [[name, f"{kind['share']:.1%} of {kind['images']}"] for name, kind in results["flagged"].items()]
    named, whole = (
        {"all": "all", "any": "with at least one doubt", "none": "without a doubt"},
        results.get("raised", {}),
    )
    order = sorted(whole, key=lambda kind: (list(named).index(kind) if kind in named else 3, -whole[kind]["images"]))
    raised = [
        [named.get(kind, kind.replace("_", " ")), whole[kind]["images"],
         f"{whole[kind]['images'] / whole['all']['images']:.0%}", f"{whole[kind]['right'] / whole[kind]['images']:.0%}"]
        for kind in order
    ]  # fmt: skip
    return {
        "shipped_first": table(headings, rows),
        "shipped_doubts": table(["pictures", "taken for something else"], doubts),
        "shipped_raised": table(["test images of BUSI", "images", "share of all", "right answers"], raised),
    }
